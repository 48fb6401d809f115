"""NormActLayer: the bodies of our norm-activation layers as tf_keras layers."""

import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act_body import NormActBody


class NormActLayer(NormActBody, tf_keras.layers.Layer):
  __doc__ = NormActBody.__doc__
  _keras = tf_keras

  def compute_output_shape(self, input_shape):
    return tf.TensorShape(input_shape)

  def _add_variable(self, name, shape, initializer, per_replica=False, **options):
    """Adds a weight of the layer's weight dtype; `per_replica`: each replica its own, saved as their mean."""
    if per_replica:
      options.update(synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.MEAN)
    return self.add_weight(name=name, shape=shape, dtype=self._weight_dtype, initializer=initializer,
                           experimental_autocast=False, **options)
