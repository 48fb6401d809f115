"""Losses: numbers worked by hand, gradients by finite differences, and values at the edge of float32."""

import math

import numpy as np
import pytest
import tensorflow as tf

from gan.training import losses

LOSSES = [losses.hinge, losses.non_saturating, losses.wasserstein]
REAL, FAKE = [2., .5, -1.], [-3., 0., 1.5]
every_loss = pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: loss.__name__)


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
