"""The search space, and random layer graphs from it (paper section 3)."""

import dataclasses
import functools

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node


@dataclasses.dataclass(frozen=True)
class SearchSpace:
  """The search space: the layer graphs that a search can generate.

  Attributes:
    nodes: the number of intermediate nodes in every graph (default 10, believed to be the paper's number).
    index_sets: the index sets that moments may average over, some of `primitives.INDEX_SETS` (default: all of them).
      The paper's search for the S series leaves out `primitives.BATCH`.

  Raises:
    ArgumentError: if `nodes` is less than 1, or if `index_sets` is empty or has an unknown member.
  """
  nodes: int = 10
  index_sets: tuple[str, ...] = primitives.INDEX_SETS

  def __post_init__(self):
    if self.nodes < 1:
      raise ArgumentError(f'`nodes` must be at least 1, received {self.nodes}.')
    unknown = set(self.index_sets) - set(primitives.INDEX_SETS)
    if unknown or not self.index_sets:
      raise ArgumentError(f'`index_sets` must be some of {primitives.INDEX_SETS}, received {self.index_sets}.')

  @functools.cached_property
  def operations(self) -> tuple[tuple[primitives.Primitive, str], ...]:
    """The operations of a node, all equally likely: pairs of a primitive and a moment's index set, otherwise ''."""
    return tuple((p, axes) for p in primitives.PRIMITIVES.values()
                 for axes in (self.index_sets if p.is_moment else ('',)))


def sample_space(nodes: int = 10) -> SearchSpace:
  """Returns the search space of the S series, which uses the sample alone: no moments over the batch.

  Args:
    nodes: the number of intermediate nodes in every graph (default 10, believed to be the paper's number).
  """
  return SearchSpace(nodes, tuple(s for s in primitives.INDEX_SETS if s != primitives.BATCH))


def random_node(index: int, space: SearchSpace, rng: np.random.Generator) -> Node:
  """Returns a node with a uniformly random operation and uniformly random predecessors.

  Args:
    index: the node's index in its graph; its predecessors are drawn from 0 to `index` − 1.
    space: the search space, which gives the operations to choose from.
    rng: the source of all randomness.
  """
  primitive, axes = space.operations[_below(len(space.operations), rng)]
  return Node(primitive.name, tuple(_below(index, rng) for _ in range(primitive.arity)), axes)


def random_graph(space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a random layer graph, which may have dead nodes and need not depend on x.

  Args:
    space: the search space.
    rng: the source of all randomness.
  """
  first = len(INITIAL_NODES)
  return LayerGraph(tuple(random_node(first + i, space, rng) for i in range(space.nodes)))


def _below(bound: int, rng: np.random.Generator) -> int:
  """Returns a uniformly random integer from 0 to bound − 1, several times faster than `rng.integers`."""
  return int(rng.random() * bound)
