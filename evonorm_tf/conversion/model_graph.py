"""The graph of a functional model, and who reads its batch normalizations."""

import dataclasses

import tf_keras

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.block_registry import is_assembly
from evonorm_tf.conversion.expressions import find_expressions
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS


@dataclasses.dataclass(frozen=True)
class Reader:
  """What reads the output of a batch normalization.

  Attributes:
    nodes: the call of a layer; several calls where they spell out an activation; none for the graph's output.
    function: what identifies the activation to be fused that they compute, or None.
  """
  nodes: tuple
  function: tuple | None

  def __str__(self):
    return ' + '.join(node.layer.name for node in self.nodes) or 'the output'


def is_graph(layer) -> bool:
  """Whether the layer is a functional model, or a Sequential whose input is known."""
  return isinstance(layer, tf_keras.Model) and layer._is_graph_network


def graph_nodes(model: tf_keras.Model) -> list:
  """The calls of layers that make up the model's graph, inputs first."""
  return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def layer_paths(model: tf_keras.layers.Layer, prefix=''):
  """Yields each layer of the model, and of the models and assemblies in it, with its path."""
  for layer in model._flatten_layers(recursive=False, include_self=False):
    yield layer, prefix + layer.name
    if is_graph(layer) or is_assembly(layer):
      yield from layer_paths(layer, f'{prefix}{layer.name}/')


def graphs(model: tf_keras.layers.Layer) -> list:
  """The functional models among the model and those in it, each once."""
  return [layer for layer in dict.fromkeys((model, *(layer for layer, _ in layer_paths(model)))) if is_graph(layer)]


def all_nodes(model: tf_keras.layers.Layer) -> list:
  """The nodes of all graphs of the model."""
  return [node for graph in graphs(model) for node in graph_nodes(graph)]


def find_readers(model: tf_keras.layers.Layer) -> dict:
  """Returns batch normalization -> its readers, in any graph of the model."""
  found = {node.layer: [] for node in all_nodes(model) if isinstance(node.layer, BATCH_NORMALIZATIONS)}
  for graph in graphs(model):
    nodes, readers = graph_nodes(graph), _readers_of_tensors(graph)
    for node in nodes:
      if node.layer in found:
        found[node.layer] += _readers_of(node.outputs, nodes, readers)
  return found


def is_fused(readers: list[Reader]) -> bool:
  """Whether all readers of a batch normalization, one at least, compute one activation."""
  functions = {reader.function for reader in readers}
  return len(functions) == 1 and None not in functions


def _readers_of_tensors(graph: tf_keras.Model) -> dict:
  """Returns id of a tensor -> the nodes that read it; None for the graph's output."""
  readers = {}
  for node in graph_nodes(graph):
    for tensor in node.keras_inputs:
      readers.setdefault(id(tensor), []).append(node)
  for tensor in graph.outputs:
    readers.setdefault(id(tensor), []).append(None)
  return readers


def _readers_of(tensor, nodes: list, readers: dict) -> list[Reader]:
  """The readers of one tensor, an activation's expression being one."""
  expressions = [Reader(tuple(cone), _identity(name)) for name, cone in find_expressions(tensor, nodes, readers)]
  spelt_out = {id(node) for reader in expressions for node in reader.nodes}
  single = [node for node in readers.get(id(tensor), ()) if id(node) not in spelt_out]
  return expressions + [Reader((node,) if node else (), node and _fusible_function(node)) for node in single]


def _fusible_function(node) -> tuple | None:
  """Returns what identifies the activation that the node computes, or None if it is not one to be fused."""
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


def _identity(name: str, options=(), constants=(), weights='') -> tuple:
  return name, repr(sorted(dict(options).items())), repr(list(constants)), weights
