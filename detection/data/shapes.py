"""The shapes data: generated images in COCO's format and TFRecords of them, in the files of `coco_files`."""

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

_FIRST_VALIDATION = 10 ** 6  # index of a scene, so large that no image is in both sets
_SMALLEST_SIZE = 64  # at which the smallest shapes measure 10 pixels


def write_shapes(folder: str | os.PathLike, train: int = 800, validation: int = 100, size: int = 256, seed: int = 0,
                 console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Makes the data, or the part that is missing; existing files are kept if their settings are the same.

  Args:
    folder: receives the files.
    train: the number of training images.
    validation: the number of validation images.
    size: height and width of the images in pixels.
    seed: of the scenes, from 0 on.
    console: receives the progress; stdout by default.

  Returns:
    The descriptions of the training and the validation folder of records.

  Raises:
    ArgumentError: if an argument is wrong, or if the folder holds data of other settings or something else, or is in
      use.
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
