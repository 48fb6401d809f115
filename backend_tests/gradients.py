"""Values and gradients of a Keras 3 layer on the backend at hand, as NumPy arrays."""

import keras
import numpy as np

BACKEND = keras.backend.backend()


def values_and_gradients(layer, x, cotangent, training=True):
  """y for a built layer, then the gradients of Σ cotangent·y by x and each trainable weight, all in NumPy."""
  return [np.asarray(keras.ops.convert_to_numpy(t)) for t in _FORMS[BACKEND](layer, x, cotangent, training)]


def _in_jax(layer, x, cotangent, training):
  import jax

  def loss(trainable, x):
    y, _ = layer.stateless_call(trainable, others, x, training=training)
    return (y * cotangent).sum(), y

  trainable, others = ([v.value for v in some] for some in (
      layer.trainable_variables, layer.non_trainable_variables))
  function = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))  # one compilation, not one of each operation
  (_, y), (by_weights, by_x) = function(trainable, jax.numpy.asarray(x))
  return [y, by_x, *by_weights]


def _in_torch(layer, x, cotangent, training):
  import torch
  x = torch.tensor(x, requires_grad=True)
  weights = [v.value for v in layer.trainable_variables]
  y = layer(x, training=training)
  gradients = torch.autograd.grad((y * torch.tensor(cotangent)).sum(), [x, *weights], allow_unused=True)
  return [y.detach(), *(torch.zeros_like(w) if g is None else g for g, w in zip(gradients, [x, *weights]))]


def _in_tensorflow(layer, x, cotangent, training):
  import tensorflow as tf
  x, weights = tf.constant(x), [v.value for v in layer.trainable_variables]
  with tf.GradientTape() as tape:
    tape.watch([x, *weights])
    y = layer(x, training=training)
    loss = tf.reduce_sum(y * cotangent)
  return [y, *tape.gradient(loss, [x, *weights], unconnected_gradients='zero')]


_FORMS = {'jax': _in_jax, 'torch': _in_torch, 'tensorflow': _in_tensorflow}
