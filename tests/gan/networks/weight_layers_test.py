"""Tests of weight_layers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from gan.networks.spectral_norm import SpectralNorm
from gan.networks.weight_layers import WeightLayers

MAKE = {
    'convolution': (lambda layers: layers.convolution(5, 3, 'layer'), tf.ones([2, 4, 4, 3])),
    'dense': (lambda layers: layers.dense(5, 'layer', use_bias=False), tf.ones([2, 27])),
    'embedding': (lambda layers: layers.embedding(27, 5, 'layer'), tf.constant([1, 2])),
}


@pytest.mark.parametrize('spectral_norm', (True, False))
@pytest.mark.parametrize('kind', MAKE)
def test_layers(kind, spectral_norm):
  make, x = MAKE[kind]
  layer = make(WeightLayers(spectral_norm, dtype='mixed_float16'))
  y = layer(x)
  assert isinstance(layer, SpectralNorm) == spectral_norm
  assert y.dtype == tf.float16 and y.shape == ((2, 5) if kind == 'embedding' else (*x.shape[:-1], 5))
  assert len(layer.trainable_weights) == (2 if kind == 'convolution' else 1)
  matrix = layer.trainable_weights[0].numpy().reshape(27, 5)
  np.testing.assert_allclose(matrix.T @ matrix, np.eye(5), atol=1e-5)


def test_each_layer_draws_its_own_values():
  layers = WeightLayers(initializer='n02')
  first, second = layers.dense(300, 'first'), layers.dense(300, 'second')
  for layer in (first, second):
    layer.build((None, 200))
    np.testing.assert_allclose(np.std(layer.kernel), .02, rtol=.05)
  assert np.abs(first.kernel - second.kernel).max() > .01


def test_unknown_initializer():
  with pytest.raises(ValueError, match="`initializer` must be one of .*'n02'.*, received 'glorot'"):
    WeightLayers(initializer='glorot')


def test_a_policy_is_taken_too():
  layer = WeightLayers(dtype=tf_keras.mixed_precision.Policy('mixed_bfloat16')).dense(3, 'layer')
  assert (layer.compute_dtype, layer.dtype) == ('bfloat16', 'float32')
