"""Mutation of the live part of a layer graph: a node is inserted, deleted or replaced, or an edge leads elsewhere.

The paper's mutation draws one node anew, operation and predecessors (`search.graphs.mutation`). Most nodes of a graph
are dead, and to put a node between two live ones it takes two such draws, the first of a dead node. Here it is one
step, from x / s[b,w,h](x) to x / max(s[b,w,h](x), x) for instance. The mutations of genetic programming are the model
(Poli, Langdon, McPhee, "A Field Guide to Genetic Programming", 2008, section 5.2); the paper has none of them.
"""

import dataclasses

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.random_graph import filled
from search.graphs.random_graph import random_node
from search.graphs.random_graph import SearchSpace

_FIRST = len(INITIAL_NODES)


def mutate_live(graph: LayerGraph, space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a copy of a layer graph in which one change is made to the nodes that its output depends on.

  The change is one of four, with equal probability; of a node or an edge that it takes, each has the same:
  - insert: a node with a random operation is put into an edge, or between the last node and the output; its other
    predecessor is random.
  - delete: what reads a node reads one of the node's predecessors instead.
  - replace: a node's operation and predecessors are drawn anew, as in the paper.
  - redirect: an edge begins at another node.

  Where there is no room for another node, or the only one would be deleted, a node is replaced. Dead nodes are drawn
  anew, before the live ones.

  Args:
    graph: the layer graph, which stays as it is.
    space: the search space, which gives the operations to choose from and the number of nodes.
    rng: the source of all randomness.

  Raises:
    ArgumentError: if the graph has more live nodes than the space has nodes.

  Example:
    >>> import numpy as np
    >>> import search
    >>> space, rng = search.SearchSpace(nodes=6), np.random.default_rng(0)
    >>> graph = space.random_graph(rng)
    >>> len(search.mutate_live(graph, space, rng).nodes)
    6
  """
  nodes = list(graph.without_dead_nodes().nodes)
  if len(nodes) > space.nodes:
    raise ArgumentError(f"`graph` must have at most the space's {space.nodes} live nodes, received {len(nodes)}.")
  change = (_insert, _delete, _replace, _redirect)[int(rng.integers(4))]
  if change is _insert and len(nodes) == space.nodes or change is _delete and len(nodes) == 1:
    change = _replace
  return filled(LayerGraph(change(nodes, space, rng)).without_dead_nodes(), space, rng)


def _insert(nodes: list[Node], space: SearchSpace, rng: np.random.Generator) -> tuple[Node, ...]:
  """Returns the nodes with a new one in an edge, which is drawn uniformly with the one to the output."""
  edges = _edges(nodes)
  drawn = int(rng.integers(len(edges) + 1))
  position, slot = edges[drawn] if drawn < len(edges) else (len(nodes), 0)
  new = random_node(_FIRST + position, space, rng)
  source = nodes[position].inputs[slot] if drawn < len(edges) else _FIRST + position - 1
  new = _with_input(new, int(rng.integers(len(new.inputs))), source)
  after = [dataclasses.replace(node, inputs=tuple(i + (i >= _FIRST + position) for i in node.inputs))
           for node in nodes[position:]]
  if after:
    after[0] = _with_input(after[0], slot, _FIRST + position)
  return (*nodes[:position], new, *after)


def _delete(nodes: list[Node], space: SearchSpace, rng: np.random.Generator) -> tuple[Node, ...]:
  """Returns the nodes without a random one, in whose place one of its predecessors is read; `space` is not used."""
  del space
  position = int(rng.integers(len(nodes)))
  sources = nodes[position].inputs
  if position == len(nodes) - 1:  # the output has to remain an intermediate node, which is then the last
    sources = tuple(i for i in sources if i >= _FIRST)
    return tuple(nodes[:sources[int(rng.integers(len(sources)))] - _FIRST + 1])
  source, own = sources[int(rng.integers(len(sources)))], _FIRST + position
  after = (dataclasses.replace(node, inputs=tuple(source if i == own else i - (i > own) for i in node.inputs))
           for node in nodes[position + 1:])
  return (*nodes[:position], *after)


def _replace(nodes: list[Node], space: SearchSpace, rng: np.random.Generator) -> tuple[Node, ...]:
  """Returns the nodes with one of them drawn anew."""
  position = int(rng.integers(len(nodes)))
  return (*nodes[:position], random_node(_FIRST + position, space, rng), *nodes[position + 1:])


def _redirect(nodes: list[Node], space: SearchSpace, rng: np.random.Generator) -> tuple[Node, ...]:
  """Returns the nodes with one edge that begins at another node, drawn uniformly; `space` is not used."""
  del space
  edges = _edges(nodes)
  position, slot = edges[int(rng.integers(len(edges)))]
  others = [i for i in range(_FIRST + position) if i != nodes[position].inputs[slot]]
  node = _with_input(nodes[position], slot, others[int(rng.integers(len(others)))])
  return (*nodes[:position], node, *nodes[position + 1:])


def _edges(nodes: list[Node]) -> list[tuple[int, int]]:
  """Returns the edges as the position of the node that reads and the number of its input."""
  return [(position, slot) for position, node in enumerate(nodes) for slot in range(len(node.inputs))]


def _with_input(node: Node, slot: int, source: int) -> Node:
  return dataclasses.replace(node, inputs=(*node.inputs[:slot], source, *node.inputs[slot + 1:]))
