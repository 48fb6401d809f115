"""The Fréchet distance between two Gaussian distributions, and running means and covariances.

The Fréchet Inception Distance (FID) is the square of this distance between Gaussians that are fitted to the features of
real and of generated images.

Reference: Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (2017),
https://arxiv.org/abs/1706.08500, equation 6.
"""

import numpy as np
from numpy.typing import ArrayLike
import scipy.linalg

from evonorm_tf.errors import ArgumentError


class RunningMoments:
  """The mean and the covariance of samples that arrive in batches, computed in float64.

  Batches are merged by their means and scatter matrices (Chan, Golub, LeVeque, 1979). This loses no precision if the
  mean is large compared with the standard deviation.

  Args:
    dimensions: the number of dimensions, D.

  Attributes:
    count: the number of samples so far.
    mean: the mean of the samples so far, float64 `[D]`; zeros if there are none.
  """

  def __init__(self, dimensions: int):
    self.count = 0
    self.mean = np.zeros(dimensions)
    self._scatter = np.zeros([dimensions, dimensions])

  def update(self, samples: ArrayLike) -> None:
    """Adds a batch of samples.

    Args:
      samples: numbers `[N, D]`; N may be 0.
    """
    samples = np.asarray(samples, np.float64)
    if not len(samples):
      return
    mean = samples.mean(axis=0)
    centred, difference = samples - mean, mean - self.mean
    total = self.count + len(samples)
    self._scatter += centred.T @ centred
    self._scatter += np.outer(difference, difference) * (self.count * len(samples) / total)
    self.mean = self.mean + difference * (len(samples) / total)
    self.count = total

  def covariance(self) -> np.ndarray:
    """Returns the unbiased covariance of the samples so far, float64 `[D, D]`.

    Raises:
      ArgumentError: if there are fewer than two samples.
    """
    if self.count < 2:
      raise ArgumentError(f'A covariance takes at least 2 samples, received {self.count}.')
    return self._scatter / (self.count - 1)


def frechet_distance(mean_1: ArrayLike, covariance_1: ArrayLike, mean_2: ArrayLike, covariance_2: ArrayLike) -> float:
  """Returns the squared Fréchet distance between two Gaussians: ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2·(Σ₁Σ₂)^½).

  With Σ = A·Aᵀ, the trace of (Σ₁Σ₂)^½ is the sum of the singular values of A₁ᵀA₂. This form avoids the square root of a
  singular matrix, such as the covariance of fewer samples than dimensions, and is never complex.

  Args:
    mean_1: μ₁, numbers `[D]`.
    covariance_1: Σ₁, numbers `[D, D]`, symmetric and positive semi-definite.
    mean_2: μ₂, numbers `[D]`.
    covariance_2: Σ₂, numbers `[D, D]`, symmetric and positive semi-definite.

  Raises:
    ArgumentError: if the shapes do not match or a number is not finite.
  """
  arrays = {'mean_1': mean_1, 'covariance_1': covariance_1, 'mean_2': mean_2, 'covariance_2': covariance_2}
  dimensions = np.size(mean_1)
  for name, array in arrays.items():
    arrays[name] = array = np.asarray(array, np.float64)
    shape = (dimensions,) if name.startswith('mean') else (dimensions, dimensions)
    if array.shape != shape:
      raise ArgumentError(f'`{name}` must be {list(shape)}, received {list(array.shape)}.')
    if not np.isfinite(array).all():
      raise ArgumentError(f'`{name}` must be finite.')
  mean_1, covariance_1, mean_2, covariance_2 = arrays.values()
  roots = scipy.linalg.svdvals(_factor(covariance_1).T @ _factor(covariance_2))
  distance = np.sum((mean_1 - mean_2)**2) + np.trace(covariance_1) + np.trace(covariance_2) - 2. * roots.sum()
  return float(max(distance, 0.))  # only rounding can make it negative


def _factor(covariance: np.ndarray) -> np.ndarray:
  """Returns a matrix A `[D, rank]` with A·Aᵀ = covariance, with at least one column."""
  values, vectors = scipy.linalg.eigh(covariance)
  # Rounding turns eigenvalues of zero into values up to this size, whose square roots would be much larger.
  is_positive = values > len(values) * np.finfo(np.float64).eps * np.abs(values).max()
  is_positive[-1] = True
  return vectors[:, is_positive] * np.sqrt(np.maximum(values[is_positive], 0.))
