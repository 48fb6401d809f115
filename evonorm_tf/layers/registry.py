"""The registry of norm-activation layers by name, and factories of such layers.

There is one registry for layers of tf_keras, which `norm_act` fills, and one for those of Keras 3, which `keras3`
fills.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import difflib
import functools
import importlib
import inspect
import os
import types
from typing import Any
from typing import TypeVar

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.baseline_body import BASELINES
from evonorm_tf.layers.evonorm import EVONORMS
from evonorm_tf.layers.which_keras import keras_name
from evonorm_tf.layers.which_keras import NAMES
from evonorm_tf.layers.which_keras import OTHER
from evonorm_tf.layers.which_keras import PACKAGES

Layers = Mapping[str, tuple[type, Mapping[str, Any]]]  # name -> (class, constructor arguments that the name implies)
NormAct = Callable[..., Any]  # returns a fresh norm-activation layer: `norm_act(name=...)`
_Layer = TypeVar('_Layer', bound=type)

_LAYERS: dict[str, dict[str, tuple[type, Mapping[str, Any]]]] = {'tf_keras': {}, 'keras': {}}
_BUILT_IN = frozenset((*EVONORMS, *BASELINES, *found_graphs()))


def add_layers(keras: str, classes: Mapping[str, Any]) -> Layers:
  """Registers the six EvoNorms, the baselines and the found layers of one Keras version.

  Args:
    keras: 'tf_keras', or 'keras' for Keras 3.
    classes: the classes by class name, such as "EvoNormB0"; other entries are ignored.

  Returns:
    A read-only view of all layers registered for this Keras version. It also shows layers that are added later.
  """
  _LAYERS[keras].update({name: (classes[class_name], {}) for name, class_name in EVONORMS.items()})
  _LAYERS[keras].update({name: (classes[class_name], options) for name, (class_name, options) in BASELINES.items()
                         if class_name in classes})
  _LAYERS[keras].update({name: (classes['GraphLayer'], {'graph': graph}) for name, graph in found_graphs().items()})
  return types.MappingProxyType(_LAYERS[keras])


def register_norm_act(name: str, layer_class: _Layer | None = None, **options) -> _Layer | Callable[[_Layer], _Layer]:
  """Registers a layer class under a name for `get_norm_act`, so that models, trainers and gin files can use it.

    @register_norm_act('rms_relu')
    class RmsRelu(tf_keras.layers.Layer):
      ...

    register_norm_act('bn_gelu', BatchNormAct, activation='gelu')

  The registration holds in the process that makes it; worker processes of a search know only the built-in names. To
  load saved models that contain the layer, also register its class with Keras.

  Args:
    name: a string that is not taken and does not end in ".json".
    layer_class: a class of tf_keras layers, or of Keras 3 layers for `evonorm_tf.keras3.get_norm_act`. It must take the
      arguments `name` and `dtype` and, for networks that normalize without activating, `nonlinearity=False`. None
      (default) makes this a decorator of the class.
    **options: constructor arguments that the name implies, such as `activation='gelu'` above.

  Returns:
    `layer_class`, or the decorator if it is None.

  Raises:
    ValueError: if `name` is taken or not valid, or `layer_class` is not a class of layers.
  """
  if layer_class is None:
    return lambda layer_class: register_norm_act(name, layer_class, **options)
  layers = _LAYERS.get(keras_name(layer_class)) if isinstance(layer_class, type) else None
  if layers is None:
    raise ArgumentError(f'`layer_class` must be a class of layers of tf_keras or Keras 3, received {layer_class!r}.')
  if not isinstance(name, str) or not name or name.endswith('.json'):
    raise ArgumentError(f'`name` must be a string that is not empty and does not end in .json, received {name!r}.')
  if name in _BUILT_IN or name in layers:
    taken = ', '.join(sorted(_BUILT_IN | layers.keys()))
    raise ArgumentError(f'`name` must not be one of {taken}, which are taken, received {name!r}.')
  layers[name] = layer_class, options
  return layer_class


@dataclasses.dataclass(frozen=True)
class NormActFactory:
  """A factory that returns a fresh norm-activation layer at every call; it can be pickled.

  Attributes:
    layer_class: the layer's class.
    options: the constructor arguments of every layer.
  """
  layer_class: type
  options: dict[str, Any]

  def __call__(self, *inputs: Any, **overrides: Any) -> Any:
    """Returns a fresh layer.

    Args:
      *inputs: refused: it is the layer that is called on a tensor.
      **overrides: constructor arguments, such as `name` or `nonlinearity=False`; they win over `options`.

    Raises:
      TypeError: if it is called on a tensor.
    """
    if inputs:
      raise TypeError('This is a factory of layers: call the layer that it returns, `norm_act()(x)`.')
    return self.layer_class(**{**self.options, **overrides})

  def leaves_open(self, option: str) -> bool:
    """Returns whether the layer takes an argument that the factory does not set.

    Args:
      option: the argument's name, such as 'momentum'; arguments of base classes count as well.
    """
    return option in _arguments(self.layer_class) and option not in self.options

  def with_defaults(self, **options: Any) -> 'NormActFactory':
    """Returns a factory with further constructor arguments, those that this one leaves open; the others are left out.

    Args:
      **options: constructor arguments, such as `groups=16`, which matter to some layers only.

    Raises:
      ValueError: if a value is not valid.
    """
    added = {option: value for option, value in options.items() if self.leaves_open(option)}
    factory = dataclasses.replace(self, options={**self.options, **added})
    factory()  # raises an error for a bad option
    return factory


@functools.cache
def _arguments(layer_class: type) -> frozenset[str]:
  """Returns the names of a class's constructor arguments, with those of its base classes."""
  return frozenset(name for c in layer_class.__mro__ for name in inspect.signature(c.__init__).parameters)


def make_factory(spec: str | os.PathLike | LayerGraph, options: Mapping[str, Any], layers: Layers, graph_layer: type
                 ) -> NormActFactory:
  """Returns a factory of norm-activation layers for one Keras version; `get_norm_act` of each version calls it.

  It makes one layer at once, so that a bad option fails here and not in the middle of building a model.

  Args:
    spec: a name in `layers`, in any case and with any separators, the path of a layer graph's JSON file (ending in
      .json), the folder of a search with a report, which stands for its best layer, or a `LayerGraph`.
    options: constructor arguments of the layer.
    layers: the layers registered for this Keras version: name -> (class, arguments that the name implies).
    graph_layer: the class of this Keras version that runs layer graphs.

  Raises:
    ValueError: if the name is unknown, the file cannot be read or holds no valid graph, or an option's value is not
      valid. Keras 3 layers raise it also for an option that they do not take.
    TypeError: if a tf_keras layer does not take an option, or if the name implies it.
  """
  layer_class, arguments = _resolve(spec, layers, graph_layer)
  factory = NormActFactory(layer_class, dict(**arguments, **options))
  factory()  # raises an error for a bad option
  return factory


def factory_for(norm_act: str | os.PathLike | LayerGraph | NormAct, keras: str) -> NormAct:
  """Returns a factory of layers for one Keras version: what `get_norm_act` returns, or what is a factory already.

  Args:
    norm_act: what `get_norm_act` takes, or a factory.
    keras: 'tf_keras', or 'keras' for Keras 3.

  Raises:
    ValueError: as `get_norm_act`.
  """
  if not isinstance(norm_act, (str, os.PathLike, LayerGraph)):
    return norm_act
  module = {'tf_keras': 'norm_act', 'keras': 'keras3'}[keras]
  return importlib.import_module(f'evonorm_tf.layers.{module}').get_norm_act(norm_act)


def registered_name(spec: Any, layers: Mapping[str, Any]) -> str | None:
  """Returns the name in `layers` that a text means, as timm matches names: 'EvoNormS0' and 'evonorm-s0' are evonorm_s0.

  Args:
    spec: the text; anything else is no name, and a path such as './found_2' is no spelling of one.
    layers: what has names: the layers registered for a Keras version, for instance.

  Returns:
    The name; None if there is none, or more than one.
  """
  if not isinstance(spec, str) or spec in layers:
    return spec if isinstance(spec, str) else None
  if os.sep in spec:
    return None
  found = [name for name in layers if _plain(name) == _plain(spec)]
  return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
  return ''.join(character for character in name.lower() if character.isalnum())


def did_you_mean(spec: Any, layers: Mapping[str, Any]) -> str:
  """Returns a sentence with the most similar name, to follow another one; empty if none is similar.

  Args:
    spec: the text.
    layers: what has names.
  """
  plain = {_plain(name): name for name in layers}
  near = difflib.get_close_matches(_plain(str(spec)), plain, n=1, cutoff=.7)
  return f' Did you mean {plain[near[0]]!r}?' if near else ''


def _resolve(spec: str | os.PathLike | LayerGraph, layers: Layers, graph_layer: type
             ) -> tuple[type, Mapping[str, Any]]:
  """Returns the class and the constructor arguments of the layer that `spec` means."""
  layer = name_or_graph(spec, keras_name(graph_layer))
  return (graph_layer, {'graph': layer}) if isinstance(layer, LayerGraph) else layers[layer]


def name_or_graph(spec: str | os.PathLike | LayerGraph, keras: str = 'tf_keras') -> str | LayerGraph:
  """Returns the registered name or the layer graph that a spec means: what does not change with a file or a spelling.

  Args:
    spec: what `get_norm_act` takes.
    keras: 'tf_keras' (default), or 'keras' for Keras 3.

  Raises:
    ValueError: if the name is unknown, or the file cannot be read or holds no valid graph.
  """
  layers = _LAYERS[keras]
  if isinstance(spec, LayerGraph):
    return spec
  name = registered_name(spec, layers)
  if name is not None:
    return name
  if isinstance(spec, (str, os.PathLike)) and os.path.isdir(spec):
    return _best_of_search(spec)
  if isinstance(spec, str) and '://' in spec:
    raise ArgumentError(f'`spec` must be the name, file or folder of a layer on this machine, received {spec!r}. '
                        '`search.Search(url).best.norm_act()` gives the layer of a search in an object store.')
  if isinstance(spec, os.PathLike) or str(spec).endswith('.json'):
    return LayerGraph.load(spec)
  known, other = ', '.join(sorted(layers)), OTHER[keras]
  is_elsewhere = isinstance(spec, str) and spec in _BUILT_IN | _LAYERS[other].keys()
  elsewhere = f', which is a layer of {NAMES[other]} only: use `{PACKAGES[other]}.get_norm_act`'
  raise ArgumentError(f'`spec` must be one of {known}, the path of a layer graph (.json), or the folder of a search, '
                      f'received {spec!r}{elsewhere if is_elsewhere else ""}.'
                      f'{did_you_mean(spec, layers)}')


def norm_act_settings(norm_act: str | os.PathLike) -> str | dict[str, Any]:
  """Returns what identifies a tf_keras layer in a model directory, as JSON data.

  Args:
    norm_act: the name of a layer in any spelling, the path of a layer graph's JSON file, or the folder of a search.

  Returns:
    The registered name, or the layer graph as a dict. The path would not do, since the file may change.

  Raises:
    ArgumentError: if there is no such layer.
  """
  layer = name_or_graph(norm_act)
  return layer if isinstance(layer, str) else layer.to_dict()


def _best_of_search(model_dir: str | os.PathLike) -> LayerGraph:
  """Returns the best layer of a search, which its report holds as a file."""
  path = os.path.join(model_dir, 'report', 'layer_1.json')
  if not os.path.isfile(path):
    raise ArgumentError(f'`spec`: {os.fspath(model_dir)} is no folder of a search with a found layer: it has no '
                        'report/layer_1.json, which a search writes at its end. `search.Search(folder).report()` '
                        'writes it earlier.')
  return LayerGraph.load(path)
