"""What tests of the converter share: images, telling weights, and the comparison of a model with another one."""

import numpy as np
import tensorflow as tf


def images(size=8, channels=3):
  return np.random.default_rng(0).normal(size=(4, size, size, channels)).astype(np.float32)


def randomize(model):
  """Gives γ, β and the moving statistics values that show whether they were carried over."""
  rng = np.random.default_rng(1)
  for weight in model.weights:
    if len(weight.shape) == 1:
      weight.assign(rng.uniform(.5, 1.5, weight.shape))


def assert_same_outputs(model, converted, inputs):
  """Compares outputs in training, and in inference afterwards, when the moving statistics have moved a little."""
  for training in (True, False):
    expected, received = model(inputs, training=training), converted(inputs, training=training)
    tf.nest.assert_same_structure(expected, received)
    for value, other in zip(tf.nest.flatten(expected), tf.nest.flatten(received)):
      assert np.abs(value).max() > 1e-6
      np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6)
