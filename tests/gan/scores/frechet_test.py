"""The Fréchet distance against closed forms and SciPy's matrix root; moments against NumPy's."""

import numpy as np
import pytest
import scipy.linalg

from gan.scores.frechet import frechet_distance
from gan.scores.frechet import RunningMoments


def random_covariance(rng, dimensions, rank=None):
  factor = rng.normal(size=[dimensions, rank or dimensions])
  return factor @ factor.T / dimensions


def by_matrix_root(mean_1, covariance_1, mean_2, covariance_2):
  """The formula as it stands in the paper."""
  root = scipy.linalg.sqrtm(covariance_1 @ covariance_2)
  return np.sum((mean_1 - mean_2)**2) + np.trace(covariance_1 + covariance_2 - 2 * np.real(root))


def test_diagonal_gaussians():
  # In one dimension the distance is (μ₁ − μ₂)² + (σ₁ − σ₂)², and independent dimensions add up.
  means, deviations = np.array([[1., 2., -3.], [0., 2.5, 1.]]), np.array([[1., 2., 0.], [3., .5, .25]])
  distance = frechet_distance(means[0], np.diag(deviations[0]**2), means[1], np.diag(deviations[1]**2))
  assert distance == pytest.approx(1 + .25 + 16 + 4 + 2.25 + .0625, rel=1e-14)


def test_commuting_covariances_in_a_rotated_basis():
  rng = np.random.default_rng(0)
  basis = scipy.linalg.qr(rng.normal(size=[50, 50]))[0]
  deviations = rng.uniform(0, 2, [2, 50])
  covariances = [basis * d**2 @ basis.T for d in deviations]
  distance = frechet_distance(np.zeros(50), covariances[0], np.ones(50), covariances[1])
  assert distance == pytest.approx(50 + np.sum((deviations[0] - deviations[1])**2), rel=1e-12)


def test_two_dimensions_that_do_not_commute():
  # Of a 2×2 matrix with positive eigenvalues the root has the trace (Tr M + 2·√det M)^½.
  a, b = np.array([[2., 1.], [1., 1.]]), np.array([[1., -.5], [-.5, 3.]])
  product = a @ b
  assert not np.allclose(product, product.T)
  root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
  assert frechet_distance([0, 0], a, [0, 2], b) == pytest.approx(4 + 3 + 4 - 2 * root, rel=1e-13)


@pytest.mark.parametrize('dimensions', [1, 3, 64])
def test_equals_the_matrix_root(dimensions):
  rng = np.random.default_rng(dimensions)
  mean_1, mean_2 = rng.normal(size=[2, dimensions])
  arguments = mean_1, random_covariance(rng, dimensions), mean_2, random_covariance(rng, dimensions)
  assert frechet_distance(*arguments) == pytest.approx(by_matrix_root(*arguments), rel=1e-8)
  assert frechet_distance(*arguments) == pytest.approx(frechet_distance(*arguments[2:], *arguments[:2]), rel=1e-12)


@pytest.mark.parametrize('rank', [1, 5, 60])
def test_fewer_samples_than_dimensions(rank):
  rng = np.random.default_rng(rank)
  covariance = random_covariance(rng, 200, rank)
  # Exactly 0; with roots of rounded zeros it would be about 1e-6.
  assert frechet_distance(np.zeros(200), covariance, np.zeros(200), covariance) < 1e-11
  assert frechet_distance(np.zeros(200), covariance, np.zeros(200), 4 * covariance) == pytest.approx(
      np.trace(covariance), rel=1e-12)
  assert frechet_distance(np.zeros(200), covariance, np.zeros(200), np.zeros([200, 200])) == pytest.approx(
      np.trace(covariance), rel=1e-12)


def test_scales_as_a_squared_length():
  rng = np.random.default_rng(1)
  mean, a, b = rng.normal(size=8), random_covariance(rng, 8), random_covariance(rng, 8, 3)
  distance = frechet_distance(mean, a, np.zeros(8), b)
  assert frechet_distance(1e3 * mean, 1e6 * a, np.zeros(8), 1e6 * b) == pytest.approx(1e6 * distance, rel=1e-12)


def test_running_moments_equal_numpys():
  samples = np.random.default_rng(2).normal(1e4, [1., 2., .1], [57, 3])
  moments = RunningMoments(3)
  for batch in np.split(samples, [1, 1, 20, 50]):
    moments.update(batch)
  assert moments.count == 57
  np.testing.assert_allclose(moments.mean, samples.mean(0), rtol=1e-14)
  np.testing.assert_allclose(moments.covariance(), np.cov(samples, rowvar=False), rtol=1e-9, atol=1e-12)


def test_running_moments_of_float32_are_of_float64():
  samples = np.random.default_rng(3).normal(100, 1, [1000, 2]).astype(np.float32)
  moments = RunningMoments(2)
  moments.update(samples)
  np.testing.assert_allclose(moments.covariance(), np.cov(samples.astype(np.float64), rowvar=False), rtol=1e-12)


def test_errors():
  with pytest.raises(ValueError, match=r'`covariance_1` must be \[2, 2\], received \[3, 3\]'):
    frechet_distance(np.zeros(2), np.eye(3), np.zeros(2), np.eye(2))
  with pytest.raises(ValueError, match=r'`mean_2` must be \[2\], received \[3\]'):
    frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
  with pytest.raises(ValueError, match='`covariance_2` must be finite'):
    frechet_distance(np.zeros(1), np.eye(1), np.zeros(1), [[np.nan]])
  moments = RunningMoments(1)
  moments.update(np.zeros([1, 1]))
  with pytest.raises(ValueError, match='at least 2 samples, received 1'):
    moments.covariance()
