"""Moments over every index set: against NumPy, on axes of size 1, at large means."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.equations import moments
from evonorm_tf.graph import primitives
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER

GROUPS = 4  # of 6 channels: 3 groups of 2
SHAPES = ((3, 6), (2, 5, 6), (2, 3, 4, 6), (2, 2, 3, 2, 6), (1, 1, 1, 6))


def expected_average(x, axes):
  """The mean over the index set, in the shape of x."""
  spatial = tuple(range(1, x.ndim - 1))
  if axes == GROUP:
    pairs = [x[..., i:i + 2].mean(spatial + (x.ndim - 1,), keepdims=True) for i in (0, 2, 4)]
    return np.broadcast_to(np.repeat(np.concatenate(pairs, -1), 2, -1), x.shape)
  averaged = {BATCH: (0,) + spatial, LAYER: spatial + (x.ndim - 1,), INSTANCE: spatial}[axes]
  return np.broadcast_to(x.mean(averaged, keepdims=True), x.shape)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('axes', primitives.INDEX_SETS)
def test_equal_numpy(axes, shape):
  x = np.random.default_rng(0).normal(.5, 2., shape)
  unit = [1] * (len(shape) - 2)
  kept = {BATCH: [1, *unit, 6], LAYER: [shape[0], *unit, 1]}.get(axes, [shape[0], *unit, 6])
  mean = expected_average(x, axes)
  for function, expected in ((moments.average, mean), (moments.variance, expected_average((x - mean)**2, axes)),
                             (moments.mean_of_squares, expected_average(x**2, axes))):
    actual = function(tf.constant(x), axes, GROUPS)
    assert actual.shape == kept
    np.testing.assert_allclose(np.broadcast_to(actual, shape), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('axes', primitives.INDEX_SETS)
def test_hand_worked_numbers(axes):
  x = tf.reshape(tf.range(16.), [2, 2, 4])  # samples 0 to 7 and 8 to 15; channels of sample 0: {0, 4}, {1, 5}, ...
  average = {BATCH: [6, 7, 8, 9], INSTANCE: [2, 3, 4, 5], LAYER: [3.5], GROUP: [2.5, 2.5, 4.5, 4.5]}[axes]
  variance = {BATCH: [20] * 4, INSTANCE: [4] * 4, LAYER: [5.25], GROUP: [4.25] * 4}[axes]
  np.testing.assert_allclose(moments.average(x, axes, groups=2)[0, 0], average)
  np.testing.assert_allclose(moments.variance(x, axes, groups=2)[0, 0], variance)


@pytest.mark.parametrize('shape', [(1, 1, 1, 6), (1, 1, 1, 1), (3, 1, 1, 1), (3, 1, 1, 6)])
@pytest.mark.parametrize('axes', primitives.INDEX_SETS)
def test_axes_of_size_1_broadcast(axes, shape):
  """The moment of a tensor that broadcasts equals that of the broadcast tensor."""
  x = np.random.default_rng(1).normal(size=shape)
  whole = np.broadcast_to(x, (3, 2, 2, 6))
  for function in (moments.average, moments.variance, moments.mean_of_squares):
    actual = function(tf.constant(x), axes, GROUPS)
    np.testing.assert_allclose(
        np.broadcast_to(actual, whole.shape),
        np.broadcast_to(function(tf.constant(whole), axes, GROUPS), whole.shape), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('axes', primitives.INDEX_SETS)
def test_variance_in_float32_at_a_large_mean(axes):
  x = np.random.default_rng(2).normal(1e4, 1., (8, 16, 16, 6)).astype(np.float32)
  exact = x.astype(np.float64)
  exact = expected_average((exact - expected_average(exact, axes))**2, axes)
  actual = moments.variance(tf.constant(x), axes, GROUPS)
  np.testing.assert_allclose(np.broadcast_to(actual, x.shape), exact, rtol=1e-3)


def test_groups_of_one_channel_add_no_square_of_zero():
  """It costs time, and TFLite's int8 kernels abort the process where a square is 0 for all data."""
  mean, variance = tf.ones([2, 1, 6]), tf.fill([2, 1, 6], 3.)
  for groups in (6, 32):
    assert moments.total_variance(mean, variance, GROUP, groups) is variance
  assert moments.total_variance(mean, variance, INSTANCE) is variance
  x = tf.constant(np.random.default_rng(0).normal(size=(3, 1, 6)))
  mean, variance = moments.sum_position_moments(x)
  np.testing.assert_array_equal(mean, x)
  np.testing.assert_array_equal(variance, 0.)


def test_variance_of_a_constant_is_zero():
  for axes in primitives.INDEX_SETS:
    np.testing.assert_array_equal(moments.variance(tf.fill([2, 4, 4, 6], 3.), axes, GROUPS), 0.)


@pytest.mark.parametrize('axes', primitives.INDEX_SETS)
def test_channels_stay_known_where_sizes_are_not(axes):
  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 6])])
  def twice(x):
    return moments.average(moments.variance(x, axes, GROUPS), axes, GROUPS)
  shape = twice.get_concrete_function().output_shapes
  assert shape.rank == 4 and shape[-1] == (1 if axes == LAYER else 6)


@pytest.mark.parametrize('shape', [(4, 3, 2, 6), (5, 6), (1, 1, 1, 6)])
@pytest.mark.parametrize('axes', primitives.INDEX_SETS)
def test_first_and_second_derivatives_of_the_variance(axes, shape):
  """Against central differences of the NumPy form's square sum, and of the gradient's."""
  rng, step = np.random.default_rng(5), 1e-5
  x, direction = rng.normal(size=shape), rng.normal(size=shape)

  def gradient(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      value = tf.reduce_sum(tf.square(moments.variance(x, axes, GROUPS) + 1.))
    return tape.gradient(value, x)

  def numpy_value(x):
    variance = primitives.average(np.square(x - primitives.average(x, axes, GROUPS)), axes, GROUPS)
    return np.square(variance + 1.).sum()

  with tf.GradientTape() as tape:
    tape.watch(constant := tf.constant(x))
    first = gradient(constant)
    norm = tf.reduce_sum(tf.square(first))
  difference = numpy_value(x + step * direction) - numpy_value(x - step * direction)
  np.testing.assert_allclose(np.sum(first * direction), difference / (2 * step), rtol=1e-7, atol=1e-8)
  high, low = (np.square(gradient(tf.constant(x + s * direction))).sum() for s in (step, -step))
  np.testing.assert_allclose(
      np.sum(tape.gradient(norm, constant) * direction), (high - low) / (2 * step), rtol=1e-7, atol=1e-8)
