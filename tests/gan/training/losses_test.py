"""Losses: numbers by hand, gradients by finite differences, float32's edge, gin; the penalty: BigGAN's equation 3."""

import math

import gin
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from gan.networks.spectral_norm import SpectralConv2D
from gan.networks.spectral_norm import SpectralDense
from gan.networks.spectral_norm import SpectralEmbedding
from gan.training import losses
from gan.training.losses import orthogonal_penalty
from gan.training.step import StepSettings

LOSSES = [losses.hinge, losses.non_saturating, losses.wasserstein]
REAL, FAKE = [2., .5, -1.], [-3., 0., 1.5]
every_loss = pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: loss.name)


def values(loss, real, fake):
  real, fake = tf.constant(real), tf.constant(fake)
  return float(loss.d_loss(real, fake)), float(loss.g_loss(fake))


def softplus(x):
  return math.log(1 + math.exp(x))


@pytest.mark.parametrize('loss, d_loss, g_loss', [
    (losses.hinge, (0 + .5 + 2) / 3 + (0 + 1 + 2.5) / 3, .5),
    (losses.wasserstein, -.5 - .5, .5),
    (losses.non_saturating, sum(softplus(-x) for x in REAL) / 3 + sum(map(softplus, FAKE)) / 3,
     sum(softplus(-x) for x in FAKE) / 3)])
def test_values(loss, d_loss, g_loss):
  assert values(loss, REAL, FAKE) == pytest.approx((d_loss, g_loss), rel=1e-6)


@every_loss
def test_gradients_are_finite_differences(loss):
  logits = np.array([[1.7, .3, -.8], [-2.2, .1, 1.4]])  # no kink of the hinge is near

  def d_loss(logits):
    return loss.d_loss(logits[0], logits[1])

  def g_loss(logits):
    return loss.g_loss(logits[1])

  for function in (d_loss, g_loss):
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = function(x)
    gradient = tape.gradient(y, x).numpy()
    for place in np.ndindex(2, 3):
      shift = np.zeros((2, 3))
      shift[place] = 1e-6
      expected = (float(function(tf.constant(logits + shift))) - float(function(tf.constant(logits - shift)))) / 2e-6
      assert gradient[place] == pytest.approx(expected, abs=1e-8), (function.__name__, place)


@every_loss
def test_great_logits_stay_finite_and_a_perfect_discriminator_has_the_least_loss(loss):
  perfect, confused, fooled = (values(loss, [x], [-x]) for x in (1e4, 0., -1e4))
  assert np.isfinite([perfect, confused, fooled]).all()
  assert perfect[0] < confused[0] < fooled[0] and perfect[1] > confused[1] > fooled[1]


@pytest.mark.usefixtures('no_configuration')
@pytest.mark.parametrize('reference', ['@losses.non_saturating', '@losses.non_saturating()'])
def test_gin_refers_to_a_loss(reference):
  gin.parse_config(f"""
      from __gin__ import dynamic_registration
      from gan.training import losses
      from gan.training import step
      step.StepSettings.batch_size = 8
      step.StepSettings.loss = {reference}
      """)
  settings = gin.get_configurable(StepSettings)()
  assert settings.loss is losses.non_saturating
  assert f'loss = {reference}' in gin.operative_config_str()


def test_a_loss_of_ones_own():
  class Own:
    """What users' own gin files may name: a class with both functions."""
    d_loss = staticmethod(lambda real_logits, fake_logits: tf.reduce_mean(fake_logits - real_logits))
    g_loss = staticmethod(lambda fake_logits: -tf.reduce_mean(fake_logits))

  assert StepSettings(8, loss=Own).loss is Own
  with pytest.raises(ValueError, match='`loss` must have `d_loss` and `g_loss`, such as @losses.hinge, received <func'):
    StepSettings(8, loss=softplus)


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
