"""The Kernel Inception Distance (KID): the squared maximum mean discrepancy (MMD) between two sets of features.

Reference: Bińkowski et al., Demystifying MMD GANs (2018), https://arxiv.org/abs/1801.01401, section 4.
"""

import numpy as np
from numpy.typing import ArrayLike

from gan.scores.checks import check_samples


def kernel_distance(features_1: ArrayLike, features_2: ArrayLike, subsets: int, subset_size: int,
                    rng: np.random.Generator) -> tuple[float, float]:
  """Computes the KID between random subsets of two sets of features, and returns mean and standard deviation.

  Args:
    features_1: features of the first set of images, numbers `[N, D]`.
    features_2: features of the second set, numbers `[M, D]`.
    subsets: the number of pairs of subsets.
    subset_size: the number of samples in each subset, at least 2, drawn without replacement.
    rng: the random generator that draws the subsets.

  Returns:
    (mean, standard deviation) of the KID over the pairs of subsets.

  Raises:
    ArgumentError: if a set has fewer than `subset_size` samples, the sets differ in D, or a number is not finite.
  """
  reason = f'as many as `subset_size` = {subset_size}'
  x = check_samples('features_1', features_1, subset_size, reason)
  y = check_samples('features_2', features_2, subset_size, reason, columns=x.shape[1])
  draw = lambda samples: samples[rng.choice(len(samples), subset_size, replace=False)]
  distances = [squared_mmd(draw(x), draw(y)) for _ in range(subsets)]
  return float(np.mean(distances)), float(np.std(distances))


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
  """Returns the unbiased estimate of MMD² between two sets of samples; it can be negative.

  The estimate is Σ_{i≠j} k(xᵢ, xⱼ)/(N·(N − 1)) + Σ_{i≠j} k(yᵢ, yⱼ)/(M·(M − 1)) − 2·Σ_{i,j} k(xᵢ, yⱼ)/(N·M) with the
  kernel k(x, y) = (x·y/D + 1)³.

  Args:
    x: the first set, float64 `[N, D]`, N at least 2.
    y: the second set, float64 `[M, D]`, M at least 2.
  """
  return _mean_of_pairs(x) + _mean_of_pairs(y) - 2. * _kernel(x, y).mean()


def _mean_of_pairs(x: np.ndarray) -> float:
  kernel = _kernel(x, x)
  return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  return (x @ y.T / x.shape[1] + 1.)**3
