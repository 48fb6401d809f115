"""Where a detector's training and validation images come from: prepared folders of COCO's format, or generated shapes.

Both are read by `read`, which is cheap for data that are there and says what to do about data that are not.
"""

import dataclasses

from rich.console import Console

from detection.data.prepared import DataInfo
from detection.data.prepared import read_data_info
from evonorm_tf.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class CocoData:
  """Folders that `python -m detection.prepare` has made.

  Attributes:
    train: the folder of the training images.
    validation: that of the validation images.
  """
  train: str
  validation: str

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Returns what is in the two folders; ValueError if they are not complete or their categories differ."""
    del console  # nothing takes time
    train, validation = read_data_info(self.train), read_data_info(self.validation)
    if train.category_names != validation.category_names:
      raise ArgumentError(f"`validation` must have the categories of `train`, '{self.train}', received "
                          f"'{self.validation}' with {_difference(train.category_names, validation.category_names)}.")
    return train, validation


def _difference(expected: dict[int, str], received: dict[int, str]) -> str:
  """The first id whose names differ."""
  number = min(i for i in {*expected, *received} if expected.get(i) != received.get(i))
  return f'{number}: {received.get(number)!r} for {expected.get(number)!r}'


@dataclasses.dataclass(frozen=True)
class ShapesData:
  """The generated shapes of `detection.data.shapes`, which the first use makes; they need no download.

  Attributes:
    folder: where they are or will be. Runs of the same settings can share it.
    train: training images.
    validation: validation images.
    size: pixels a side.
    seed: of the scenes.
  """
  folder: str = 'runs/shapes_data'
  train: int = 800
  validation: int = 100
  size: int = 256
  seed: int = 0

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Makes what is missing; returns what is in the two folders. ValueError as `write_shapes`."""
    from detection.data.shapes import write_shapes
    return write_shapes(self.folder, self.train, self.validation, self.size, self.seed, console)
