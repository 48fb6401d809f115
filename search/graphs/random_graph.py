"""Random layer graphs from low-level primitives (paper section 3, random graph)."""

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
  """The graphs that a search can make.

  Attributes:
    nodes: the number of intermediate nodes (the paper's 10, recalled).
    index_sets: the index sets that moments may average over. The paper's S series leaves out `primitives.BATCH`.
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
    """The operations of a node, each equally likely: a primitive, or a moment with one of the index sets."""
    return tuple((p, axes) for p in primitives.PRIMITIVES.values()
                 for axes in (self.index_sets if p.is_moment else ('',)))


def sample_space(nodes: int = 10) -> SearchSpace:
  """Returns the space of the S series: no moments over the batch.

  Args:
    nodes: the number of intermediate nodes.
  """
  return SearchSpace(nodes, tuple(s for s in primitives.INDEX_SETS if s != primitives.BATCH))


def random_node(index: int, space: SearchSpace, rng: np.random.Generator) -> Node:
  """Returns a node at `index` with a uniformly random operation and uniformly random predecessors."""
  primitive, axes = space.operations[_below(len(space.operations), rng)]
  return Node(primitive.name, tuple(_below(index, rng) for _ in range(primitive.arity)), axes)


def random_graph(space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a graph of `space.nodes` random nodes."""
  first = len(INITIAL_NODES)
  return LayerGraph(tuple(random_node(first + i, space, rng) for i in range(space.nodes)))


def _below(bound: int, rng: np.random.Generator) -> int:
  """A uniformly random integer of 0 to bound − 1; several times faster than rng.integers."""
  return int(rng.random() * bound)
