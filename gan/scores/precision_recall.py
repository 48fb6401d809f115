"""Improved precision and recall of generated images, computed from features.

Reference: Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models (2019),
https://arxiv.org/abs/1904.06991, equations 1 and 2.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from gan.scores.checks import check_samples

_BLOCK = 2**23  # the number of distances in memory at a time, 64 MiB


def precision_and_recall(real: ArrayLike, generated: ArrayLike, neighbours: int, real_radii: np.ndarray | None = None
                         ) -> tuple[float, float]:
  """Returns precision and recall of generated images.

  Precision is the fraction of generated samples inside the manifold of the real ones; recall is the fraction of real
  samples inside the manifold of the generated ones. A manifold is a union of balls, one around each sample, whose
  radius is the distance to the k-th nearest other sample. A ball includes its surface.

  Args:
    real: the features of real images, numbers `[N, D]`.
    generated: the features of generated images, numbers `[M, D]`.
    neighbours: k, at least 1. A sample is not its own neighbour, but another sample with equal features is.
    real_radii: the result of `squared_radii` for the real images, where they are the same in several calls; None
      (default) to compute it.

  Returns:
    (precision, recall), each from 0 to 1.

  Raises:
    ArgumentError: if there are fewer than k + 1 samples of a kind, D differs, or a number is not finite.
  """
  reason = f'one more than `neighbours` = {neighbours}'
  real = check_samples('real', real, neighbours + 1, reason)
  generated = check_samples('generated', generated, neighbours + 1, reason, columns=real.shape[1])
  if real_radii is None:
    real_radii = squared_radii(real, neighbours)
  return (_share_within(generated, real, real_radii),
          _share_within(real, generated, squared_radii(generated, neighbours)))


def squared_radii(samples: ArrayLike, neighbours: int) -> np.ndarray:
  """Returns the squared distance of each sample to its k-th nearest neighbour, float64 `[N]`.

  Args:
    samples: the features, numbers `[N, D]`.
    neighbours: k, at least 1 and below N.
  """
  samples, radii = np.asarray(samples, np.float64), []
  for rows, distances in _squared_distances(samples, samples):
    distances[np.arange(len(distances)), np.arange(len(samples))[rows]] = np.inf  # a sample's distance to itself
    radii.append(np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1])
  return np.concatenate(radii)


def _share_within(samples: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> float:
  within = [(distances <= radii).any(axis=1) for _, distances in _squared_distances(samples, centres)]
  return float(np.concatenate(within).mean())


def _squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
  """Yields, block by block, a slice of the rows of x and the distances ‖xᵢ − yⱼ‖² `[rows, M]` of these rows."""
  squares = (y**2).sum(axis=1)
  block = max(_BLOCK // len(y), 1)
  for first in range(0, len(x), block):
    rows = slice(first, first + block)
    distances = (x[rows]**2).sum(axis=1)[:, None] + squares - 2. * (x[rows] @ y.T)
    yield rows, np.maximum(distances, 0.)  # only rounding can make them negative
