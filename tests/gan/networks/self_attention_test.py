"""Tests of self_attention: the formula in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from gan.networks.self_attention import SelfAttention
from gan.networks.weight_layers import WeightLayers

SHAPE = (2, 4, 6, 16)


def make(dtype=None, shape=SHAPE, spectral_norm=False):
  layer = SelfAttention(WeightLayers(spectral_norm, dtype=dtype), dtype=dtype)
  layer(tf.zeros(shape))
  return layer


def random_input(shape=SHAPE):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def pool(x):
  n, h, w, c = x.shape
  return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def flatten(x):
  return x.reshape(x.shape[0], -1, x.shape[-1])


def numpy_attention(layer, x):
  """The formula in float64, by the layer's weights."""
  theta, phi, g, o = (c.kernel.numpy()[0, 0].astype(np.float64) for c in (layer.theta, layer.phi, layer.g, layer.o))
  x = x.astype(np.float64)
  products = np.einsum('nic,njc->nij', flatten(x @ theta), flatten(pool(x @ phi)))
  weights = np.exp(products - products.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  read = np.einsum('nij,njc->nic', weights, flatten(pool(x @ g))) @ o
  return x + layer.gamma.numpy() * read.reshape(x.shape)


def test_output_is_the_formula():
  layer, x = make(), random_input()
  layer.gamma.assign(.7)
  assert [c.kernel.shape[-1] for c in (layer.theta, layer.phi, layer.g, layer.o)] == [2, 2, 8, 16]
  expected = numpy_attention(layer, x)
  assert np.abs(expected - x).max() > .1
  np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_it_starts_as_the_identity_and_gamma_learns():
  layer, x = make(), random_input()
  with tf.GradientTape() as tape:
    y = layer(x)
    loss = tf.reduce_sum(tf.square(y))
  np.testing.assert_array_equal(y, x)
  assert np.abs(tape.gradient(loss, layer.gamma)) > .1


@pytest.mark.parametrize('dtype,tolerance', (('mixed_float16', 3e-3), ('mixed_bfloat16', 3e-2)))
def test_large_maps_in_half_precision(dtype, tolerance):
  layer = make(tf_keras.mixed_precision.Policy(dtype))
  layer.gamma.assign(.7)
  x = 400. * random_input()  # θ·φ leaves float16's range
  y = layer(tf.cast(x, layer.compute_dtype))
  expected = numpy_attention(layer, x)
  assert y.dtype == layer.compute_dtype and np.all(np.isfinite(y))
  difference = np.abs(tf.cast(y, tf.float64) - expected)
  assert np.median(difference) < tolerance * 400.  # the softmax is one of two keys here and there, by rounding


def test_any_number_of_positions_and_few_channels():
  layer = make(shape=(1, 2, 2, 3), spectral_norm=True)
  function = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
  x = random_input((2, 6, 4, 3))
  layer.gamma.assign(.5)
  np.testing.assert_allclose(function(x), layer(x), rtol=1e-5, atol=1e-6)
