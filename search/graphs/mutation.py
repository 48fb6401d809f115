"""Mutation of a layer graph: one node is replaced by a random one (as in the paper)."""

import numpy as np

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.random_graph import random_node
from search.graphs.random_graph import SearchSpace


def mutate(graph: LayerGraph, space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a copy of a layer graph in which one intermediate node, drawn uniformly, is replaced by a random node.

  The node's operation and its predecessors are both drawn anew (as in the paper). The node may be dead, and the draw
  may repeat the old node; such mutations are neutral, as in the paper.

  Args:
    graph: the layer graph, which stays as it is.
    space: the search space, which gives the operations to choose from.
    rng: the source of all randomness.

  Example:
    >>> import numpy as np
    >>> import search
    >>> space, rng = search.SearchSpace(nodes=6), np.random.default_rng(0)
    >>> graph = space.random_graph(rng)
    >>> sum(a != b for a, b in zip(graph.nodes, search.mutate(graph, space, rng).nodes)) <= 1
    True
  """
  position = int(rng.integers(len(graph.nodes)))
  node = random_node(len(INITIAL_NODES) + position, space, rng)
  return LayerGraph(graph.nodes[:position] + (node,) + graph.nodes[position + 1:])
