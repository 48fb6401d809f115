"""Dropout that is a pure function of (seed, layer, step, replica), so that training goes on exactly from a checkpoint.

tf_keras draws masks from the process's random state, which a checkpoint does not hold. Under XLA the masks
are others.
"""

import tensorflow as tf
import tf_keras


class StepGenerator:
  """Takes the place of the generator of a tf_keras Dropout layer.

  Args:
    seed: an integer.
    index: the layer's number in its model; layers of different numbers draw different masks.
    step: the variable of the training step.
  """

  def __init__(self, seed: int, index: int, step: tf.Variable):
    self._seed = [seed, index]
    self._step = step

  def dropout(self, inputs: tf.Tensor, rate: float, noise_shape=None) -> tf.Tensor:
    """Returns the inputs with a share of `rate` set to 0 and the others divided by 1 − rate."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    seed = tf.constant(self._seed, tf.int64)
    for number in (self._step, replica):
      seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
    shape = tf.shape(inputs) if noise_shape is None else tf.stack(noise_shape)
    kept = tf.random.stateless_uniform(shape, seed) >= rate
    return inputs * tf.cast(kept, inputs.dtype) / (1. - rate)


def bind_dropout(model: tf_keras.Model, seed: int, step: tf.Variable) -> None:
  """Makes all dropout of a model, stochastic depth included, a function of (seed, layer, step, replica)."""
  layers = [layer for layer in model._flatten_layers() if isinstance(layer, tf_keras.layers.Dropout)]
  # By number, for tf_keras numbers the names of unnamed layers through the whole process.
  for index, layer in enumerate(layers):
    layer._random_generator = StepGenerator(seed, index, step)
