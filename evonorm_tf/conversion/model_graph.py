"""The graph of a functional model, and the readers of its batch normalizations."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import tf_keras

from evonorm_tf.conversion import keras_internals
from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.block_registry import is_assembly
from evonorm_tf.conversion.expressions import find_expressions
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS


@dataclasses.dataclass(frozen=True)
class Reader:
  """A reader of the output of a batch normalization.

  Attributes:
    nodes: the call of a layer; several calls that spell out an activation; or none, for the graph's output.
    function: the identity of the activation that the nodes compute, or None if it is not one to be fused.
  """
  nodes: tuple[Any, ...]
  function: tuple[str, ...] | None

  def __str__(self) -> str:
    return ' + '.join(node.layer.name for node in self.nodes) or 'the output'


def layer_paths(model: tf_keras.layers.Layer, prefix: str = '') -> Iterator[tuple[tf_keras.layers.Layer, str]]:
  """Yields each layer of a model, and of the models and assemblies in it, with its path.

  Args:
    model: the model.
    prefix: the beginning of all paths (default '').
  """
  for layer in keras_internals.direct_parts(model):
    yield layer, prefix + layer.name
    if keras_internals.is_graph(layer) or is_assembly(layer):
      yield from layer_paths(layer, f'{prefix}{layer.name}/')


def graphs(model: tf_keras.layers.Layer) -> list[tf_keras.Model]:
  """Returns the functional models among the model and those in it, each once."""
  layers = dict.fromkeys((model, *(layer for layer, _ in layer_paths(model))))
  return [layer for layer in layers if keras_internals.is_graph(layer)]


def all_nodes(model: tf_keras.layers.Layer) -> list[Any]:
  """Returns the nodes of all graphs of the model."""
  return [node for graph in graphs(model) for node in keras_internals.graph_nodes(graph)]


def find_readers(model: tf_keras.layers.Layer) -> dict[tf_keras.layers.Layer, list[Reader]]:
  """Returns the readers of each batch normalization, in any graph of the model."""
  found: dict[tf_keras.layers.Layer, list[Reader]] = {
      node.layer: [] for node in all_nodes(model) if isinstance(node.layer, BATCH_NORMALIZATIONS)}
  for graph in graphs(model):
    nodes, readers = keras_internals.graph_nodes(graph), _readers_of_tensors(graph)
    for node in nodes:
      if node.layer in found:
        found[node.layer] += _readers_of(node.outputs, nodes, readers)
  return found


def is_fused(readers: Sequence[Reader]) -> bool:
  """Returns whether a batch normalization has readers and all of them compute one activation."""
  functions = {reader.function for reader in readers}
  return len(functions) == 1 and None not in functions


def _readers_of_tensors(graph: tf_keras.Model) -> dict[int, list[Any]]:
  """Returns the nodes that read each tensor, by the tensor's id; None stands for the graph's output."""
  readers: dict[int, list[Any]] = {}
  for node in keras_internals.graph_nodes(graph):
    for tensor in node.keras_inputs:
      readers.setdefault(id(tensor), []).append(node)
  for tensor in graph.outputs:
    readers.setdefault(id(tensor), []).append(None)
  return readers


def _readers_of(tensor: Any, nodes: Sequence[Any], readers: Mapping[int, Sequence[Any]]) -> list[Reader]:
  """Returns the readers of one tensor; the expression of an activation is one reader."""
  expressions = [Reader(tuple(cone), _identity(name)) for name, cone in find_expressions(tensor, nodes, readers)]
  spelt_out = {id(node) for reader in expressions for node in reader.nodes}
  single = [node for node in readers.get(id(tensor), ()) if id(node) not in spelt_out]
  return expressions + [Reader((node,) if node else (), node and _fusible_function(node)) for node in single]


def _fusible_function(node: Any) -> tuple[str, ...] | None:
  """Returns the identity of the activation that a node computes, or None if it is not one to be fused."""
  name = function_name(node.layer)
  if name not in FUSIBLE_FUNCTIONS:
    return None
  # Two layers, or a layer and an op, of one name may differ in a slope or a threshold. PReLUs differ in their weights.
  if isinstance(node.layer, tf_keras.layers.Activation):
    config = getattr(node.layer.activation, 'keywords', {})  # of a functools.partial
  else:
    config = {} if hasattr(node.layer, 'symbol') else node.layer.get_config()
  options = {key: value for key, value in config.items() if key not in ('name', 'trainable', 'dtype')}
  if isinstance(node.layer, tf_keras.layers.ReLU) and not (options['negative_slope'] or options['threshold']):
    options = {} if options['max_value'] in (None, 6) else options
  constants = [value for value in (*node.call_args[1:], *node.call_kwargs.values()) if value is not None]
  return _identity(name, options, constants, node.layer.name if node.layer.weights else '')


def _identity(name: str, options: Mapping[str, Any] | None = None, constants: Iterable[Any] = (), weights: str = ''
              ) -> tuple[str, ...]:
  return name, repr(sorted((options or {}).items())), repr(list(constants)), weights
