"""The template of compiled layers for tf_keras: `layer_template`, and what only tf_keras has or needs."""

import tensorflow as tf
import tf_keras

from evonorm_tf.engines.tensorflow_ops import axes_size as axes_size  # copied into files
from evonorm_tf.engines.tensorflow_ops import sum_over_replicas as sum_over_replicas  # as above
from search.code_generation.layer_template import LayerTemplate


def sum_samples(x: tf.Tensor) -> tf.Tensor:
  """Returns the sums over the first axis: [N, ...] -> [1, ...]."""
  return tf.reduce_sum(x, 0, keepdims=True)


class Template(LayerTemplate, tf_keras.layers.Layer):
  """The template of a layer of tf_keras, itself a layer: y = x·γ + β."""

  _keras = tf_keras

  def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
    """Returns the output's shape, which equals `input_shape`."""
    return tf.TensorShape(input_shape)

  def _add_vector(self, name: str, size: int, initializer: str, **options) -> tf.Variable:
    """Adds a weight of shape [size]."""
    return self.add_weight(name=name, shape=[size], dtype=self._weight_dtype, initializer=initializer,
                           experimental_autocast=False, **options)

  def _add_moving_average(self, name: str, size: int, initializer: str) -> tf.Variable:
    """Adds a moving average of shape [size]. Each replica updates its own; their mean is saved."""
    return self._add_vector(name, size, initializer, trainable=False, aggregation=tf.VariableAggregation.MEAN,
                            synchronization=tf.VariableSynchronization.ON_READ)
