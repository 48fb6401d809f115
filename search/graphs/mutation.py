"""Mutation of a layer graph (paper section 3, mutation)."""

import numpy as np

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.random_graph import random_node
from search.graphs.random_graph import SearchSpace


def mutate(graph: LayerGraph, space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a copy with one intermediate node, drawn uniformly, replaced by a random one.

  Operation and predecessors are both drawn anew. The node may be dead, and the draw may repeat the old node: such
  mutations are neutral, as in the paper.
  """
  position = int(rng.integers(len(graph.nodes)))
  node = random_node(len(INITIAL_NODES) + position, space, rng)
  return LayerGraph(graph.nodes[:position] + (node,) + graph.nodes[position + 1:])
