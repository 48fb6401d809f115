"""Dropout that is a pure function of (seed, layer, step, replica), so that a training resumes exactly.

tf_keras draws masks from the random state of the process, which a checkpoint does not hold. XLA draws other masks.
"""

from collections.abc import Sequence

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

  def dropout(self, inputs: tf.Tensor, rate: float, noise_shape: Sequence[int] | None = None) -> tf.Tensor:
    """Returns the inputs with a share of `rate` set to 0 and the others divided by 1 − rate.

    Args:
      inputs: floats of any shape.
      rate: the probability with which a value is dropped, in [0, 1).
      noise_shape: the shape of the mask, which is broadcast to that of the inputs; None for the same.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    seed = tf.constant(self._seed, tf.int64)
    for number in (self._step, replica):
      seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
    shape = tf.shape(inputs) if noise_shape is None else tf.stack(noise_shape)
    kept = tf.random.stateless_uniform(shape, seed) >= rate
    return inputs * tf.cast(kept, inputs.dtype) / (1. - rate)


def bind_dropout(model: tf_keras.Model, seed: int, step: tf.Variable) -> None:
  """Makes all dropout of a model, stochastic depth included, a function of (seed, layer, step, replica)."""
  # Keras lists nested layers nowhere else; the order is that in which checkpoints have been trained.
  layers = model._flatten_layers()  # noqa: SLF001
  dropouts = [layer for layer in layers if isinstance(layer, tf_keras.layers.Dropout)]
  # By number, since tf_keras numbers the names of unnamed layers through the whole process.
  for index, layer in enumerate(dropouts):
    layer._random_generator = StepGenerator(seed, index, step)  # noqa: SLF001 Keras has no argument for it
