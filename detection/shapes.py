"""The shapes data: generated images in COCO's format, and TFRecords of them by the conversion that real data take.

Below the folder:

    images/train/000000.png ...           annotations/instances_train.json
    images/val/000000.png ...             annotations/instances_val.json
    records/train/  records/val/          see `conversion`
"""

import json
import pathlib

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api
from rich.console import Console

from detection.conversion import convert_coco
from detection.conversion_progress import ConversionProgress
from detection.data_info import DataInfo
from detection.data_info import is_prepared
from detection.data_info import read_data_info
from detection.shape_scenes import CLASSES
from detection.shape_scenes import Scene
from detection.shape_scenes import draw_scene
from evonorm_tf.model_dir import check_settings
from evonorm_tf.model_dir import lock
from evonorm_tf.model_dir import replacing

TRAIN, VALIDATION = 'train', 'val'
_FIRST_INDEX = {TRAIN: 0, VALIDATION: 10 ** 6}  # of the scenes: no image is in both
_SMALLEST_SIZE = 64  # the smallest shapes have 10 pixels then
_SETTINGS = 'shapes.json'


def write_shapes(folder, train: int = 800, validation: int = 100, size: int = 256, seed: int = 0,
                 console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Makes the data, or what is missing of them; what is there is taken if its settings are the same.

  Args:
    folder: where to.
    train: training images.
    validation: validation images.
    size: pixels a side.
    seed: of the scenes, from 0 on.
    console: where progress goes to; stdout by default.

  Returns:
    What is in the training and in the validation folder of records.

  Raises:
    ValueError: if an argument is wrong, or the folder holds data of other settings or is in use.
  """
  ranges = {'train': (train, 1, 10 ** 6), 'validation': (validation, 1, 10 ** 6), 'size': (size, _SMALLEST_SIZE, 4096),
            'seed': (seed, 0, 2 ** 32 - 1)}
  for name, (value, least, most) in ranges.items():
    if not isinstance(value, int) or not least <= value <= most:
      raise ValueError(f'`{name}` must be an integer from {least} to {most}, received {value!r}.')
  folder, console = pathlib.Path(folder), console or Console()
  settings = {'version': 1, 'train': train, 'validation': validation, 'size': size, 'seed': seed}
  records = [folder / 'records' / split for split in (TRAIN, VALIDATION)]
  if _has_settings(folder, settings) and all(map(is_prepared, records)):  # also while others use them
    return tuple(map(read_data_info, records))
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'w', encoding='utf-8') as file:
    lock(file, 'generation of shapes', argument='folder')
    if not _has_settings(folder, settings):
      _write_json(folder / _SETTINGS, settings)
    return tuple(_write_split(folder, split, number, size, seed, console)
                 for split, number in ((TRAIN, train), (VALIDATION, validation)))


def _has_settings(folder: pathlib.Path, settings: dict) -> bool:
  """Whether the folder holds settings; raises ValueError if they are others."""
  path = folder / _SETTINGS
  if path.exists():
    check_settings(path, json.loads(path.read_text()), settings, 'generation of shapes', argument='folder')
  return path.exists()


def _write_split(folder: pathlib.Path, split: str, number: int, size: int, seed: int, console: Console) -> DataInfo:
  images, annotations = folder / 'images' / split, folder / 'annotations' / f'instances_{split}.json'
  if not annotations.exists():  # it is written after the images
    images.mkdir(parents=True, exist_ok=True)
    annotations.parent.mkdir(exist_ok=True)
    data = {'images': [], 'annotations': [], 'categories': [{'id': k, 'name': name} for k, name in CLASSES.items()]}
    with ConversionProgress(number, console=console) as progress:
      for image_id in range(1, number + 1):
        scene = draw_scene(seed, _FIRST_INDEX[split] + image_id - 1, size)
        file_name = f'{image_id:06d}.png'
        Image.fromarray(scene.image).save(images / file_name, compress_level=1)  # twice as fast
        data['images'].append({'id': image_id, 'file_name': file_name, 'height': size, 'width': size})
        data['annotations'] += _annotations(scene, image_id, len(data['annotations']) + 1)
        progress.advance()
    _write_json(annotations, data)
  return convert_coco(images, annotations, folder / 'records' / split, console=console)


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
  """Returns COCO's annotations of a scene: boxes around the visible parts, their areas, compressed run lengths."""
  annotations = []
  for mask, class_id in zip(scene.masks, scene.class_ids):
    runs = mask_api.encode(np.asfortranarray(mask, np.uint8))
    annotations.append({
        'id': first_id + len(annotations), 'image_id': image_id, 'category_id': int(class_id), 'iscrowd': 0,
        'bbox': mask_api.toBbox(runs).tolist(), 'area': int(mask_api.area(runs)),
        'segmentation': {'size': list(mask.shape), 'counts': runs['counts'].decode('ascii')}})
  return annotations


def _write_json(path: pathlib.Path, data: dict) -> None:
  with replacing(path) as temporary:
    temporary.write_text(json.dumps(data) + '\n')
