"""Pictures: what lies where in a grid, which z and label make it."""

import numpy as np
import pytest
import tensorflow as tf

from gan.samples import pictures
from gan.samples.pictures import COLUMNS
from gan.samples.pictures import Pictures
from gan.samples.pictures import TRUNCATIONS


class Recorder:
  """A generator of 2×2 pixels that show its input: red and green are tanh of z's first two numbers, blue the label."""
  z_size = 2
  resolution = 2

  def __init__(self, num_classes=10):
    self.num_classes = num_classes

  def __call__(self, inputs, training):
    z, labels = inputs
    assert training is False
    colours = tf.stack([tf.tanh(z[:, 0]), tf.tanh(z[:, 1]), tf.cast(labels, tf.float32) / self.num_classes], -1)
    return tf.tile(colours[:, None, None], [1, 2, 2, 1])


def images_of(grid):
  """`[rows, columns, 3]`: the colour of each image of 2×2 pixels."""
  assert grid.dtype == np.uint8 and grid.shape[1] == 2 * COLUMNS
  assert (grid[::2] == grid[1::2]).all() and (grid[:, ::2] == grid[:, 1::2]).all()
  return grid[::2, ::2].astype(int)


def z_of(colours):
  """z `[rows, columns, 2]`, as exact as 256 values of its tanh allow."""
  return np.arctanh(np.clip(colours[..., :2] / 127.5 - 1, -.999, .999))


def labels_of(colours, num_classes=10):
  return np.round((colours[..., 2] / 127.5 - 1) * num_classes)


@pytest.mark.parametrize('num_classes, classes, expected', [
    (10, None, range(10)), (3, None, range(3)), (1000, None, range(0, 1000, 100)), (10, [7, 2], [7, 2])])
def test_samples_have_one_row_a_class_and_one_z_a_column(num_classes, classes, expected):
  colours = images_of(Pictures(Recorder(num_classes), 1, classes).samples())
  assert len(colours) == len(expected)
  assert (colours[..., :2] == colours[:1, :, :2]).all() and len({tuple(c) for c in colours[0, :, :2]}) == COLUMNS
  assert np.abs(labels_of(colours, num_classes) - np.array(expected)[:, None]).max() <= max(1, num_classes / 127)


def test_interpolations_are_straight_lines_between_draws_of_their_own():
  z = z_of(images_of(Pictures(Recorder(), 1, [0, 1, 2], truncation=1.).interpolations()))
  weights = np.linspace(0, 1, COLUMNS)[None, :, None]
  np.testing.assert_allclose(z, (1 - weights) * z[:, :1] + weights * z[:, -1:], atol=.05)
  assert len({tuple(end) for end in np.round(z[:, [0, -1]], 2).reshape(-1, 2)}) == 6


def test_truncation_grows_from_row_to_row():
  z = z_of(images_of(Pictures(Recorder(), 1).truncations()))
  assert len(z) == len(TRUNCATIONS) + 1
  for row, truncation in zip(z, TRUNCATIONS):
    assert np.abs(row).max() <= truncation + .05
  assert (np.abs(z[1:-1]) >= np.abs(z[:-2]) - .05).all()


def test_truncation_bounds_samples():
  z = z_of(images_of(Pictures(Recorder(), 1, truncation=.2).samples()))
  assert np.abs(z).max() <= .21


def test_grids_go_on_for_the_same_seed_alone():
  first, again, other = (Pictures(Recorder(), seed).grids() for seed in (1, 1, 2))
  for name in ('samples', 'interpolations', 'truncations'):
    assert np.array_equal(first[name], again[name]) and not np.array_equal(first[name], other[name])


def test_pixels_and_places():
  images = np.linspace(-1, 1, 2 * 3 * 4 * 5 * 3).reshape(6, 4, 5, 3)
  grid = pictures.make_grid(images, columns=3)
  assert grid.shape == (8, 15, 3)
  np.testing.assert_array_equal(grid[4:, 5:10], np.round((images[4] + 1) / 2 * 255))
  assert (grid.min(), grid.max()) == (0, 255)
