"""The shapes data: generated images of simple shapes, written in COCO's format and as TFRecords.

They need no download. `shape_scenes` draws the images; `coco_files` lists the files that are written.
"""

import os
from typing import Any

import numpy as np
from rich.console import Console

from detection.data.coco_files import make_annotation
from detection.data.coco_files import Split
from detection.data.coco_files import write_coco
from detection.data.prepared import DataInfo
from detection.data.shape_scenes import CLASSES
from detection.data.shape_scenes import draw_scene
from evonorm_tf.errors import ArgumentError

_FIRST_VALIDATION = 10 ** 6  # the index of the first validation scene, so large that no image is in both sets
_SMALLEST_SIZE = 64  # pixels; the smallest shapes then measure 10 pixels


def write_shapes(folder: str | os.PathLike, train: int = 800, validation: int = 100, size: int = 256, seed: int = 0,
                 console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Writes generated images in COCO's format and as TFRecords, or the part that an interrupted call left missing.

  Args:
    folder: the path of the folder that receives the files.
    train: the number of training images, from 1 to 1,000,000 (default 800).
    validation: the number of validation images, from 1 to 1,000,000 (default 100).
    size: the height and width of the images in pixels, from 64 to 4096 (default 256).
    seed: the seed of the images, from 0 to 2³² − 1 (default 0).
    console: the rich Console that shows the progress; None (default) for standard output.

  Returns:
    The descriptions of the TFRecords, (training, validation).

  Raises:
    ArgumentError: if an argument is out of range, or if the folder contains data with other settings or anything else,
      or another process is using it.
  """
  ranges = {'train': (train, 1, 10 ** 6), 'validation': (validation, 1, 10 ** 6), 'size': (size, _SMALLEST_SIZE, 4096),
            'seed': (seed, 0, 2 ** 32 - 1)}
  for name, (value, least, most) in ranges.items():
    if not isinstance(value, int) or not least <= value <= most:
      raise ArgumentError(f'`{name}` must be an integer from {least} to {most}, received {value!r}.')
  settings = {'version': 1, 'train': train, 'validation': validation, 'size': size, 'seed': seed}

  def split(number: int, first: int) -> Split:
    def draw(index: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
      scene = draw_scene(seed, first + index, size)
      return scene.image, [make_annotation(mask, class_id) for mask, class_id in zip(scene.masks, scene.class_ids)]
    return Split(number, draw)

  return write_coco(folder, 'shapes', settings, CLASSES, split(train, 0), split(validation, _FIRST_VALIDATION), console)
