"""Sources of a detector's training and validation images: prepared folders, and generated shapes.

A source is the argument `data` of the detection trainer. Its method `read` returns quickly if the data are ready; if
they are missing, its error message says how to prepare them.
"""

import dataclasses

from rich.console import Console

from detection.data.prepared import DataInfo
from detection.data.prepared import read_data_info
from detection.data.shapes import write_shapes
from evonorm_tf.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class CocoData:
  """A source of prepared images: two folders of TFRecords that `python -m detection.prepare` has written.

  Attributes:
    train: the path of the folder with the training images.
    validation: the path of the folder with the validation images.
  """
  train: str
  validation: str

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Returns the descriptions of both folders, (training, validation).

    Args:
      console: ignored, because nothing here takes time.

    Raises:
      ArgumentError: if a folder is missing or incomplete, or if the categories of the two folders differ, or their
        labels.
    """
    del console  # nothing here takes time
    train, validation = read_data_info(self.train), read_data_info(self.validation)
    if train.category_names != validation.category_names:
      raise ArgumentError(f"`validation` must have the categories of `train`, '{self.train}', received "
                          f"'{self.validation}' with {_difference(train.category_names, validation.category_names)}.")
    if train.category_ids != validation.category_ids:
      raise ArgumentError(f"`validation` must have been prepared by the same release as `train`, '{self.train}', "
                          f"received '{self.validation}' with other labels. Prepare the older one again.")
    return train, validation


def _difference(expected: dict[int, str], received: dict[int, str]) -> str:
  """Returns a text with the least category id that has different names, and these names."""
  number = min(i for i in {*expected, *received} if expected.get(i) != received.get(i))
  return f'{number}: {received.get(number)!r} for {expected.get(number)!r}'


@dataclasses.dataclass(frozen=True)
class ShapesData:
  """The generated images of `detection.data.shapes`, which are made at the first use; they need no download.

  Attributes:
    folder: the path of the folder that contains the images or will receive them (default 'runs/shapes_data'). Runs with
      the same settings can share it.
    train: the number of training images (default 800).
    validation: the number of validation images (default 100).
    size: the height and width of the images in pixels (default 256).
    seed: the seed of the images, an integer of at least 0 (default 0).
  """
  folder: str = 'runs/shapes_data'
  train: int = 800
  validation: int = 100
  size: int = 256
  seed: int = 0

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Makes the images that are missing, and returns the descriptions of both sets, (training, validation).

    Args:
      console: the rich Console that shows the progress; None (default) for standard output.

    Raises:
      ArgumentError: if a setting is out of range, or if the folder contains other data or is in use.
    """
    return write_shapes(self.folder, self.train, self.validation, self.size, self.seed, console)
