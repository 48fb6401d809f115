"""The six EvoNorm layers against NumPy formulas in float64, written independently from the paper's table."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.layers import evonorm as evonorm_bodies
from evonorm_tf.layers import keras2

B_LAYERS = (keras2.EvoNormB0, keras2.EvoNormB1, keras2.EvoNormB2)
S_LAYERS = (keras2.EvoNormS0, keras2.EvoNormS1, keras2.EvoNormS2)
LAYERS = B_LAYERS + S_LAYERS
EPSILON = 1e-5

# Shape, `groups` (None: the default, 32), and the groups that the rule makes of them.
SHAPES = (
    ((3, 5), 32, 5), ((4, 6), 4, 3), ((2, 5, 6), 4, 3), ((3, 4, 3, 8), 4, 4), ((3, 2, 4, 6), 1, 1),
    ((2, 3, 3, 7), 4, 1), ((2, 3, 3, 4), 32, 4), ((2, 3, 4, 1), 32, 1), ((1, 2, 3, 6), 2, 2), ((2, 1, 1, 6), 2, 2),
    ((1, 1, 1, 4), 2, 2), ((2, 2, 3, 2, 12), 8, 6), ((2, 2, 2, 64), None, 32), ((1, 2, 48), None, 24),
)
COMPILED = ((3, 4, 3, 8), (2, 2, 3, 2, 12))


def sigmoid(x):
  return 1. / (1. + np.exp(-x))


def batch_term(x, moving_variance):
  axes = tuple(range(x.ndim - 1))
  variance = np.var(x, axes) if moving_variance is None else moving_variance
  return np.sqrt(variance + EPSILON)


def instance_mean(x):
  return x.mean(tuple(range(1, x.ndim - 1)), keepdims=True)


def group_mean(x, groups):
  """The mean over w, h and the channels of a group, in the shape of x."""
  mean = np.empty_like(x)
  for i in range(x.shape[0]):
    for g in np.split(np.arange(x.shape[-1]), groups):
      mean[i][..., g] = x[i][..., g].mean()
  return mean


def formula(layer_class, x, gamma, beta, v1, groups=1, moving_variance=None):
  """The row of the paper's table; with the batch variance, or `moving_variance` instead."""
  rms = np.sqrt(instance_mean(x**2) + EPSILON)
  std = np.sqrt(instance_mean((x - instance_mean(x))**2) + EPSILON)
  y = {
      'EvoNormB0': lambda: x / np.maximum(batch_term(x, moving_variance), v1 * x + std),
      'EvoNormB1': lambda: x / np.maximum(batch_term(x, moving_variance), (x + 1) * rms),
      'EvoNormB2': lambda: x / np.maximum(batch_term(x, moving_variance), rms - x),
      'EvoNormS0': lambda: x * sigmoid(v1 * x) / np.sqrt(group_mean((x - group_mean(x, groups))**2, groups) + EPSILON),
      'EvoNormS1': lambda: x * sigmoid(x) / np.sqrt(group_mean((x - group_mean(x, groups))**2, groups) + EPSILON),
      'EvoNormS2': lambda: x * sigmoid(x) / np.sqrt(group_mean(x**2, groups) + EPSILON),
  }[layer_class.__name__]()
  return y * gamma + beta


def random_weights(channels, seed=0):
  """γ, β, v1 and a moving variance."""
  rng = np.random.default_rng(seed)
  return {'gamma': rng.uniform(.5, 2., channels), 'beta': rng.normal(size=channels),
          'v1': rng.normal(size=channels), 'moving_variance': rng.uniform(.1, 2., channels)}


def make_layer(layer_class, weights, groups=None, **options):
  """A built layer that holds those of the weights that it has."""
  if issubclass(layer_class, evonorm_bodies.SampleSeries) and groups:
    options['groups'] = groups
  layer = layer_class(**options)
  layer.build([None, None, None, len(weights['gamma'])])
  layer.input_spec = None  # any rank
  for name, value in weights.items():
    if hasattr(layer, name):
      getattr(layer, name).assign(value)
  return layer


@pytest.mark.parametrize('shape,groups,expected_groups', SHAPES)
@pytest.mark.parametrize('layer_class', LAYERS)
def test_equals_the_formula(layer_class, shape, groups, expected_groups):
  x = np.random.default_rng(1).normal(.5, 1.5, shape)
  weights = random_weights(shape[-1])
  # Compiling takes most of the time; tests of the gradient compile further shapes.
  layer = make_layer(layer_class, weights, groups, dtype='float64', jit_compile=None if shape in COMPILED else False)
  moving_variance = weights.pop('moving_variance')
  inference = formula(layer_class, x, **weights, groups=expected_groups, moving_variance=moving_variance)
  np.testing.assert_allclose(layer(x, training=False), inference, rtol=1e-10, atol=1e-12)
  np.testing.assert_allclose(
      layer(x, training=True), formula(layer_class, x, **weights, groups=expected_groups), rtol=1e-10, atol=1e-12)


# Two samples {-1, 1} and {7, 9} of one channel, ε = 8. s² is 17 over the batch and 1 over each sample, μ(x²) is 1 and
# 65: the batch term is √25, the instance terms of B0 are 3 + x, those of B1 (x + 1)·(3, √73), of B2 (3, √73) − x.
@pytest.mark.parametrize('layer_class,expected', [
    (keras2.EvoNormB0, [-1 / 5, 1 / 5, 7 / 10, 9 / 12]),
    (keras2.EvoNormB1, [-1 / 5, 1 / 6, 7 / (8 * 73**.5), 9 / (10 * 73**.5)]),
    (keras2.EvoNormB2, [-1 / 5, 1 / 5, 7 / 5, 9 / 5]),
    (keras2.EvoNormS0, [-.2689414214 / 3, .7310585786 / 3, 7 * .9990889488 / 3, 9 * .9998766054 / 3]),
    (keras2.EvoNormS1, [-.2689414214 / 3, .7310585786 / 3, 7 * .9990889488 / 3, 9 * .9998766054 / 3]),
    (keras2.EvoNormS2, [-.2689414214 / 3, .7310585786 / 3, 7 * .9990889488 / 73**.5, 9 * .9998766054 / 73**.5]),
])
def test_hand_worked_numbers(layer_class, expected):
  x = tf.reshape([-1., 1., 7., 9.], [2, 1, 2, 1])
  y = layer_class(epsilon=8.)(x, training=True)
  np.testing.assert_allclose(np.ravel(y), expected, rtol=1e-6)


def central_differences(function, arguments, step=1e-6):
  """The gradients of a scalar function by each of its keyword arguments."""
  gradients = {}
  for name, value in arguments.items():
    gradients[name] = np.empty_like(value)
    for i in np.ndindex(value.shape):
      shift = np.zeros_like(value)
      shift[i] = step
      high, low = (function(**{**arguments, name: value + s}) for s in (shift, -shift))
      gradients[name][i] = (high - low) / (2 * step)
  return gradients


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('layer_class', LAYERS)
def test_gradients_equal_central_differences_of_the_formula(layer_class, training):
  rng = np.random.default_rng(2)
  x, loss_weights = rng.normal(.2, 1., (2, 2, 3, 4)), rng.normal(size=(2, 2, 3, 4))
  arguments = random_weights(4)
  layer = make_layer(layer_class, arguments, groups=2, dtype='float64')
  moving_variance = None if training else arguments['moving_variance']
  del arguments['moving_variance']
  expected = central_differences(
      lambda **a: (formula(layer_class, groups=2, moving_variance=moving_variance, **a) * loss_weights).sum(),
      {'x': x, **arguments})
  variables = [v for v in (layer.gamma, layer.beta, getattr(layer, 'v1', None)) if v is not None]
  assert len(variables) == len(layer.trainable_variables) == (3 if layer_class.__name__.endswith('0') else 2)
  x = tf.constant(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    loss = tf.reduce_sum(layer(x, training=training) * loss_weights)
  for name, gradient in zip(('x', 'gamma', 'beta', 'v1'), tape.gradient(loss, [x] + variables)):
    np.testing.assert_allclose(gradient, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize('layer_class', B_LAYERS)
def test_moving_variance(layer_class):
  layer = layer_class()
  first, second = tf.reshape([-1., 1., 7., 9.], [2, 2, 1]), tf.reshape([0., 0., 0., 4.], [2, 2, 1])
  layer.build(first.shape)
  np.testing.assert_array_equal(layer.moving_variance, [1.])
  assert layer.moving_variance.name.split('/')[-1] == 'moving_variance:0' and not layer.moving_variance.trainable
  layer(first, training=True)
  np.testing.assert_allclose(layer.moving_variance, [.9 + .1 * 17.], rtol=1e-6)
  layer(second, training=True)  # the biased variance of 0, 0, 0, 4 is 3
  np.testing.assert_allclose(layer.moving_variance, [.9 * 2.6 + .1 * 3.], rtol=1e-6)
  layer(first, training=False)
  layer(first)
  layer.trainable = False
  frozen = layer(first, training=True)
  np.testing.assert_allclose(layer.moving_variance, [2.64], rtol=1e-6)
  np.testing.assert_array_equal(frozen, layer(first, training=False))


@pytest.mark.parametrize('layer_class', B_LAYERS)
def test_training_can_be_a_tensor(layer_class):
  x = tf.reshape([-1., 1., 7., 9.], [2, 2, 1])
  layer, expected = layer_class(), layer_class()
  for training in (True, False):
    np.testing.assert_allclose(layer(x, training=tf.constant(training)), expected(x, training=training), rtol=1e-6)
  np.testing.assert_allclose(layer.moving_variance, expected.moving_variance, rtol=1e-6)


def test_momentum_and_gradient_of_the_moving_variance():
  layer = keras2.EvoNormB0(momentum=.5)
  x = tf.reshape([-1., 1., 7., 9.], [2, 2, 1])
  with tf.GradientTape() as tape:
    tape.watch(x)
    layer(x, training=True)
    moving_variance = layer.moving_variance * 1.
  np.testing.assert_allclose(moving_variance, [9.], rtol=1e-6)
  assert tape.gradient(moving_variance, x) is None


# Noise of a few times the type's spacing on a large mean: statistics in that type would be far off, and in float32
# μ(x²) − μ(x)² would be. v1 = 0 lets the batch variance decide in B0.
@pytest.mark.parametrize('dtype,mean,noise,tolerance', [
    ('float16', 100., 1., 6e-4), ('bfloat16', 100., 3., 5e-3), ('float32', 2000., .5, 1e-3),
    ('mixed_float16', 100., 1., 6e-4), ('mixed_bfloat16', 100., 3., 5e-3)])
@pytest.mark.parametrize('layer_class', LAYERS)
def test_statistics_are_in_float32(layer_class, dtype, mean, noise, tolerance):
  compute_dtype = dtype.removeprefix('mixed_')
  x = tf.cast(np.random.default_rng(3).normal(mean, noise, (4, 5, 5, 6)), compute_dtype)
  weights = {**random_weights(6), 'v1': np.zeros(6)}
  layer = make_layer(layer_class, weights, groups=3, dtype=dtype)
  y = layer(x, training=True)
  moving_variance = weights.pop('moving_variance')
  expected = formula(layer_class, x.numpy().astype(np.float64), **weights, groups=3)
  assert y.dtype == compute_dtype and {v.dtype for v in layer.variables} == {tf.float32}
  np.testing.assert_allclose(y.numpy().astype(np.float64), expected, rtol=tolerance, atol=tolerance)
  if layer_class in B_LAYERS:
    batch_variance = x.numpy().astype(np.float64).var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_variance, .9 * moving_variance + .1 * batch_variance, rtol=1e-4)


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16', 'mixed_float16'])
@pytest.mark.parametrize('constant', [0., -1., 3.])
@pytest.mark.parametrize('layer_class', LAYERS)
def test_finite_gradients_on_constant_inputs(layer_class, constant, dtype):
  layer = layer_class(dtype=dtype, jit_compile=None if dtype == 'float32' else False)
  x = tf.fill([2, 2, 2, 4], tf.cast(constant, layer.compute_dtype))
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
    loss = tf.reduce_sum(tf.cast(y, tf.float32) * tf.range(4.))
  for value in [y] + tape.gradient(loss, [x] + layer.trainable_variables):
    assert np.isfinite(value.numpy().astype(np.float32)).all()


def value_and_gradients(layer, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
    loss = tf.reduce_sum(y * tf.sin(tf.range(6.)))
  return [y] + tape.gradient(loss, [x] + layer.trainable_variables)


# tests/evonorm_tf/gradients/tensorflow_gradient_test.py differentiates all of them in graphs that are not compiled.
@pytest.mark.parametrize('layer_class, jit_compile', [
    pytest.param(layer_class, jit_compile, marks=[pytest.mark.slow] * (
        not jit_compile and layer_class not in (B_LAYERS[0], S_LAYERS[0])))
    for layer_class in LAYERS for jit_compile in (False, True)])
def test_graph_of_unknown_sizes_equals_eager(layer_class, jit_compile):
  layer, copy = (make_layer(layer_class, random_weights(6), groups=2) for _ in range(2))
  function = tf.function(lambda x: value_and_gradients(copy, x), jit_compile=jit_compile,
                         input_signature=[tf.TensorSpec([None, None, None, 6])])
  for shape in ((3, 2, 4, 6), (1, 1, 1, 6)):
    x = tf.constant(np.random.default_rng(4).normal(size=shape), tf.float32)
    for actual, expected in zip(function(x), value_and_gradients(layer, x)):
      assert np.isfinite(expected).all()
      np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
  for actual, expected in zip(copy.variables, layer.variables):
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
