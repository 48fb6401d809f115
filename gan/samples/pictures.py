"""Pictures of what a generator makes: samples by class, interpolations, and what truncation does.

All are grids of images for the same draws at every call, so that a training can be watched.
"""

import os

import numpy as np
import tensorflow as tf

from gan.networks import latents

COLUMNS = 10
CLASSES = 10  # as many rows at most, unless classes are asked for
TRUNCATIONS = (.1, .25, .5, .75, 1., 1.5, 2.)
_BATCH = 50  # images at a time


class Pictures:
  """Makes the grids of a generator.

  Args:
    generator: a built generator, `z_size` and `num_classes`.
    seed: of z.
    classes: labels, a row each; default: at most `CLASSES`, evenly spread over all.
    truncation: of z, except where truncations are compared; None for none.
  """

  def __init__(self, generator, seed: int, classes=None, truncation: float | None = None):
    self._generator = generator
    self._seed = seed
    count = min(CLASSES, generator.num_classes)
    self._classes = list(classes or np.arange(count) * generator.num_classes // count)
    self._truncation = truncation
    self._call = tf.function(lambda z, labels: generator((z, labels), training=False), autograph=False)

  def grids(self) -> dict[str, np.ndarray]:
    """Returns uint8 `[height, width, 3]` by name."""
    return {'samples': self.samples(), 'interpolations': self.interpolations(), 'truncations': self.truncations()}

  def samples(self) -> np.ndarray:
    """A row a class, a column a z."""
    z = self._normal(0, self._truncation)
    return self._grid(np.tile(z, [len(self._classes), 1]), np.repeat(self._classes, COLUMNS))

  def interpolations(self) -> np.ndarray:
    """A row a class: from one z on the left to another on the right, linearly; each row has two of its own."""
    ends = [self._normal(number, self._truncation)[:2] for number in range(1, len(self._classes) + 1)]
    weights = np.linspace(0., 1., COLUMNS, dtype=np.float32)[:, None]
    z = np.concatenate([(1. - weights) * first + weights * last for first, last in ends])
    return self._grid(z, np.repeat(self._classes, COLUMNS))

  def truncations(self) -> np.ndarray:
    """A row for each of `TRUNCATIONS` and one without; a column a z, which grows from row to row, of one class."""
    z = np.concatenate([self._normal(0, truncation) for truncation in (*TRUNCATIONS, None)])
    labels = np.resize(self._classes, COLUMNS)
    return self._grid(z, np.tile(labels, len(TRUNCATIONS) + 1))

  def _normal(self, number: int, truncation) -> np.ndarray:
    seed = latents.seed_of(self._seed, latents.Purpose.PICTURES, number)
    return latents.normal(seed, [COLUMNS, self._generator.z_size], truncation).numpy()

  def _grid(self, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the images of z `[rows·COLUMNS, z_size]` in rows."""
    count = len(z)
    missing = -count % _BATCH  # batches of one size, for each other one would be traced
    z, labels = np.resize(z, [count + missing, z.shape[1]]), np.resize(labels, count + missing).astype(np.int32)
    images = np.concatenate([self._call(tf.constant(z[i:i + _BATCH]), tf.constant(labels[i:i + _BATCH])).numpy()
                             for i in range(0, len(z), _BATCH)])
    return make_grid(images[:count], COLUMNS)


def make_grid(images: np.ndarray, columns: int) -> np.ndarray:
  """Returns images `[rows·columns, H, W, 3]` of −1 to 1 as one, uint8 `[rows·H, columns·W, 3]`."""
  count, height, width, _ = images.shape
  rows = images.reshape(count // columns, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
  pixels = rows.reshape(count // columns * height, columns * width, 3)
  return np.clip(np.round(127.5 * (pixels + 1.)), 0, 255).astype(np.uint8)


def write_to_tensorboard(grids: dict[str, np.ndarray], step: int) -> None:
  """Writes grids to the default summary writer."""
  for name, grid in grids.items():
    tf.summary.image(name, grid[None], step)


def write_files(grids: dict[str, np.ndarray], folder: str) -> None:
  """Writes a PNG a grid."""
  os.makedirs(folder, exist_ok=True)
  for name, grid in grids.items():
    tf.io.write_file(os.path.join(folder, f'{name}.png'), tf.io.encode_png(grid))
