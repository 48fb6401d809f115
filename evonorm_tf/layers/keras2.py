"""Norm-activation layers for tf_keras: the six EvoNorms and `GraphLayer`. See `evonorm_tf.keras3` for Keras 3.

The equations, weights and docstrings are in `evonorm`, `graph_layer` and `norm_act_body`, in classes that subclass no
Keras layer. Each class here combines one of them with tf_keras's `Layer` and registers it, so that saved models can be
loaded. The decorator `documented` assembles the complete docstring and signature: see `help(EvoNormB0)`.
"""

from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.gradients import tensorflow_gradient
from evonorm_tf.layers import evonorm
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers import recomputed as recomputed  # Keras finds its convolutions in saved models
from evonorm_tf.layers.documentation import documented
from evonorm_tf.layers.norm_act_body import Identifier
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.norm_act_body import Shape


class Keras2Layer(tf_keras.layers.Layer):
  """What all layers of this package for tf_keras share."""

  _keras = tf_keras

  def compute_output_shape(self, input_shape: Shape) -> tf.TensorShape:
    return tf.TensorShape(input_shape)


class NormActLayer(NormActBody, Keras2Layer):
  """Base class of norm-activation layers for tf_keras: y = f(x)·γ + β. A subclass defines f as `_normalize_activate`.
  The constructor arguments are those of `NormActBody`: `nonlinearity`, `epsilon`, `center`, `scale`, the initializers,
  regularizers and constraints of γ, β and v1, and the Keras layer's `name`, `dtype` and `trainable`.
  """

  _gradient = tensorflow_gradient
  # There is nothing to convert, and converting doubles the time to trace a layer.
  call = tf.autograph.experimental.do_not_convert(NormActBody.call)

  def _add_variable(self, name: str, shape: Shape, initializer: Identifier, per_replica: bool = False, **options: Any
                    ) -> tf.Variable:
    """Adds a weight of dtype `_weight_dtype`. With `per_replica`, each replica has its own; their mean is saved."""
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
class FoldedEvoNormB0(evonorm.FoldedB0, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class FoldedEvoNormS0(evonorm.FoldedS0, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class GraphLayer(graph_layer.Graph, NormActLayer):
  pass
