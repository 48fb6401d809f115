"""A writer of this package's own data sets: images and annotations in COCO's format, and TFRecords made from them.

The folder contains:

    images/train/000001.png ...           annotations/instances_train.json
    images/val/000001.png ...             annotations/instances_val.json
    records/train/  records/val/          the TFRecords and their descriptions; see `conversion`
    NAME.json                             the settings of the data set NAME, such as 'shapes'
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
from evonorm_tf.output.model_dir import check_folder
from evonorm_tf.output.model_dir import lock
from evonorm_tf.output.model_dir import naming
from evonorm_tf.output.model_dir import write_json

TRAIN, VALIDATION = 'train', 'val'


class Split(NamedTuple):
  """The images of a training or validation set, which are made one by one.

  Attributes:
    number: the number of images.
    draw: a function from an image's index, 0 to `number - 1`, to the pair (image, annotations): uint8
      `[height, width, 3]`, and a list with the result of `make_annotation` for each object in it.
  """
  number: int
  draw: Callable[[int], tuple[np.ndarray, list[dict[str, Any]]]]


def make_annotation(mask: np.ndarray, class_id: int, is_crowd: bool = False) -> dict[str, Any]:
  """Returns an object's annotation in COCO's format.

  Args:
    mask: the object's mask over the image, bool `[height, width]` with at least one True.
    class_id: the id of the object's category.
    is_crowd: whether training and evaluation are to ignore the object (default False). A detection of it then counts
      neither as right nor as wrong.

  Returns:
    A dict with `category_id`, `iscrowd` (0 or 1), `bbox` (`[x, y, width, height]` in pixels), `area` (in pixels) and
    `segmentation` (compressed run lengths, see `coco_masks.compress_mask`).
  """
  runs = compress_mask(mask)
  return {'category_id': int(class_id), 'iscrowd': int(is_crowd), 'bbox': mask_api.toBbox(runs).tolist(),
          'area': int(mask_api.area(runs)), 'segmentation': runs}


def write_coco(folder: str | os.PathLike, name: str, settings: dict[str, Any], classes: dict[int, str], train: Split,
               validation: Split, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Writes a data set in COCO's format and as TFRecords, or the part of it that an interrupted call left missing.

  Args:
    folder: the path of the folder that receives the files, which are listed in the module's docstring.
    name: the name of the data set, such as 'shapes'.
    settings: everything on which the images depend, as JSON data; it is written to NAME.json, and later calls must
      have the same settings.
    classes: the name of each category by its id.
    train: the training images.
    validation: the validation images.
    console: the rich Console that shows the progress; None (default) for standard output.

  Returns:
    The descriptions of the TFRecords, (training, validation).

  Raises:
    ArgumentError: if the folder contains data with other settings or anything else, or another process is using it.
  """
  folder, console = pathlib.Path(folder), console or Console()
  claimed = f'{name}.json', settings, f'preparation of {name}', 'folder'
  records = [folder / 'records' / split for split in (TRAIN, VALIDATION)]
  if has_settings(folder, *claimed) and all(map(is_prepared, records)):  # also while others use them
    return tuple(map(read_data_info, records))
  check_folder(folder, 'folder')
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
        with naming(images / file_name):
          Image.fromarray(image).save(images / file_name, compress_level=1)  # twice as fast
        height, width, _ = image.shape
        data['images'].append({'id': image_id, 'file_name': file_name, 'height': height, 'width': width})
        first = len(data['annotations']) + 1
        data['annotations'] += [{'id': i, 'image_id': image_id} | a for i, a in enumerate(objects, start=first)]
        progress.advance()
    write_json(annotations, data, end='\n')
  return convert_coco(images, annotations, folder / 'records' / name, console=console)
