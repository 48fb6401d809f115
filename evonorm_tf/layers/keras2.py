"""The six EvoNorm layers of tf_keras; their bodies, equations and arguments are in `evonorm`."""

import tensorflow as tf
import tf_keras

from evonorm_tf.layers import evonorm
from evonorm_tf.layers import graph_layer
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


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB0(evonorm.B0, NormActLayer):
  __doc__ = evonorm.B0.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB1(evonorm.B1, NormActLayer):
  __doc__ = evonorm.B1.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB2(evonorm.B2, NormActLayer):
  __doc__ = evonorm.B2.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS0(evonorm.S0, NormActLayer):
  __doc__ = evonorm.S0.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS1(evonorm.S1, NormActLayer):
  __doc__ = evonorm.S1.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS2(evonorm.S2, NormActLayer):
  __doc__ = evonorm.S2.__doc__


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class GraphLayer(graph_layer.Graph, NormActLayer):
  __doc__ = graph_layer.Graph.__doc__
