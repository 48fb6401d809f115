"""LayerGraph, a norm-activation layer as a directed acyclic graph of primitives (as in the paper).

A graph is immutable data, without TensorFlow. `evonorm_tf.GraphLayer` runs it as a Keras layer; the package `search`
generates and evaluates graphs.
"""

from collections.abc import Iterable
import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives
from evonorm_tf.output.markdown import one_line

INITIAL_NODES = ('x', '0', 'v0', 'v1')  # the input, the zero tensor and two trainable channel vectors
FORMAT, VERSION = 'evonorm_tf.layer_graph', 1
_EXPECTED = {'format': FORMAT, 'version': VERSION, 'initial_nodes': list(INITIAL_NODES)}
_KEYS, _NODE_KEYS = {*_EXPECTED, 'nodes'}, {'primitive', 'inputs', 'axes'}
MAX_NODES = 1000  # the most nodes that a file may hold, far above the paper's 10 intermediate nodes


class LayerGraphError(ArgumentError):
  """A layer graph or its file is not valid; the message names the node and the fault."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
  """An intermediate node of a layer graph: a primitive applied to earlier nodes.

  Attributes:
    primitive: the primitive's name, a key of `primitives.PRIMITIVES`.
    inputs: the indices of the nodes that are its arguments. 0 to 3 are x, the zero tensor, v0 and v1; intermediate
      nodes begin at 4.
    axes: a moment's index set, one of `primitives.index_sets`; empty (default) for all other primitives.
  """
  primitive: str
  inputs: tuple[int, ...]
  axes: str = ''

  def __post_init__(self) -> None:
    if not isinstance(self.inputs, Iterable):
      raise LayerGraphError(f'`inputs` of a node must be a tuple of integers, received {_shown(self.inputs)}.')
    # A list would make the graph unhashable, and NumPy's integers are none for JSON.
    object.__setattr__(self, 'inputs', tuple(int(i) if isinstance(i, np.integer) else i for i in self.inputs))


@dataclasses.dataclass(frozen=True)
class LayerGraph:
  """A norm-activation layer as a graph; the last node is the output, to which the layer applies γ and β.

  Attributes:
    nodes: the intermediate nodes, at least one. Each reads initial nodes (`INITIAL_NODES`) or earlier intermediate
      nodes.

  Raises:
    LayerGraphError: if there are no nodes, or a node has an unknown primitive, or wrong inputs or axes.
  """
  nodes: tuple[Node, ...]

  def __post_init__(self) -> None:
    object.__setattr__(self, 'nodes', tuple(self.nodes))
    if not self.nodes:
      raise LayerGraphError('A layer graph needs at least one intermediate node, received none.')
    for index, node in enumerate(self.nodes, len(INITIAL_NODES)):
      _check_node(index, node)

  @property
  def output(self) -> int:
    """The index of the output node."""
    return len(INITIAL_NODES) + len(self.nodes) - 1

  def node(self, index: int) -> Node:
    """Returns an intermediate node.

    Args:
      index: the node's index in the graph, from 4 up.
    """
    return self.nodes[index - len(INITIAL_NODES)]

  @functools.cached_property
  def live(self) -> frozenset[int]:
    """The indices of the nodes that the output depends on, including initial nodes and the output itself."""
    live = {self.output}
    for index in range(self.output, len(INITIAL_NODES) - 1, -1):
      if index in live:
        live.update(self.node(index).inputs)
    return frozenset(live)

  def without_dead_nodes(self) -> 'LayerGraph':
    """Returns a graph that computes the same, without the intermediate nodes that the output does not depend on."""
    kept = [i for i in range(len(INITIAL_NODES), self.output + 1) if i in self.live]
    index_of = {i: i for i in range(len(INITIAL_NODES))}
    index_of.update({old: new for new, old in enumerate(kept, len(INITIAL_NODES))})
    return LayerGraph(tuple(
        dataclasses.replace(self.node(i), inputs=tuple(index_of[j] for j in self.node(i).inputs)) for i in kept))

  def evaluate(self, x: np.ndarray, v0: np.ndarray, v1: np.ndarray, groups: int = 32) -> np.ndarray:
    """Evaluates the graph in NumPy, as in training: moments over the batch are those of the batch itself.

    Args:
      x: an array [N, ..., C].
      v0, v1: the graph's channel vectors, [C] each.
      groups: the number of channel groups (default 32). If it does not divide C, the largest smaller number that does
        is used.

    Returns:
      The output node's value, before γ and β; it broadcasts against x.
    """
    unit = (1,) * (x.ndim - 1)
    values: list[Any] = [x, np.zeros(unit + (1,), x.dtype), v0.reshape(unit + (-1,)), v1.reshape(unit + (-1,))]
    for index, node in enumerate(self.nodes, len(INITIAL_NODES)):
      primitive = primitives.PRIMITIVES[node.primitive]
      moment_arguments = (node.axes, groups) if primitive.is_moment else ()
      values.append(
          primitive.numpy_form(*(values[i] for i in node.inputs), *moment_arguments) if index in self.live else None)
    return values[-1]

  def to_dict(self) -> dict[str, Any]:
    """Returns the graph as a dictionary that can be written as JSON; `from_dict` reads it."""
    nodes = [{'primitive': n.primitive, **({'axes': n.axes} if n.axes else {}), 'inputs': list(n.inputs)}
             for n in self.nodes]
    return {'format': FORMAT, 'version': VERSION, 'initial_nodes': list(INITIAL_NODES), 'nodes': nodes}

  @classmethod
  def from_dict(cls, data: Any) -> 'LayerGraph':
    """Returns the graph that `to_dict` described.

    Args:
      data: the result of `to_dict`, perhaps read from JSON.

    Raises:
      LayerGraphError: if `data` is anything else, such as a graph of another version or with a node that is not valid.
    """
    _check_header(data)
    return cls(tuple(_parse_node(i, n) for i, n in enumerate(data['nodes'], len(INITIAL_NODES))))

  def save(self, path: str | os.PathLike) -> None:
    """Writes the graph to a JSON file, one node per line.

    Args:
      path: the file to write; an existing one is replaced.

    Raises:
      OSError: if the file cannot be written.
    """
    data = self.to_dict()
    nodes = ',\n'.join('    ' + json.dumps(n) for n in data.pop('nodes'))
    header = json.dumps(data)[1:-1]
    pathlib.Path(path).write_text(f'{{{header},\n  "nodes": [\n{nodes}\n  ]\n}}\n')

  @classmethod
  def load(cls, path: str | os.PathLike) -> 'LayerGraph':
    """Returns the graph in a JSON file that `save` wrote.

    Args:
      path: the file to read.

    Raises:
      LayerGraphError: if the file cannot be read or does not hold a valid graph; the message names the file.
    """
    try:
      return cls.from_dict(json.loads(pathlib.Path(path).read_bytes()))
    except OSError as e:
      raise LayerGraphError(f'{path}: cannot be read: {e.strerror}') from e
    except LayerGraphError as e:
      raise LayerGraphError(f'{path}: {e}') from e
    except (ValueError, RecursionError) as e:
      raise LayerGraphError(f'{path}: not JSON: {e}') from e


def _shown(value: Any) -> str:
  """Returns a value's text for a message: on one line, and shortened."""
  return one_line(repr(value))


def _check_node(index: int, node: Node) -> None:
  """Raises LayerGraphError unless the node has a known primitive with the right inputs and axes."""
  primitive = primitives.PRIMITIVES.get(node.primitive)
  if primitive is None:
    known = ', '.join(primitives.PRIMITIVES)
    raise LayerGraphError(f'Node {index}: unknown primitive {_shown(node.primitive)}; known are {known}. One of your '
                          'own must be registered first, by `evonorm_tf.register_primitive`.')
  if len(node.inputs) != primitive.arity:
    raise LayerGraphError(
        f'Node {index}: {node.primitive} takes {primitive.arity} `inputs`, received {len(node.inputs)}.')
  for i in node.inputs:
    if type(i) is not int or not 0 <= i < index:  # True is no index
      raise LayerGraphError(f'Node {index}: `inputs` must be earlier nodes, 0 to {index - 1}, received {_shown(i)}.')
  if primitive.is_moment and node.axes not in primitives.index_sets():
    raise LayerGraphError(f'Node {index}: `axes` of {node.primitive} must be one of {primitives.index_sets()}, '
                          f'received {_shown(node.axes)}.')
  if node.axes and not primitive.is_moment:
    raise LayerGraphError(f'Node {index}: {node.primitive} takes no `axes`, received {_shown(node.axes)}.')


def _check_header(data: Any) -> None:
  """Raises LayerGraphError unless `data` is a JSON object with the format and version of this module."""
  if not isinstance(data, dict):
    raise LayerGraphError(f'A layer graph must be a JSON object, received {type(data).__name__}.')
  for key, value in _EXPECTED.items():
    if data.get(key) != value or type(data[key]) is not type(value):  # True == 1
      raise LayerGraphError(f'`{key}` must be {value!r}, received {_shown(data.get(key))}.')
  if not data.keys() <= _KEYS:
    raise LayerGraphError(f'Unknown keys {_shown(sorted(data.keys() - _KEYS))}; a layer graph has {sorted(_EXPECTED)} '
                          'and `nodes`.')
  if not isinstance(data.get('nodes'), list):
    raise LayerGraphError(f'`nodes` must be a list, received {type(data.get("nodes")).__name__}.')
  if len(data['nodes']) > MAX_NODES:
    raise LayerGraphError(f'`nodes` holds {len(data["nodes"])} nodes; at most {MAX_NODES} are read.')


def _parse_node(index: int, data: Any) -> Node:
  """Returns the node that JSON data describes; raises LayerGraphError for wrong keys or types."""
  if not isinstance(data, dict):
    raise LayerGraphError(f'Node {index}: must be a JSON object, received {type(data).__name__}.')
  if not data.keys() <= _NODE_KEYS:
    raise LayerGraphError(f'Node {index}: unknown keys {_shown(sorted(data.keys() - _NODE_KEYS))}; a node has '
                          'primitive, inputs and axes.')
  primitive, inputs, axes = data.get('primitive'), data.get('inputs'), data.get('axes', '')
  if not isinstance(primitive, str):
    raise LayerGraphError(f'Node {index}: `primitive` must be a string, received {_shown(primitive)}.')
  if not isinstance(axes, str):
    raise LayerGraphError(f'Node {index}: `axes` must be a string, received {_shown(axes)}.')
  if not isinstance(inputs, list) or any(type(i) is not int for i in inputs):  # else 1.0 would be found for 1
    raise LayerGraphError(f'Node {index}: `inputs` must be a list of integers, received {_shown(inputs)}.')
  return _shared_node(primitive, tuple(inputs), axes)


_shared_node = functools.lru_cache(maxsize=100_000)(Node)  # a search keeps 100,000 graphs with a few thousand nodes
