"""Pictures of a generator's samples: by class, interpolated between two z, and with z truncated.

All are grids of images. Every call makes them from the same draws, so that the progress of a training run can be seen.
"""

from collections.abc import Sequence
import os

import numpy as np
import tensorflow as tf
import tf_keras

from gan.networks import latents

COLUMNS = 10
CLASSES = 10  # rows at most, unless classes are given
TRUNCATIONS = (.1, .25, .5, .75, 1., 1.5, 2.)
_BATCH = 50  # images at a time


class Pictures:
  """Makes grids of a generator's images.

  Args:
    generator: a built generator, with `z_size` and `num_classes`.
    seed: of z.
    classes: the labels, a row for each; None (default) for at most `CLASSES`, evenly spread over all.
    truncation: bound of |z|, except where truncations are compared; None (default) for no bound.
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
    """Returns the three grids by name, uint8 `[height, width, 3]`."""
    return {'samples': self.samples(), 'interpolations': self.interpolations(), 'truncations': self.truncations()}

  def samples(self) -> np.ndarray:
    """Returns a grid with a row for each class and a column for each z."""
    z = self._normal(0, self._truncation)
    return self._grid(np.tile(z, [len(self._classes), 1]), np.repeat(self._classes, COLUMNS))

  def interpolations(self) -> np.ndarray:
    """Returns a grid with a row for each class, linear from one z on the left to another; each row has its own two."""
    ends = [self._normal(number, self._truncation)[:2] for number in range(1, len(self._classes) + 1)]
    weights = np.linspace(0., 1., COLUMNS, dtype=np.float32)[:, None]
    z = np.concatenate([(1. - weights) * first + weights * last for first, last in ends])
    return self._grid(z, np.repeat(self._classes, COLUMNS))

  def truncations(self) -> np.ndarray:
    """Returns a grid with a row for each of `TRUNCATIONS` and a last one without; z grows down a column."""
    z = np.concatenate([self._normal(0, truncation) for truncation in (*TRUNCATIONS, None)])
    labels = np.resize(self._classes, COLUMNS)
    return self._grid(z, np.tile(labels, len(TRUNCATIONS) + 1))

  def _normal(self, number: int, truncation: float | None) -> np.ndarray:
    seed = latents.seed_of(self._seed, latents.Purpose.PICTURES, number)
    return latents.normal(seed, [COLUMNS, self._generator.z_size], truncation).numpy()

  def _grid(self, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns a grid of the images of z `[rows·COLUMNS, z_size]`."""
    count = len(z)
    missing = -count % _BATCH  # batches of one size, because every other size would be traced
    z, labels = np.resize(z, [count + missing, z.shape[1]]), np.resize(labels, count + missing).astype(np.int32)
    images = np.concatenate([self._call(tf.constant(z[i:i + _BATCH]), tf.constant(labels[i:i + _BATCH])).numpy()
                             for i in range(0, len(z), _BATCH)])
    return make_grid(images[:count], COLUMNS)


def make_grid(images: np.ndarray, columns: int) -> np.ndarray:
  """Returns images `[rows·columns, H, W, 3]` in [−1, 1] as one image, uint8 `[rows·H, columns·W, 3]`."""
  count, height, width, _ = images.shape
  rows = images.reshape(count // columns, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
  pixels = rows.reshape(count // columns * height, columns * width, 3)
  return np.clip(np.round(127.5 * (pixels + 1.)), 0, 255).astype(np.uint8)


def write_to_tensorboard(grids: dict[str, np.ndarray], step: int) -> None:
  """Writes grids to the default summary writer."""
  for name, grid in grids.items():
    tf.summary.image(name, grid[None], step)


def write_files(grids: dict[str, np.ndarray], folder: str) -> None:
  """Writes each grid into the folder as NAME.png; the folder is made if needed."""
  os.makedirs(folder, exist_ok=True)
  for name, grid in grids.items():
    tf.io.write_file(os.path.join(folder, f'{name}.png'), tf.io.encode_png(grid))
