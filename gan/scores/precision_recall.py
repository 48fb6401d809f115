"""Improved precision and recall of generated images.

Reference: Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models (2019),
https://arxiv.org/abs/1904.06991, equations 1 and 2.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from gan.scores.checks import check_samples

_BLOCK = 2**23  # distances held in memory at a time, 64 MiB


def precision_and_recall(real: ArrayLike, generated: ArrayLike, neighbours: int) -> tuple[float, float]:
  """Returns the share of generated samples within the real manifold, and of real ones within the generated manifold.

  A manifold is a union of balls, one around each sample, whose radius is the distance to the k-th nearest of the other
  samples. A ball includes its surface.

  Args:
    real: features `[N, D]`.
    generated: features `[M, D]`.
    neighbours: k. A sample is not its own neighbour, but another sample equal to it is.

  Raises:
    ArgumentError: if there are fewer than k + 1 samples, dimensions differ, or a value is not finite.
  """
  reason = f'one more than `neighbours` = {neighbours}'
  real = check_samples('real', real, neighbours + 1, reason)
  generated = check_samples('generated', generated, neighbours + 1, reason, columns=real.shape[1])
  return (_share_within(generated, real, _squared_radii(real, neighbours)),
          _share_within(real, generated, _squared_radii(generated, neighbours)))


def _squared_radii(samples: np.ndarray, neighbours: int) -> np.ndarray:
  """Returns the squared distance of each sample to its k-th nearest neighbour, `[N]`."""
  radii = []
  for rows, distances in _squared_distances(samples, samples):
    distances[np.arange(len(distances)), np.arange(len(samples))[rows]] = np.inf  # to itself
    radii.append(np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1])
  return np.concatenate(radii)


def _share_within(samples: np.ndarray, centres: np.ndarray, squared_radii: np.ndarray) -> float:
  within = [(distances <= squared_radii).any(axis=1) for _, distances in _squared_distances(samples, centres)]
  return float(np.concatenate(within).mean())


def _squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
  """Yields a slice of the rows of x at a time, and ‖xᵢ − yⱼ‖² `[rows, M]` for these rows."""
  squares = (y**2).sum(axis=1)
  block = max(_BLOCK // len(y), 1)
  for first in range(0, len(x), block):
    rows = slice(first, first + block)
    distances = (x[rows]**2).sum(axis=1)[:, None] + squares - 2. * (x[rows] @ y.T)
    yield rows, np.maximum(distances, 0.)  # rounding alone makes them negative
