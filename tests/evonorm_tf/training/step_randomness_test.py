"""Dropout by step: the same masks at the same step in another model, others at another step, layer or seed."""

import numpy as np
import tensorflow as tf
import tf_keras

from evonorm_tf.training.step_randomness import bind_dropout


def masks(seed, step, noise_shape=None):
  """The outputs of two dropout layers for ones [64, 32]."""
  inputs = tf_keras.Input((32,))
  layers = [tf_keras.layers.Dropout(.25, noise_shape=noise_shape) for _ in range(2)]
  model = tf_keras.Model(inputs, [layer(inputs) for layer in layers])
  bind_dropout(model, seed, tf.Variable(step, dtype=tf.int64))
  return [y.numpy() for y in tf.function(model)(tf.ones([64, 32]), training=True)]


def test_masks_follow_from_seed_layer_and_step():
  first, second = masks(0, 5)
  np.testing.assert_array_equal(first, masks(0, 5)[0])
  for other in (second, masks(0, 6)[0], masks(1, 5)[0]):
    assert (first != other).mean() > .2


def test_rate_and_scale():
  y, _ = masks(0, 0)
  np.testing.assert_allclose(np.unique(y), [0., 1. / .75], rtol=1e-6)
  assert abs((y == 0.).mean() - .25) < .05


def test_noise_shape_drops_whole_samples():
  y, _ = masks(3, 0, noise_shape=(None, 1))
  assert set(np.ptp(y, axis=1)) == {0.} and 0 < (y[:, 0] == 0.).mean() < .6
