"""get_norm_act: from a name, or a layer graph's file, to a factory of norm-activation layers."""

import dataclasses
import inspect
import os
import typing

import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import baselines
from evonorm_tf.layers import keras2
from evonorm_tf.layers.keras2 import GraphLayer

# Name -> the layer's class and the arguments that make it that layer.
NORM_ACTS = {
    'evonorm_b0': (keras2.EvoNormB0, {}),
    'evonorm_b1': (keras2.EvoNormB1, {}),
    'evonorm_b2': (keras2.EvoNormB2, {}),
    'evonorm_s0': (keras2.EvoNormS0, {}),
    'evonorm_s1': (keras2.EvoNormS1, {}),
    'evonorm_s2': (keras2.EvoNormS2, {}),
    **baselines.BASELINES,
}


@dataclasses.dataclass(frozen=True)
class NormActFactory:
  """Returns a fresh norm-activation layer at every call; can be pickled.

  Attributes:
    layer_class: the layer's class.
    options: its arguments.
  """
  layer_class: type[tf_keras.layers.Layer]
  options: dict[str, typing.Any]

  def __call__(self, **overrides) -> tf_keras.layers.Layer:
    """Returns a layer with the factory's options, `overrides` (such as `name` or `nonlinearity=False`) winning."""
    return self.layer_class(**{**self.options, **overrides})

  def leaves_open(self, option: str) -> bool:
    """Whether the layer has this argument, its own or a base class's, and the factory does not set it."""
    signatures = (inspect.signature(c.__init__) for c in self.layer_class.__mro__)
    return any(option in s.parameters for s in signatures) and option not in self.options


def get_norm_act(spec, **options) -> NormActFactory:
  """Returns a factory of norm-activation layers.

  Args:
    spec: a name of `NORM_ACTS` ("bn_relu", "evonorm_s0", ...), the path of a layer graph's JSON file (ending in
      .json), or a `LayerGraph`.
    **options: arguments of the layer, for instance `groups=16` or `synchronized=True`.

  Raises:
    ValueError: for an unknown name, an unreadable file, or an option's bad value.
    TypeError: for an option that the layer does not have.
  """
  return make_factory(spec, options, NORM_ACTS, GraphLayer)


def make_factory(spec, options: dict, norm_acts: dict[str, tuple[type, dict]], graph_layer: type) -> NormActFactory:
  """As `get_norm_act`, with the layers of a table like `NORM_ACTS`, and `keras2_graph_layer` for layer graphs."""
  layer_class, arguments = _resolve(spec, norm_acts, graph_layer)
  factory = NormActFactory(layer_class, dict(**arguments, **options))
  factory()  # so that a bad option fails here, not in the midst of building a model
  return factory


def _resolve(spec, norm_acts, graph_layer) -> tuple[type, dict]:
  """Returns the layer's class and the arguments that `spec` stands for."""
  if isinstance(spec, LayerGraph):
    return graph_layer, {'graph': spec}
  if isinstance(spec, os.PathLike) or str(spec).endswith('.json'):
    return graph_layer, {'graph': LayerGraph.load(spec)}
  if spec not in norm_acts:
    known = ', '.join(sorted(norm_acts))
    raise ArgumentError(f'`spec` must be one of {known}, or the path of a layer graph (.json), received {spec!r}.')
  return norm_acts[spec]
