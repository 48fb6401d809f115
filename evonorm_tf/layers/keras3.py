"""Norm-activation layers for Keras 3 on any backend: the counterpart of `keras2` and `baselines` for tf_keras.

Each class combines one of `evonorm`, `graph_layer` or `baseline_body`, which have the equations, weights and
docstrings, with the `Layer` of Keras 3. On JAX and PyTorch nothing here imports TensorFlow.
"""

import importlib
import os
from typing import Any

import keras

from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.errors import SetupError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import baseline_body
from evonorm_tf.layers import evonorm
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.documentation import documented
from evonorm_tf.layers.norm_act_body import Identifier
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.norm_act_body import Shape
from evonorm_tf.layers.registry import add_layers
from evonorm_tf.layers.registry import make_factory
from evonorm_tf.layers.registry import NormActFactory

_BACKEND = keras.backend.backend()
if _BACKEND not in ('tensorflow', 'jax', 'torch'):
  raise SetupError(f'evonorm_tf.keras3 needs Keras on TensorFlow, JAX or PyTorch; KERAS_BACKEND is {_BACKEND!r}.')
_ON_TENSORFLOW = _BACKEND == 'tensorflow'
if _ON_TENSORFLOW:
  import tensorflow as tf


class Keras3Layer(keras.layers.Layer):
  """What all layers of this package for Keras 3 share."""

  _keras = keras

  def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
    return tuple(input_shape)


class NormActLayer(NormActBody, Keras3Layer):
  """Base class of norm-activation layers for Keras 3: y = f(x)·γ + β. A subclass defines f as `_normalize_activate`.
  The constructor arguments are those of `NormActBody`: `nonlinearity`, `epsilon`, `center`, `scale`, the initializers,
  regularizers and constraints of γ, β and v1, and the Keras layer's `name`, `dtype` and `trainable`.
  """

  _gradient = importlib.import_module(f'evonorm_tf.gradients.{_BACKEND}_gradient')
  if _ON_TENSORFLOW:
    # There is nothing to convert, and converting doubles the time to trace a layer.
    call = tf.autograph.experimental.do_not_convert(NormActBody.call)

  def _add_variable(self, name: str, shape: Shape, initializer: Identifier, per_replica: bool = False, **options: Any
                    ) -> keras.Variable:
    """Adds a weight of dtype `_weight_dtype`. With `per_replica`, each replica has its own; their mean is saved."""
    options.update(name=name, shape=shape, dtype=self._weight_dtype, initializer=initializer, autocast=False)
    if per_replica and _ON_TENSORFLOW:
      # `add_weight` has no `synchronization`; the layer tracks the variable once it is an attribute.
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
class FoldedEvoNormB0(evonorm.FoldedB0, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class FoldedEvoNormS0(evonorm.FoldedS0, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class GraphLayer(graph_layer.Graph, NormActLayer):
  pass


class BaselineLayer(baseline_body.BaselineBody, Keras3Layer):
  """Base class of the baselines for Keras 3."""

  def _norm_suits(self, inputs: Tensor) -> bool:
    # Normalization layers of Keras 3 compute float64 in float32, and on PyTorch the variance as μ(x²) − μ(x)², of which
    # rounding leaves nothing, or less, where μ is large.
    return self._statistics_dtype == 'float32' and _BACKEND != 'torch'

  @property
  def _norm_dtype(self) -> Any:
    # With the policy 'bfloat16' the weights of Keras 3's layer are bfloat16.
    return self._statistics_dtype if self.variable_dtype in ('float16', 'bfloat16') else self.dtype_policy


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class BatchNormAct(baseline_body.BatchNormBody, BaselineLayer):

  _norm_synchronizes = _ON_TENSORFLOW


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class GroupNormAct(baseline_body.GroupNormBody, BaselineLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class PixelNormalization(baseline_body.PixelNorm, NormActLayer):
  pass


@keras.saving.register_keras_serializable(package='evonorm_tf')
@documented
class PixelNormAct(baseline_body.PixelNormBody, BaselineLayer):

  _pixel_norm = PixelNormalization


NORM_ACTS = add_layers('keras', globals())


def norm_act_names() -> list[str]:
  """Returns the names that `get_norm_act` knows, those of `register_norm_act` included, in alphabetical order."""
  return sorted(NORM_ACTS)


def get_norm_act(spec: str | os.PathLike | LayerGraph, **options) -> NormActFactory:
  """Returns a factory of norm-activation layers for Keras 3; `evonorm_tf.get_norm_act` returns those for tf_keras.

  Args:
    spec: a name ("bn_relu", "evonorm_s0", ..., or one that `register_norm_act` added; `norm_act_names` lists them, and
      "EvoNormS0" or "evonorm-s0" will do, too), the path of a layer graph's JSON file (ending in .json), the folder of
      a search for its best layer, or a `LayerGraph`.
      "frn_tlu" exists only for tf_keras.
    **options: constructor arguments of the layer, such as `groups=16`.

  Returns:
    A callable that returns a fresh layer: `factory(name=...)`, or `factory(nonlinearity=False)` for its affine form.

  Raises:
    ValueError: if the name is unknown or "frn_tlu", the file cannot be read or holds no valid graph, an option's
      value is not valid, or the layer does not take an option.
  """
  return make_factory(spec, options, NORM_ACTS, GraphLayer)
