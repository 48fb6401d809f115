"""Norm-activation layers for Keras 3 with the TensorFlow backend: the six EvoNorms and `GraphLayer`.

  from evonorm_tf.keras3 import EvoNormS0, get_norm_act

Use them in models made with `import keras`; layers of tf_keras and Keras 3 do not mix in one model. The equations, the
arguments, and the names, order and initial values of the weights are those of the tf_keras layers in
`evonorm_tf.layers`.

Weights can be moved between the same model in tf_keras and in Keras 3, in both directions: by
`set_weights(other.get_weights())`, or by `load_weights` of a file that the other's `save_weights` (.weights.h5, in
tf_keras also .h5) or `save` (.keras, .h5) wrote. For subclassed models, whose parts the two versions name differently
in .weights.h5 and .keras, use .h5 files; tf_keras writes them by `save_weights`, Keras 3 by `save`.

Importing this module raises DependencyError (an ImportError) if Keras 3 uses another backend.
"""

import os
from typing import Any

import keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import DependencyError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import evonorm
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.baselines import BASELINES
from evonorm_tf.layers.documentation import documented
from evonorm_tf.layers.norm_act import add_evonorms
from evonorm_tf.layers.norm_act import make_factory
from evonorm_tf.layers.norm_act import NormActFactory
from evonorm_tf.layers.norm_act_body import Identifier
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.norm_act_body import Shape

if keras.backend.backend() != 'tensorflow':
  raise DependencyError(
      f'evonorm_tf.keras3 needs the TensorFlow backend of Keras, found {keras.backend.backend()!r}. Set the '
      "environment variable KERAS_BACKEND=tensorflow before Keras is imported.")


class NormActLayer(NormActBody, keras.layers.Layer):
  """Base class of norm-activation layers for Keras 3: y = f(x)·γ + β. A subclass defines f as `_normalize_activate`.
  The constructor arguments are those of `NormActBody`: `nonlinearity`, `epsilon`, `center`, `scale`, the initializers,
  regularizers and constraints of γ, β and v1, and the Keras layer's `name`, `dtype` and `trainable`.
  """

  _keras = keras

  def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
    return tuple(input_shape)

  def _add_variable(self, name: str, shape: Shape, initializer: Identifier, per_replica: bool = False, **options: Any
                    ) -> keras.Variable:
    """Adds a weight of dtype `_weight_dtype`. With `per_replica`, each replica has its own; their mean is saved."""
    options.update(name=name, shape=shape, dtype=self._weight_dtype.name, initializer=initializer, autocast=False)
    if per_replica:  # `add_weight` has no `synchronization`; the layer tracks the variable once it is an attribute
      return keras.Variable(synchronization='on_read', aggregation='mean', **options)
    return self.add_weight(**options)


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormB0(evonorm.B0, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormB1(evonorm.B1, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormB2(evonorm.B2, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormS0(evonorm.S0, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormS1(evonorm.S1, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class EvoNormS2(evonorm.S2, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class GraphLayer(graph_layer.Graph, NormActLayer):
  pass


NORM_ACTS = add_evonorms('keras', globals())


def get_norm_act(spec: str | os.PathLike | LayerGraph, **options) -> NormActFactory:
  """Returns a factory of norm-activation layers for Keras 3; `evonorm_tf.get_norm_act` returns those for tf_keras.

  Args:
    spec: a name in `NORM_ACTS` ("evonorm_s0", ..., or one that `register_norm_act` added), the path of a layer graph's
      JSON file (ending in .json), or a `LayerGraph`. The baselines, such as "bn_relu", exist only for tf_keras.
    **options: constructor arguments of the layer, such as `groups=16`.

  Returns:
    A callable that returns a fresh layer: `factory(name=...)`, or `factory(nonlinearity=False)` for its affine form.

  Raises:
    ValueError: if the name is unknown or a baseline's, the file cannot be read or holds no valid graph, an option's
      value is not valid, or the layer does not take an option.
  """
  if isinstance(spec, str) and spec in BASELINES:
    raise ArgumentError(
        f'`spec` must be one of {", ".join(NORM_ACTS)}, or a layer graph, received {spec!r}: the baselines are layers '
        'of tf_keras only, which `evonorm_tf.get_norm_act` returns.')
  return make_factory(spec, options, NORM_ACTS, GraphLayer)
