"""Tests of spectral_norm: σ against NumPy's singular values, the gradient against finite differences."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from gan.networks import spectral_norm

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 5, 5, 3))
VECTORS = RNG.normal(size=(4, 7))
LABELS = np.array([0, 4, 2])


def make_convolution(**options):
  return spectral_norm.SpectralConv2D(6, 3, padding='same', **options)


def make_dense(**options):
  return spectral_norm.SpectralDense(5, **options)


def make_embedding(**options):
  return spectral_norm.SpectralEmbedding(8, 4, **options)


CASES = {
    'convolution': (make_convolution, IMAGES, lambda x, w: tf.nn.conv2d(x, w, 1, 'SAME')),
    'dense': (make_dense, VECTORS, lambda x, w: x @ w),
    'embedding': (make_embedding, LABELS, lambda x, w: tf.gather(w, x)),
}


def make(case, dtype='float64', seed=1):
  """A built layer with a random weight and bias, its input, and what the layer without spectral norm would do."""
  make_layer, x, function = CASES[case]
  layer = make_layer(dtype=dtype)
  x = tf.constant(x) if case == 'embedding' else tf.cast(x, layer.compute_dtype)
  layer(x)
  rng = np.random.default_rng(seed)
  for weight in layer.trainable_weights:
    weight.assign(rng.normal(size=weight.shape))
  return layer, x, function


def as_matrix(weight):
  return weight.numpy().astype(np.float64).reshape(-1, weight.shape[-1])


def largest_singular_value(weight):
  return np.linalg.svd(as_matrix(weight), compute_uv=False)[0]


def converge(layer, x, calls=200):
  """Calls it in training; one call is traced for all but the last, which is eager."""
  step = tf.function(lambda: layer(x, training=True), autograph=False)
  for _ in range(calls - 1):
    step()
  return layer(x, training=True)


@pytest.mark.parametrize('case', CASES)
def test_the_weight_is_divided_by_its_largest_singular_value(case):
  layer, x, function = make(case)
  weight = layer.weight.numpy()
  y = converge(layer, x)
  singular_value = np.linalg.svd(as_matrix(layer.weight))
  np.testing.assert_allclose(abs(layer.u.numpy() @ singular_value.Vh[0]), 1., rtol=1e-6)
  np.testing.assert_allclose(layer.power_iteration()[0], singular_value.S[0], rtol=1e-9)
  bias = 0. if case == 'embedding' else layer.bias
  np.testing.assert_allclose(y, function(x, weight / singular_value.S[0]) + bias, rtol=1e-6, atol=1e-9)
  np.testing.assert_array_equal(layer.weight, weight)


def test_a_call_in_training_takes_one_power_iteration_and_inference_keeps_u():
  layer, x, _ = make('convolution')
  matrix, u = as_matrix(layer.weight), layer.u.numpy()
  v = matrix @ u / np.linalg.norm(matrix @ u)
  next_u = matrix.T @ v / np.linalg.norm(matrix.T @ v)
  np.testing.assert_allclose(layer.power_iteration()[0], v @ matrix @ next_u, rtol=1e-12)
  in_inference = [layer(x), layer(x, training=False), layer(x, training=tf.constant(False))]
  np.testing.assert_array_equal(layer.u, u)
  in_training = layer(x, training=True)
  np.testing.assert_allclose(layer.u, next_u, rtol=1e-12)
  for y in in_inference:
    np.testing.assert_allclose(y, in_training, rtol=1e-12)
  layer(x, training=tf.constant(True))
  assert np.abs(layer.u - next_u).max() > 1e-4


@pytest.mark.parametrize('case', CASES)
def test_the_gradient_goes_through_sigma(case):
  layer, x, function = make(case)
  converge(layer, x, 600)
  loss_weights = np.random.default_rng(2).normal(size=layer(x).shape)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(x, training=True) * loss_weights)
  gradient = tape.gradient(loss, layer.weight).numpy()

  def loss_at(weight):
    sigma = np.linalg.svd(weight.reshape(-1, weight.shape[-1]), compute_uv=False)[0]
    return np.sum(np.asarray(function(x, weight / sigma)) * loss_weights)

  weight = layer.weight.numpy()
  for index in list(np.ndindex(weight.shape))[::7]:
    step = np.zeros_like(weight)
    step[index] = 1e-5
    difference = (loss_at(weight + step) - loss_at(weight - step)) / 2e-5
    np.testing.assert_allclose(gradient[index], difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('policy', ('mixed_float16', 'mixed_bfloat16', 'float16', 'bfloat16'))
@pytest.mark.parametrize('case', CASES)
def test_sigma_is_float32_in_half_precision(case, policy):
  layer, x, function = make(case, tf_keras.mixed_precision.Policy(policy))
  layer.weight.assign(3000. * layer.weight)  # products of such weights leave float16's range
  y = converge(layer, x, 100)
  assert y.dtype == layer.compute_dtype and layer.u.dtype == tf.float32
  sigma = largest_singular_value(layer.weight)
  np.testing.assert_allclose(layer.power_iteration()[0], sigma, rtol=1e-4)
  bias = 0. if case == 'embedding' else tf.cast(layer.bias, tf.float64)
  wide = x if case == 'embedding' else tf.cast(x, tf.float64)
  expected = function(wide, tf.cast(layer.weight, tf.float64) / sigma) + bias
  np.testing.assert_allclose(tf.cast(y, tf.float64), expected, atol=.05 if 'bfloat16' in policy else .01)


def test_a_compiled_step_is_the_same():
  layer, x, _ = make('convolution', 'float32')
  other, _, _ = make('convolution', 'float32')
  other.set_weights(layer.get_weights())
  compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True)
  for _ in range(2):
    np.testing.assert_allclose(compiled(x), other(x, training=True), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(layer.u, other.u, rtol=1e-5)


@pytest.mark.parametrize('case', CASES)
def test_a_weight_of_zeros_stays(case):
  layer, x, _ = make(case)
  layer.weight.assign(tf.zeros_like(layer.weight))
  u = layer.u.numpy()
  with tf.GradientTape() as tape:
    y = layer(x, training=True)
    loss = tf.reduce_sum(y)
  gradient = tape.gradient(loss, layer.weight)
  np.testing.assert_array_equal(layer.u, u)
  np.testing.assert_array_equal(y, np.zeros(y.shape) + (0. if case == 'embedding' else layer.bias.numpy()))
  assert np.all(np.isfinite(gradient)) and np.any(gradient != 0.)


def test_replicas_hold_the_same_u_also_in_a_loop(tmp_path):
  strategy = get_strategy('mirrored')
  with strategy.scope():
    layer = make_dense()
    layer.build((None, 7))
  alone = make_dense()
  alone.build((None, 7))
  alone.set_weights(layer.get_weights())

  def steps(layer, x):
    for _ in tf.range(3):
      layer(x, training=True)

  @tf.function
  def run():
    strategy.run(lambda: steps(layer, tf.constant(VECTORS, tf.float32)))

  run()
  steps(alone, tf.constant(VECTORS, tf.float32))
  replicas = [u.numpy() for u in strategy.experimental_local_results(layer.u)]
  assert len(replicas) == 2
  np.testing.assert_array_equal(*replicas)
  np.testing.assert_allclose(replicas[0], alone.u, rtol=1e-5)
  path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / 'checkpoint'))
  alone.u.assign(tf.zeros_like(alone.u))
  tf.train.Checkpoint(layer=alone).read(path).assert_consumed()
  np.testing.assert_array_equal(alone.u, replicas[0])


def test_singular_values_by_the_weights_names():
  model = tf_keras.Sequential([make_convolution(name='first'), tf_keras.layers.Flatten(), make_dense(name='last')])
  model.build((None, 4, 4, 3))
  images = tf.constant(RNG.normal(size=(2, 4, 4, 3)), tf.float32)
  converge(model, images)
  values = spectral_norm.singular_values(model)
  assert values.keys() == {'first/kernel', 'last/kernel'}
  for layer in (model.layers[0], model.layers[2]):
    np.testing.assert_allclose(values[f'{layer.name}/kernel'], largest_singular_value(layer.weight), rtol=1e-4)
