"""The six EvoNorm layers and the layer of layer graphs for Keras 3 with the TensorFlow backend.

Bodies, equations and arguments are those of the tf_keras layers, and so are names, order and values of the weights. Use
them in models made with `import keras`. The two Keras do not mix in one model.

Weights pass between the same model in both Keras, either way: by `set_weights(other.get_weights())`, or by
`load_weights` of a file that the other's `save_weights` (.weights.h5, in tf_keras also .h5) or `save` (.keras, .h5)
wrote. In .weights.h5 and .keras the two name the parts of a subclassed model differently: its weights pass in .h5
files, which tf_keras writes by `save_weights`, Keras 3 by `save`.

  from evonorm_tf.keras3 import EvoNormS0, get_norm_act
"""

import keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import DependencyError
from evonorm_tf.layers import evonorm
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.baselines import BASELINES
from evonorm_tf.layers.norm_act import make_factory
from evonorm_tf.layers.norm_act import NormActFactory
from evonorm_tf.layers.norm_act_body import NormActBody

if keras.backend.backend() != 'tensorflow':
  raise DependencyError(
      f'evonorm_tf.keras3 needs the TensorFlow backend of Keras, found {keras.backend.backend()!r}. Set the '
      "environment variable KERAS_BACKEND=tensorflow before Keras is imported.")


class NormActLayer(NormActBody, keras.layers.Layer):
  __doc__ = NormActBody.__doc__
  _keras = keras

  def compute_output_shape(self, input_shape):
    return tuple(input_shape)

  def _add_variable(self, name, shape, initializer, per_replica=False, **options):
    """Adds a weight of the layer's weight dtype; `per_replica`: each replica its own, saved as their mean."""
    options.update(name=name, shape=shape, dtype=self._weight_dtype.name, initializer=initializer, autocast=False)
    if per_replica:  # `add_weight` has no `synchronization`; the layer tracks the variable when it becomes an attribute
      return keras.Variable(synchronization='on_read', aggregation='mean', **options)
    return self.add_weight(**options)


@keras.saving.register_keras_serializable(package='evonorm_tf')
class EvoNormB0(evonorm.B0, NormActLayer):
  __doc__ = evonorm.B0.__doc__


@keras.saving.register_keras_serializable(package='evonorm_tf')
class EvoNormB1(evonorm.B1, NormActLayer):
  __doc__ = evonorm.B1.__doc__


@keras.saving.register_keras_serializable(package='evonorm_tf')
class EvoNormB2(evonorm.B2, NormActLayer):
  __doc__ = evonorm.B2.__doc__


@keras.saving.register_keras_serializable(package='evonorm_tf')
class EvoNormS0(evonorm.S0, NormActLayer):
  __doc__ = evonorm.S0.__doc__


@keras.saving.register_keras_serializable(package='evonorm_tf')
class EvoNormS1(evonorm.S1, NormActLayer):
  __doc__ = evonorm.S1.__doc__


@keras.saving.register_keras_serializable(package='evonorm_tf')
class EvoNormS2(evonorm.S2, NormActLayer):
  __doc__ = evonorm.S2.__doc__


@keras.saving.register_keras_serializable(package='evonorm_tf')
class GraphLayer(graph_layer.Graph, NormActLayer):
  __doc__ = graph_layer.Graph.__doc__


NORM_ACTS = {
    'evonorm_b0': (EvoNormB0, {}),
    'evonorm_b1': (EvoNormB1, {}),
    'evonorm_b2': (EvoNormB2, {}),
    'evonorm_s0': (EvoNormS0, {}),
    'evonorm_s1': (EvoNormS1, {}),
    'evonorm_s2': (EvoNormS2, {}),
}


def get_norm_act(spec, **options) -> NormActFactory:
  """Returns a factory of Keras 3 layers, as `evonorm_tf.get_norm_act` does of tf_keras layers.

  Args:
    spec: a name of `NORM_ACTS`, the path of a layer graph's JSON file, or a `LayerGraph`. The baselines are layers of
      tf_keras only.
    **options: arguments of the layer.

  Raises:
    ValueError: for an unknown name, a baseline's, an unreadable file, or an option's bad value.
    TypeError: for an option that the layer does not have.
  """
  if isinstance(spec, str) and spec in BASELINES:
    raise ArgumentError(
        f'`spec` must be one of {", ".join(NORM_ACTS)}, or a layer graph, received {spec!r}: the baselines are layers '
        'of tf_keras only, which `evonorm_tf.get_norm_act` returns.')
  return make_factory(spec, options, NORM_ACTS, GraphLayer)
