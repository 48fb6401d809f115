"""The six EvoNorms and the layer of layer graphs in tf_keras: the twin of `keras3`.

Bodies and docstrings are in `evonorm`, `graph_layer` and `norm_act_body`; `documented` joins them.
"""

from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.layers import evonorm
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.documentation import documented
from evonorm_tf.layers.norm_act_body import Identifier
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.norm_act_body import Shape


class NormActLayer(NormActBody, tf_keras.layers.Layer):
  """Joins a body to tf_keras: y = f(x)·γ + β, where a subclass gives f. See `NormActBody` for the arguments."""

  _keras = tf_keras

  def compute_output_shape(self, input_shape: Shape) -> tf.TensorShape:
    return tf.TensorShape(input_shape)

  def _add_variable(self, name: str, shape: Shape, initializer: Identifier, per_replica: bool = False, **options: Any
                    ) -> tf.Variable:
    """Adds a weight of the layer's weight dtype; if `per_replica`, each replica has its own, saved as their mean."""
    if per_replica:
      options.update(synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.MEAN)
    return self.add_weight(name=name, shape=shape, dtype=self._weight_dtype, initializer=initializer,
                           experimental_autocast=False, **options)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormB0(evonorm.B0, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormB1(evonorm.B1, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormB2(evonorm.B2, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormS0(evonorm.S0, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormS1(evonorm.S1, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormS2(evonorm.S2, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class GraphLayer(graph_layer.Graph, NormActLayer):
  pass
