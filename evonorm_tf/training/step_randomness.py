"""Dropout whose masks are a pure function of (seed, layer, step, replica), so that training resumes exactly.

tf_keras draws masks from the random state of the process, which a checkpoint does not contain. With XLA the masks
differ from those without.
"""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras


class StepGenerator:
  """A replacement for the random generator of a tf_keras Dropout layer, with masks that depend on the training step.

  Args:
    seed: an integer.
    index: the number of the Dropout layer in its model; layers with different numbers draw different masks.
    step: the variable that counts training steps.
  """

  def __init__(self, seed: int, index: int, step: tf.Variable):
    self._seed = [seed, index]
    self._step = step

  def dropout(self, inputs: tf.Tensor, rate: float, noise_shape: Sequence[int] | None = None) -> tf.Tensor:
    """Sets each value to 0 with probability `rate` and divides the other values by 1 − rate; called in a replica.

    Args:
      inputs: floating-point tensor of any shape.
      rate: the probability with which a value is dropped, in [0, 1).
      noise_shape: the shape of the mask, which is broadcast to the shape of the inputs; None, the default, for the
        shape of the inputs.

    Returns:
      A tensor with the shape and dtype of the inputs.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    seed = tf.constant(self._seed, tf.int64)
    for number in (self._step, replica):
      seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
    shape = tf.shape(inputs) if noise_shape is None else tf.stack(noise_shape)
    kept = tf.random.stateless_uniform(shape, seed) >= rate
    return inputs * tf.cast(kept, inputs.dtype) / (1. - rate)


def bind_dropout(model: tf_keras.Model, seed: int, step: tf.Variable) -> None:
  """Makes all dropout of a model, including stochastic depth, a function of (seed, layer, step, replica).

  Args:
    model: the model, whose Dropout layers get a new random generator.
    seed: an integer.
    step: the variable that counts training steps.
  """
  # Keras lists nested layers nowhere else. Their order must not change, or resumed trainings would draw other masks.
  layers = model._flatten_layers()  # noqa: SLF001
  dropouts = [layer for layer in layers if isinstance(layer, tf_keras.layers.Dropout)]
  # Numbers identify the layers, not names: tf_keras counts unnamed layers through the whole process.
  for index, layer in enumerate(dropouts):
    layer._random_generator = StepGenerator(seed, index, step)  # noqa: SLF001 Keras has no argument for it
