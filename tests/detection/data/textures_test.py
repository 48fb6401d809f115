"""Textures: their range, their scale, and that they vary."""

import numpy as np

from detection.data import shape_scenes


def test_noise():
  image = shape_scenes.noise(np.random.default_rng(0), 64, cells=2, octaves=1)
  assert image.shape == (64, 64) and image.dtype == np.float32 and (image.min(), image.max()) == (0, 1)
  neighbours = lambda noise: np.abs(np.diff(noise)).mean()
  fine = shape_scenes.noise(np.random.default_rng(0), 64, cells=16, octaves=1)
  assert neighbours(fine) > 3 * neighbours(image)
  assert neighbours(shape_scenes.noise(np.random.default_rng(0), 64, cells=2, octaves=4)) > 2 * neighbours(image)


def test_patterns():
  rng = np.random.default_rng(0)
  patterns = [shape_scenes.pattern(rng, 48, (6, 12)) for _ in range(60)]
  for pattern in patterns:
    assert pattern.shape == (48, 48) and pattern.dtype == np.float32
    assert 0 <= pattern.min() < .2 and .8 < pattern.max() <= 1
  shares = [np.mean(pattern > .5) for pattern in patterns]
  assert min(shares) < .35 and max(shares) > .45  # dots cover less than stripes and checks


def test_period():
  """The strongest frequency of stripes and checks lies in the range asked for."""
  rng = np.random.default_rng(1)
  found = []
  for _ in range(40):
    spectrum = np.abs(np.fft.fft2(shape_scenes.pattern(rng, 128, (8, 10)) - .5))
    spectrum[0, 0] = 0
    y, x = np.unravel_index(spectrum.argmax(), spectrum.shape)
    found.append(128 / np.hypot(min(y, 128 - y), min(x, 128 - x)))
  inside = [5 < period < 11 for period in found]  # checks lie at the diagonal: a period of 1/sqrt(2)
  assert np.mean(inside) > .6  # the others are noise


def test_mix():
  first, second = np.array([0., .5, 1.]), np.array([1., .5, 0.])
  mixed = shape_scenes.mix(np.array([[0., 1.], [.25, .5]]), first, second)
  np.testing.assert_allclose(mixed, [[first, second], [[.25, .5, .75], [.5, .5, .5]]])
