"""The Fréchet distance of two Gaussians, the FID of features.

Reference: Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (2017),
https://arxiv.org/abs/1706.08500, equation 6.
"""

import numpy as np
import scipy.linalg

from evonorm_tf.errors import ArgumentError


class RunningMoments:
  """Mean and covariance of samples that come in batches, in float64.

  Batches are merged by their means and scatter matrices (Chan, Golub, LeVeque 1979), which loses no digits where the
  mean is large beside the deviation.
  """

  def __init__(self, dimensions: int):
    self.count = 0
    self.mean = np.zeros(dimensions)
    self._scatter = np.zeros([dimensions, dimensions])

  def update(self, samples) -> None:
    """Takes up samples `[N, D]`."""
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
    """Returns the unbiased covariance `[D, D]`; it takes two samples."""
    if self.count < 2:
      raise ArgumentError(f'A covariance takes at least 2 samples, received {self.count}.')
    return self._scatter / (self.count - 1)


def frechet_distance(mean_1, covariance_1, mean_2, covariance_2) -> float:
  """Returns ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2·(Σ₁Σ₂)^½).

  With Σ = A·Aᵀ the trace of (Σ₁Σ₂)^½ is the sum of the singular values of A₁ᵀA₂. That needs no square root of a
  matrix that is singular, as covariances of fewer samples than dimensions are, and is never complex.

  Args:
    mean_1, mean_2: `[D]`.
    covariance_1, covariance_2: `[D, D]`, symmetric and positive semi-definite.

  Raises:
    ValueError: if shapes differ or a value is not finite.
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
  return float(max(distance, 0.))  # below it only by rounding


def _factor(covariance):
  """Returns A `[D, rank]` with A·Aᵀ = covariance; a constant 0 column stands for the rank 0."""
  values, vectors = scipy.linalg.eigh(covariance)
  # Rounding leaves zeros at this size, and the root of what is left would be the larger the smaller it is.
  is_positive = values > len(values) * np.finfo(np.float64).eps * np.abs(values).max()
  is_positive[-1] = True
  return vectors[:, is_positive] * np.sqrt(np.maximum(values[is_positive], 0.))
