"""The six EvoNorms and the layer of layer graphs for Keras 3 with the TensorFlow backend: the twin of `layers.keras2`.

Bodies, equations and arguments are those of the tf_keras layers, and so are names, order and values of the weights. Use
them in models made with `import keras`. The two Keras do not mix in one model.

Weights pass between the same model in both Keras, either way: by `set_weights(other.get_weights())`, or by
`load_weights` of a file that the other's `save_weights` (.weights.h5, in tf_keras also .h5) or `save` (.keras, .h5)
wrote. In .weights.h5 and .keras the two name the parts of a subclassed model differently: its weights pass in .h5
files, which tf_keras writes by `save_weights`, Keras 3 by `save`.

  from evonorm_tf.keras3 import EvoNormS0, get_norm_act
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
  """Joins a body to Keras 3: y = f(x)·γ + β, where a subclass gives f. See `NormActBody` for the arguments."""

  _keras = keras

  def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
    return tuple(input_shape)

  def _add_variable(self, name: str, shape: Shape, initializer: Identifier, per_replica: bool = False, **options: Any
                    ) -> keras.Variable:
    """Adds a weight of the layer's weight dtype; if `per_replica`, each replica has its own, saved as their mean."""
    options.update(name=name, shape=shape, dtype=self._weight_dtype.name, initializer=initializer, autocast=False)
    if per_replica:  # `add_weight` has no `synchronization`; the layer tracks the variable when it becomes an attribute
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
  """Returns a factory of Keras 3 layers, as `evonorm_tf.get_norm_act` returns one of tf_keras layers.

  Args:
    spec: a name of `NORM_ACTS`, the path of a layer graph's JSON file, or a `LayerGraph`. The baselines are layers of
      tf_keras only.
    **options: arguments of the layer.

  Raises:
    ValueError: for an unknown name, the name of a baseline, an unreadable file, a bad value of an option, or an option
      that the layer does not have.
  """
  if isinstance(spec, str) and spec in BASELINES:
    raise ArgumentError(
        f'`spec` must be one of {", ".join(NORM_ACTS)}, or a layer graph, received {spec!r}: the baselines are layers '
        'of tf_keras only, which `evonorm_tf.get_norm_act` returns.')
  return make_factory(spec, options, NORM_ACTS, GraphLayer)
