"""KID against a double loop, its expectation, and its errors."""

import numpy as np
import pytest

from gan.scores.kernel_distance import kernel_distance
from gan.scores.kernel_distance import squared_mmd


def in_loops(x, y):
  """The unbiased estimate, term by term."""
  kernel = lambda a, b: (sum(float(p) * float(q) for p, q in zip(a, b)) / len(a) + 1)**3
  within = lambda z: np.mean([kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])
  return within(x) + within(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_equals_the_double_loop():
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=[6, 4]), rng.normal(.5, 2, size=[5, 4])
  assert squared_mmd(x, y) == pytest.approx(in_loops(x, y), rel=1e-12)
  assert kernel_distance(x[:5], y, subsets=2, subset_size=5, rng=rng) == pytest.approx(
      (in_loops(x[:5], y), 0), rel=1e-12, abs=1e-12)


def test_hand_worked():
  # k(1, 1) = 8, k(1, −1) = 0, k(−1, −1) = 8, so that two samples of 1 and two of −1 are 8 + 8 − 0 apart.
  assert squared_mmd(np.array([[1.], [1.]]), np.array([[-1.], [-1.]])) == 16


def test_unbiased():
  # Of one distribution the mean is 0 and estimates below it occur; a biased one would be far above.
  rng = np.random.default_rng(1)
  estimates = [squared_mmd(*rng.normal(size=[2, 10, 3])) for _ in range(4000)]
  assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(4000) and min(estimates) < 0
  x = rng.normal(size=[10, 3])
  biased_part = np.mean([(a @ a / 3 + 1)**3 for a in x]) / 10
  assert biased_part > 10 * np.std(estimates) / np.sqrt(4000)


def test_averages_over_subsets_without_replacement():
  # Three of four samples: whichever is left out, the pairs (1, −1), (1, 1) and so on are all that occur.
  x, y = np.array([[0.], [1.], [2.], [3.]]), np.zeros([4, 1])
  expected = {}
  for left_out in range(4):
    expected[left_out] = in_loops(np.delete(x, left_out, axis=0), y[:3])
  mean, deviation = kernel_distance(x, y, subsets=4000, subset_size=3, rng=np.random.default_rng(2))
  values = list(expected.values())
  assert mean == pytest.approx(np.mean(values), abs=4 * np.std(values) / np.sqrt(4000))
  assert deviation == pytest.approx(np.std(values), rel=.05)


def test_the_generator_determines_the_subsets():
  samples = np.random.default_rng(3).normal(size=[2, 30, 3])
  score = lambda seed: kernel_distance(*samples, 3, 10, np.random.default_rng(seed))
  assert score(0) == score(0) != score(1)


def test_errors():
  rng = np.random.default_rng(0)
  with pytest.raises(ValueError, match='`features_2` must hold at least 5 samples, as many as `subset_size` = 5; re'):
    kernel_distance(np.zeros([5, 2]), np.zeros([4, 2]), 1, 5, rng)
  with pytest.raises(ValueError, match=r'`features_2` must be \[N, 2\], received \[5, 3\]'):
    kernel_distance(np.zeros([5, 2]), np.zeros([5, 3]), 1, 5, rng)
  with pytest.raises(ValueError, match='`features_1` must be finite'):
    kernel_distance(np.full([5, 2], np.nan), np.zeros([5, 2]), 1, 5, rng)
