"""Sources of a detector's training and validation images: prepared folders in COCO's format, and generated shapes.

Their method `read` is cheap for data that are there, and its errors say what to do about missing data.
"""

import dataclasses

from rich.console import Console

from detection.data.prepared import DataInfo
from detection.data.prepared import read_data_info
from detection.data.shapes import write_shapes
from evonorm_tf.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class CocoData:
  """Folders that `python -m detection.prepare` has made.

  Attributes:
    train: the folder of the training images.
    validation: the folder of the validation images.
  """
  train: str
  validation: str

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Returns the descriptions of both folders; ArgumentError if one is incomplete or their categories differ."""
    del console  # nothing here takes time
    train, validation = read_data_info(self.train), read_data_info(self.validation)
    if train.category_names != validation.category_names:
      raise ArgumentError(f"`validation` must have the categories of `train`, '{self.train}', received "
                          f"'{self.validation}' with {_difference(train.category_names, validation.category_names)}.")
    return train, validation


def _difference(expected: dict[int, str], received: dict[int, str]) -> str:
  """Returns the first id whose names differ, with both names."""
  number = min(i for i in {*expected, *received} if expected.get(i) != received.get(i))
  return f'{number}: {received.get(number)!r} for {expected.get(number)!r}'


@dataclasses.dataclass(frozen=True)
class ShapesData:
  """The generated shapes of `detection.data.shapes`, which the first use makes; they need no download.

  Attributes:
    folder: contains the images or will receive them. Runs with the same settings can share it.
    train: the number of training images.
    validation: the number of validation images.
    size: height and width of the images in pixels.
    seed: of the scenes.
  """
  folder: str = 'runs/shapes_data'
  train: int = 800
  validation: int = 100
  size: int = 256
  seed: int = 0

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Makes what is missing and returns the descriptions of both folders; ArgumentError as for `write_shapes`."""
    return write_shapes(self.folder, self.train, self.validation, self.size, self.seed, console)
