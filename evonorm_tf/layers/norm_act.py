"""The registry of norm-activation layers, and get_norm_act: from a name, or a layer graph's file, to a factory."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import inspect
import os
import types
from typing import Any
from typing import TypeVar

import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import keras2
from evonorm_tf.layers.baselines import BASELINES
from evonorm_tf.layers.evonorm import EVONORMS

Layers = Mapping[str, tuple[type, Mapping[str, Any]]]  # name -> the class, and the arguments that make it this layer
NormAct = Callable[..., tf_keras.layers.Layer]  # returns a fresh norm-activation layer: `norm_act(name=...)`
_Layer = TypeVar('_Layer', bound=type)

_LAYERS: dict[str, dict[str, tuple[type, Mapping[str, Any]]]] = {'tf_keras': {}, 'keras': {}}
_BUILT_IN = frozenset((*EVONORMS, *BASELINES))


def add_evonorms(keras: str, classes: Mapping[str, Any]) -> Layers:
  """Registers the six EvoNorms for one Keras; returns all layers registered for it, a view that follows additions.

  Args:
    keras: 'tf_keras' or 'keras', which is Keras 3.
    classes: the six classes by their names, such as "EvoNormB0"; other entries do not matter.
  """
  _LAYERS[keras].update({name: (classes[class_name], {}) for name, class_name in EVONORMS.items()})
  return types.MappingProxyType(_LAYERS[keras])


# Of tf_keras; those of Keras 3 are `evonorm_tf.keras3.NORM_ACTS`.
NORM_ACTS = add_evonorms('tf_keras', vars(keras2))
_LAYERS['tf_keras'].update(BASELINES)


def register_norm_act(name: str, layer_class: _Layer | None = None, **options) -> _Layer | Callable[[_Layer], _Layer]:
  """Registers a layer of your own under a name for `get_norm_act`, and so for models, trainers and gin files.

    @register_norm_act('rms_relu')
    class RmsRelu(tf_keras.layers.Layer):
      ...

    register_norm_act('bn_gelu', BatchNormAct, activation='gelu')

  The registration holds in the process that makes it; worker processes of a search know the built-in names alone. To
  load saved models with the layer, register its class with Keras, too.

  Args:
    name: any name that is not taken and does not end in ".json".
    layer_class: a class of tf_keras layers, or of Keras 3 layers for `evonorm_tf.keras3.get_norm_act`; None returns a
      decorator of the class. It takes the arguments `name` and `dtype` and, where a network normalizes without
      activating, `nonlinearity=False`.
    **options: the arguments that make it the layer of this name.

  Raises:
    ValueError: if `name` is taken or not valid, or `layer_class` is not a class of layers.
  """
  if layer_class is None:
    return lambda layer_class: register_norm_act(name, layer_class, **options)
  layers = _LAYERS.get(_keras_of(layer_class))
  if layers is None:
    raise ArgumentError(f'`layer_class` must be a class of layers of tf_keras or Keras 3, received {layer_class!r}.')
  if not isinstance(name, str) or not name or name.endswith('.json'):
    raise ArgumentError(f'`name` must be a string that is not empty and does not end in .json, received {name!r}.')
  if name in _BUILT_IN or name in layers:
    taken = ', '.join(sorted(_BUILT_IN | layers.keys()))
    raise ArgumentError(f'`name` must not be one of {taken}, which are taken, received {name!r}.')
  layers[name] = layer_class, options
  return layer_class


def _keras_of(layer_class: type) -> str | None:
  """Returns 'tf_keras' or 'keras' for a class of layers, without importing Keras 3; None for anything else."""
  bases = layer_class.__mro__ if isinstance(layer_class, type) else ()
  packages = (c.__module__.partition('.')[0] for c in bases if c.__name__ == 'Layer')
  return next((package for package in packages if package in _LAYERS), None)


@dataclasses.dataclass(frozen=True)
class NormActFactory:
  """Returns a fresh norm-activation layer at every call; can be pickled.

  Attributes:
    layer_class: the layer's class.
    options: its arguments.
  """
  layer_class: type[tf_keras.layers.Layer]
  options: dict[str, Any]

  def __call__(self, **overrides) -> tf_keras.layers.Layer:
    """Returns a layer; `overrides`, such as `name` or `nonlinearity=False`, win over the options of the factory."""
    return self.layer_class(**{**self.options, **overrides})

  def leaves_open(self, option: str) -> bool:
    """Whether the layer has this argument, its own or a base class's, and the factory does not set it."""
    signatures = (inspect.signature(c.__init__) for c in self.layer_class.__mro__)
    return any(option in s.parameters for s in signatures) and option not in self.options


def get_norm_act(spec: str | os.PathLike | LayerGraph, **options) -> NormActFactory:
  """Returns a factory of norm-activation layers.

  Args:
    spec: a name of `NORM_ACTS` ("bn_relu", "evonorm_s0", ..., or one that `register_norm_act` added), the path of a
      layer graph's JSON file (ending in .json), or a `LayerGraph`.
    **options: arguments of the layer, for instance `groups=16` or `synchronized=True`.

  Raises:
    ValueError: for an unknown name, an unreadable file, or a bad value of an option.
    TypeError: for an option that the layer does not have.
  """
  return make_factory(spec, options, NORM_ACTS, keras2.GraphLayer)


def make_factory(spec: str | os.PathLike | LayerGraph, options: Mapping[str, Any], layers: Layers, graph_layer: type
                 ) -> NormActFactory:
  """Returns what `get_norm_act` returns, for one Keras.

  Args:
    spec, options: see `get_norm_act`.
    layers: the layers that are registered for this Keras.
    graph_layer: its class for layer graphs.
  """
  layer_class, arguments = _resolve(spec, layers, graph_layer)
  factory = NormActFactory(layer_class, dict(**arguments, **options))
  factory()  # so that a bad option fails here, not in the middle of building a model
  return factory


def _resolve(spec: str | os.PathLike | LayerGraph, layers: Layers, graph_layer: type
             ) -> tuple[type, Mapping[str, Any]]:
  """Returns the layer's class and the arguments that `spec` stands for."""
  if isinstance(spec, LayerGraph):
    return graph_layer, {'graph': spec}
  if isinstance(spec, os.PathLike) or str(spec).endswith('.json'):
    return graph_layer, {'graph': LayerGraph.load(spec)}
  if spec not in layers:
    known = ', '.join(sorted(layers))
    raise ArgumentError(f'`spec` must be one of {known}, or the path of a layer graph (.json), received {spec!r}.')
  return layers[spec]
