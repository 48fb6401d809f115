"""The graph of a functional model, and the consumers of its batch normalizations' outputs.

A node is one call of a layer in the graph. Here a reader of a tensor is a consumer of it: a node that takes the tensor
as input, several nodes that together compute an activation, or the model's output.
"""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.block_registry import is_assembly
from evonorm_tf.conversion.expressions import find_expressions
from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.conversion.replacement import is_batch_norm
from evonorm_tf.conversion.replacement import Layer

Model = Any  # a functional model of tf_keras or Keras 3


@dataclasses.dataclass(frozen=True)
class Reader:
  """A consumer of a batch normalization's output.

  Attributes:
    nodes: the call of a layer; or the calls that together compute an activation; empty for the graph's output.
    function: what identifies the activation that the nodes compute (its name, options, constants and weights), equal
      for equal activations; None if they do not compute an activation that can be fused.
  """
  nodes: tuple[Any, ...]
  function: tuple[str, ...] | None

  def __str__(self) -> str:
    return ' + '.join(node.layer.name for node in self.nodes) or 'the output'


def layer_paths(model: Layer, prefix: str = '') -> Iterator[tuple[Layer, str]]:
  """Yields the layers of a model, and of the models and assemblies in it, each with its path.

  A path is the names of the layers from the model inwards, joined by slashes, such as "inner/layer". An assembly is a
  layer of a class that `register_assembly` registered.

  Args:
    model: a model or an assembly.
    prefix: the text before each path (default '').
  """
  for layer in internals_of(model).direct_parts(model):
    yield layer, prefix + layer.name
    if internals_of(layer).is_graph(layer) or is_assembly(layer):
      yield from layer_paths(layer, f'{prefix}{layer.name}/')


def graphs(model: Layer) -> list[Model]:
  """Returns the functional models among a model and the models in it, each once.

  Args:
    model: a model or an assembly, which is a layer of a class that `register_assembly` registered.
  """
  layers = dict.fromkeys((model, *(layer for layer, _ in layer_paths(model))))
  return [layer for layer in layers if internals_of(layer).is_graph(layer)]


def all_nodes(model: Layer) -> list[Any]:
  """Returns the nodes (calls of layers) of a model's graph and of the graphs of the models in it.

  Args:
    model: a model or an assembly, which is a layer of a class that `register_assembly` registered.
  """
  return [node for graph in graphs(model) for node in internals_of(graph).graph_nodes(graph)]


def rebuild(model: Model, new_layer: Callable[[Layer], Layer], dropped: Container[int]) -> Model:
  """Returns a model that calls new layers as another one calls its layers.

  Args:
    model: a functional model.
    new_layer: a function that returns the new layer of an old one, always the same one.
    dropped: the ids of the nodes that the new model leaves out; their first input replaces their output.
  """
  tensors: dict[int, Any] = {}
  internals = internals_of(model)

  def translate(structure: Any) -> Any:
    return internals.map_structure(lambda value: tensors.get(id(value), value), structure)

  for node in internals.graph_nodes(model):
    if id(node) in dropped:
      outputs = translate(node.keras_inputs[0])
    elif node.is_input:
      outputs = new_layer(node.layer).output
    else:
      args, kwargs = translate((node.call_args, node.call_kwargs))
      layer = new_layer(node.layer)
      if type(layer) is not type(node.layer):  # it may not take `mask` or `training`, which Keras 3 notes as None
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
      outputs = layer(*args, **kwargs)
    tensors.update(zip(map(id, internals.flatten(node.outputs)), internals.flatten(outputs)))
  return internals.make_model(
      model, translate(internals.graph_input(model)), translate(internals.graph_output(model)))


def find_readers(model: Layer) -> dict[Layer, list[Reader]]:
  """Returns the consumers of each batch normalization's output, over all graphs of a model.

  Args:
    model: a model or an assembly, which is a layer of a class that `register_assembly` registered.

  Returns:
    A dictionary from each batch normalization that is called in a graph to its consumers.
  """
  found: dict[Layer, list[Reader]] = {
      node.layer: [] for node in all_nodes(model) if is_batch_norm(node.layer)}
  for graph in graphs(model):
    nodes, readers = internals_of(graph).graph_nodes(graph), readers_of_tensors(graph)
    for node in nodes:
      if node.layer in found:
        found[node.layer] += _readers_of(node.outputs, nodes, readers)
  return found


def is_fused(readers: Sequence[Reader]) -> bool:
  """Returns whether a batch normalization can be fused: it has consumers, and all compute the same activation.

  Args:
    readers: the consumers of the batch normalization's output.
  """
  functions = {reader.function for reader in readers}
  return len(functions) == 1 and None not in functions


def readers_of_tensors(graph: Model) -> dict[int, list[Any]]:
  """Returns the nodes that take each tensor as input, by the tensor's id; None stands for the graph's output.

  Args:
    graph: a functional model.
  """
  readers: dict[int, list[Any]] = {}
  internals = internals_of(graph)
  for node in internals.graph_nodes(graph):
    for tensor in node.keras_inputs:
      readers.setdefault(id(tensor), []).append(node)
  for tensor in internals.flatten(internals.graph_output(graph)):
    readers.setdefault(id(tensor), []).append(None)
  return readers


def _readers_of(tensor: Any, nodes: Sequence[Any], readers: Mapping[int, Sequence[Any]]) -> list[Reader]:
  """Returns the consumers of a tensor; the nodes that together compute an activation are one consumer."""
  expressions = [Reader(tuple(cone), _identity(name)) for name, cone in find_expressions(tensor, nodes, readers)]
  spelt_out = {id(node) for reader in expressions for node in reader.nodes}
  single = [node for node in readers.get(id(tensor), ()) if id(node) not in spelt_out]
  return expressions + [Reader((node,) if node else (), node and _fusible_function(node)) for node in single]


def _fusible_function(node: Any) -> tuple[str, ...] | None:
  """Returns what identifies the activation that a node computes, or None if it cannot be fused."""
  name = function_name(node.layer)
  if name not in FUSIBLE_FUNCTIONS:
    return None
  # Two layers, or a layer and an op, of one name may differ in a slope or a threshold. PReLUs differ in their weights.
  internals = internals_of(node.layer)
  config = internals.op_options(node.layer)
  options = {key: value for key, value in config.items() if key not in ('name', 'trainable', 'dtype')}
  if 'max_value' in options and not (options['negative_slope'] or options['threshold']):  # a ReLU, layer or operation
    options = {} if options['max_value'] in (None, 6) else options
  constants = [value for value in (*node.call_args[1:], *node.call_kwargs.values()) if value is not None]
  return _identity(name, options, constants, node.layer.name if getattr(node.layer, 'weights', ()) else '')


def _identity(name: str, options: Mapping[str, Any] | None = None, constants: Iterable[Any] = (), weights: str = ''
              ) -> tuple[str, ...]:
  """Returns a tuple that is equal for equal activations."""
  return name, repr(sorted((options or {}).items())), repr(list(constants)), weights
