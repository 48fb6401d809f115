"""Images and masks of our own data sets as files in COCO's format, and TFRecords converted from them like COCO's.

The folder contains:

    images/train/000000.png ...           annotations/instances_train.json
    images/val/000000.png ...             annotations/instances_val.json
    records/train/  records/val/          see `conversion`
"""

from collections.abc import Callable
import os
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api
from rich.console import Console

from detection.data.coco_masks import compress_mask
from detection.data.conversion import convert_coco
from detection.data.conversion_report import ConversionProgress
from detection.data.prepared import claim
from detection.data.prepared import DataInfo
from detection.data.prepared import has_settings
from detection.data.prepared import is_prepared
from detection.data.prepared import LOCK
from detection.data.prepared import read_data_info
from evonorm_tf.output.model_dir import lock
from evonorm_tf.output.model_dir import write_json

TRAIN, VALIDATION = 'train', 'val'


class Split(NamedTuple):
  """A set of images.

  Attributes:
    number: the number of images.
    draw: a function of an index, 0 to number - 1, that returns an image, uint8 `[height, width, 3]`, and the
      annotation of each object in it, as `make_annotation` returns it.
  """
  number: int
  draw: Callable[[int], tuple[np.ndarray, list[dict[str, Any]]]]


def make_annotation(mask: np.ndarray, class_id: int, is_crowd: bool = False) -> dict[str, Any]:
  """Returns COCO's annotation of an object: the box around its mask, its area, compressed run lengths.

  Args:
    mask: bool `[height, width]`, not empty.
    class_id: the category of the object.
    is_crowd: whether training and evaluation ignore it: a detection there counts neither as right nor as wrong.
  """
  runs = compress_mask(mask)
  return {'category_id': int(class_id), 'iscrowd': int(is_crowd), 'bbox': mask_api.toBbox(runs).tolist(),
          'area': int(mask_api.area(runs)), 'segmentation': runs}


def write_coco(folder: str | os.PathLike, name: str, settings: dict[str, Any], classes: dict[int, str], train: Split,
               validation: Split, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Makes the files, or those that are missing; existing ones are kept if their settings are the same.

  Args:
    folder: receives the files.
    name: of the data, such as 'shapes'.
    settings: everything that the images depend on, JSON data, which is written to `name`.json.
    classes: names of the categories by id.
    train: the training images.
    validation: the validation images.
    console: receives the progress; stdout by default.

  Returns:
    The descriptions of the training and the validation folder of records.

  Raises:
    ArgumentError: if the folder holds data of other settings or something else, or is in use.
  """
  folder, console = pathlib.Path(folder), console or Console()
  claimed = f'{name}.json', settings, f'preparation of {name}', 'folder'
  records = [folder / 'records' / split for split in (TRAIN, VALIDATION)]
  if has_settings(folder, *claimed) and all(map(is_prepared, records)):  # also while others use them
    return tuple(map(read_data_info, records))
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / LOCK, 'w', encoding='utf-8') as file:
    lock(file, f'preparation of {name}', argument='folder')
    claim(folder, *claimed)
    return tuple(_write_split(folder, split_name, split, classes, console)
                 for split_name, split in ((TRAIN, train), (VALIDATION, validation)))


def _write_split(folder: pathlib.Path, name: str, split: Split, classes: dict[int, str], console: Console) -> DataInfo:
  images, annotations = folder / 'images' / name, folder / 'annotations' / f'instances_{name}.json'
  if not annotations.exists():  # it is written after the images
    images.mkdir(parents=True, exist_ok=True)
    annotations.parent.mkdir(exist_ok=True)
    data = {'images': [], 'annotations': [], 'categories': [{'id': k, 'name': text} for k, text in classes.items()]}
    with ConversionProgress(split.number, console=console) as progress:
      for image_id in range(1, split.number + 1):
        image, objects = split.draw(image_id - 1)
        file_name = f'{image_id:06d}.png'
        Image.fromarray(image).save(images / file_name, compress_level=1)  # twice as fast
        height, width, _ = image.shape
        data['images'].append({'id': image_id, 'file_name': file_name, 'height': height, 'width': width})
        first = len(data['annotations']) + 1
        data['annotations'] += [{'id': i, 'image_id': image_id} | a for i, a in enumerate(objects, start=first)]
        progress.advance()
    write_json(annotations, data, end='\n')
  return convert_coco(images, annotations, folder / 'records' / name, console=console)
