"""Pictures of a generator's samples, as grids of images: by class, interpolated in z, and truncated.

For a given seed, z is the same in every call, so that pictures made at different steps show the progress of training.
"""

from collections.abc import Sequence
import os

import numpy as np
import tensorflow as tf
import tf_keras

from gan.networks import latents

COLUMNS = 10  # of a grid
CLASSES = 10  # the greatest number of classes, unless they are given
TRUNCATIONS = (.1, .25, .5, .75, 1., 1.5, 2.)
_BATCH = 50  # the number of images made at a time


class Pictures:
  """The grids of images that a generator makes; each method computes one kind of grid.

  Args:
    generator: a built generator, with the attributes `z_size` and `num_classes`.
    seed: the seed of z.
    classes: the labels of the rows; None (default) for at most `CLASSES` labels, evenly spread over all.
    truncation: the bound of the absolute values in z; None (default) for no bound. `truncations` ignores it.
  """

  def __init__(self, generator: tf_keras.Model, seed: int, classes: Sequence[int] | None = None,
               truncation: float | None = None):
    self._generator = generator
    self._seed = seed
    count = min(CLASSES, generator.num_classes)
    self._classes = list(classes or np.arange(count) * generator.num_classes // count)
    self._truncation = truncation
    self._call = tf.function(lambda z, labels: generator((z, labels), training=False), autograph=False)

  def grids(self) -> dict[str, np.ndarray]:
    """Returns the three grids by name: 'samples', 'interpolations' and 'truncations', uint8 `[height, width, 3]`."""
    return {'samples': self.samples(), 'interpolations': self.interpolations(), 'truncations': self.truncations()}

  def samples(self) -> np.ndarray:
    """Returns a grid with a row for each class and a column for each of `COLUMNS` z, uint8 `[height, width, 3]`."""
    z = self._normal(0, self._truncation)
    return self._grid(np.tile(z, [len(self._classes), 1]), np.repeat(self._classes, COLUMNS))

  def interpolations(self) -> np.ndarray:
    """Returns a grid with a row for each class, in which z changes linearly from the left to the right end.

    Every row has two random ends of its own. The result is uint8 `[height, width, 3]`.
    """
    ends = [self._normal(number, self._truncation)[:2] for number in range(1, len(self._classes) + 1)]
    weights = np.linspace(0., 1., COLUMNS, dtype=np.float32)[:, None]
    z = np.concatenate([(1. - weights) * first + weights * last for first, last in ends])
    return self._grid(z, np.repeat(self._classes, COLUMNS))

  def truncations(self) -> np.ndarray:
    """Returns a grid with a row for each of `TRUNCATIONS` and a last row without truncation.

    Each column has one class, taken in turn from the classes to show, and the same random numbers in every row but the
    last, so that a column shows the effect of the bound alone. The result is uint8 `[height, width, 3]`.
    """
    z = np.concatenate([self._normal(0, truncation) for truncation in (*TRUNCATIONS, None)])
    labels = np.resize(self._classes, COLUMNS)
    return self._grid(z, np.tile(labels, len(TRUNCATIONS) + 1))

  def _normal(self, number: int, truncation: float | None) -> np.ndarray:
    seed = latents.seed_of(self._seed, latents.Purpose.PICTURES, number)
    return latents.normal(seed, [COLUMNS, self._generator.z_size], truncation).numpy()

  def _grid(self, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns a grid of the images for z `[rows·COLUMNS, z_size]` and labels `[rows·COLUMNS]`."""
    count = len(z)
    missing = -count % _BATCH  # fills the last batch, because every other batch size would be traced anew
    z, labels = np.resize(z, [count + missing, z.shape[1]]), np.resize(labels, count + missing).astype(np.int32)
    images = np.concatenate([self._call(tf.constant(z[i:i + _BATCH]), tf.constant(labels[i:i + _BATCH])).numpy()
                             for i in range(0, len(z), _BATCH)])
    return make_grid(images[:count], COLUMNS)


def make_grid(images: np.ndarray, columns: int) -> np.ndarray:
  """Arranges images in a grid, row by row.

  Args:
    images: float `[rows·columns, H, W, 3]` in [−1, 1].
    columns: the number of columns.

  Returns:
    The grid as one image, uint8 `[rows·H, columns·W, 3]`.
  """
  count, height, width, _ = images.shape
  rows = images.reshape(count // columns, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
  pixels = rows.reshape(count // columns * height, columns * width, 3)
  return np.clip(np.round(127.5 * (pixels + 1.)), 0, 255).astype(np.uint8)


def write_to_tensorboard(grids: dict[str, np.ndarray], step: int) -> None:
  """Writes grids to TensorFlow's default summary writer.

  Args:
    grids: images by name, uint8 `[height, width, 3]`.
    step: the training step under which TensorBoard shows them.
  """
  for name, grid in grids.items():
    tf.summary.image(name, grid[None], step)


def write_files(grids: dict[str, np.ndarray], folder: str) -> None:
  """Writes each grid to a folder as NAME.png.

  Args:
    grids: images by name, uint8 `[height, width, 3]`.
    folder: the path of the folder; it is created if it does not exist.
  """
  os.makedirs(folder, exist_ok=True)
  for name, grid in grids.items():
    tf.io.write_file(os.path.join(folder, f'{name}.png'), tf.io.encode_png(grid))
