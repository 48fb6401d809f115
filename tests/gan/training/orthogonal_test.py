"""Tests of orthogonal: BigGAN's equation 3 in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from gan.networks.spectral_norm import SpectralConv2D
from gan.networks.spectral_norm import SpectralDense
from gan.networks.spectral_norm import SpectralEmbedding
from gan.training.losses import orthogonal_penalty


def penalty_of(kernel):
  matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
  return np.sum(np.square((matrix.T @ matrix) * (1. - np.eye(matrix.shape[1]))))


def build(layer, shape):
  layer.build(shape)
  return layer


@pytest.mark.parametrize('layer,shape', (
    (tf_keras.layers.Conv2D(4, 3), (None, 5, 5, 2)),
    (tf_keras.layers.Dense(9), (None, 3)),  # more outputs than inputs
    (SpectralConv2D(30, 3), (None, 5, 5, 2)),
    (SpectralDense(3), (None, 9)),
))
def test_value_and_gradient_are_the_equation(layer, shape):
  layer.build(shape)
  layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape))
  with tf.GradientTape() as tape:
    penalty = orthogonal_penalty(tf_keras.Sequential([layer]), .25)
  np.testing.assert_allclose(penalty, .25 * penalty_of(layer.kernel), rtol=1e-4)
  matrix = layer.kernel.numpy().astype(np.float64).reshape(-1, layer.kernel.shape[-1])
  expected = matrix @ (matrix.T @ matrix * (1. - np.eye(matrix.shape[1])))  # .25·4
  gradient = tape.gradient(penalty, layer.kernel).numpy().reshape(matrix.shape)
  np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


def test_norms_are_free_and_a_single_filter_costs_nothing():
  orthogonal = build(tf_keras.layers.Dense(4, kernel_initializer='orthogonal'), (None, 9))
  orthogonal.kernel.assign(orthogonal.kernel * [1., 2., 3., 4.])
  single = build(tf_keras.layers.Conv2D(1, 3), (None, 5, 5, 2))
  assert orthogonal_penalty(tf_keras.Sequential([orthogonal, single]), 1.) < 1e-8


def test_sums_over_layers_and_spares_embeddings_and_biases():
  layers = [build(SpectralDense(5), (None, 3)), build(SpectralDense(2), (None, 5)),
            build(SpectralEmbedding(6, 3), (None,))]
  penalty = orthogonal_penalty(tf_keras.Sequential(layers), 2.)
  np.testing.assert_allclose(penalty, 2. * sum(penalty_of(layer.kernel) for layer in layers[:2]), rtol=1e-4)
