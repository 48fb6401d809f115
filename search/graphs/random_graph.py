"""The search space, and random layer graphs from it (as in the paper)."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives as primitives_lib
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node

PRIMITIVES, PAIRS = 'primitives', 'pairs'  # what the operation of a random node is uniform over


@dataclasses.dataclass(frozen=True)
class SearchSpace:
  """The search space: the layer graphs that a search can generate.

  Attributes:
    nodes: the number of intermediate nodes in every graph (default 10, believed to be the paper's number).
    index_sets: the index sets that moments may average over, some of `primitives.index_sets` (default: the
      paper's four). `sample_space` leaves out `primitives.BATCH`.
    uniform_over: what the operation of a random node is uniform over: 'primitives' (default) draws a primitive first
      and then, for a moment, its index set; 'pairs' draws one of `operations`, so that with four index sets a moment is
      drawn four times as often as another primitive, half of all nodes. Which of them the paper does is not known.
    primitives: the names of the primitives that nodes may have, the paper's (`primitives.BUILT_IN`) and such as
      `evonorm_tf.register_primitive` has added, each as often as it stands here; None (default) for the paper's.

  Raises:
    ArgumentError: if `nodes` is less than 1, if `index_sets` or `primitives` is empty or has an unknown member, or if
      `uniform_over` is neither of the two.

  Example:
    >>> import search
    >>> space = search.SearchSpace(nodes=6, index_sets=('w,h', 'w,h,c/g'))
    >>> len(space.operations)  # 12 primitives, and 3 moments over 2 index sets
    18
  """
  nodes: int = 10
  index_sets: tuple[str, ...] = primitives_lib.INDEX_SETS
  uniform_over: str = PRIMITIVES
  primitives: tuple[str, ...] | None = None

  def __post_init__(self):
    if self.nodes < 1:
      raise ArgumentError(f'`nodes` must be at least 1, received {self.nodes}.')
    _check_known('index_sets', self.index_sets, primitives_lib.index_sets())
    if self.primitives is not None:
      _check_known('primitives', self.primitives, tuple(primitives_lib.PRIMITIVES))
    if self.uniform_over not in (PRIMITIVES, PAIRS):
      raise ArgumentError(f'`uniform_over` must be {PRIMITIVES!r} or {PAIRS!r}, received {self.uniform_over!r}.')

  @functools.cached_property
  def primitives_drawn(self) -> tuple[primitives_lib.Primitive, ...]:
    """The primitives that a node can have, in the order that decides which graphs a seed gives."""
    names = primitives_lib.BUILT_IN if self.primitives is None else self.primitives
    return tuple(primitives_lib.PRIMITIVES[name] for name in names)

  @functools.cached_property
  def operations(self) -> tuple[tuple[primitives_lib.Primitive, str], ...]:
    """The operations that a node can have: pairs of a primitive and, for a moment, its index set, otherwise ''."""
    return tuple((p, axes) for p in self.primitives_drawn
                 for axes in (self.index_sets if p.is_moment else ('',)))

  def random_graph(self, rng: np.random.Generator) -> LayerGraph:
    """Returns a random layer graph of the space, which may have dead nodes and need not depend on x.

    Args:
      rng: the source of all randomness.
    """
    return random_graph(self, rng)


def _check_known(argument: str, names: Sequence[str], known: Sequence[str]) -> None:
  if isinstance(names, str) or not names or set(names) - set(known):
    raise ArgumentError(f'`{argument}` must be some of {tuple(known)}, received {names!r}. Those of your own must be '
                        'registered first, by `evonorm_tf.register_primitive` or `register_index_set`.')


def sample_space(nodes: int = 10, uniform_over: str = PRIMITIVES) -> SearchSpace:
  """Returns the search space of the S series, which uses the sample alone: no moments over the batch.

  Whether the paper's search for the S series had such a space is doubtful. In the picture of EvoNorm-S0's layer graph
  in the paper's first version, a node √s²_{b,w,h} stands unused beside the others: that search drew moments over the
  batch, and found a layer that does not depend on any. A search in the full space with only such layers evaluated
  would find the same layers; this space has no node that could depend on the batch, dead or alive.

  Args:
    nodes: the number of intermediate nodes in every graph (default 10, believed to be the paper's number).
    uniform_over: what the operation of a random node is uniform over, 'primitives' (default) or 'pairs'; see
      `SearchSpace`.

  Raises:
    ArgumentError: as `SearchSpace`.
  """
  return SearchSpace(nodes, tuple(s for s in primitives_lib.INDEX_SETS if s != primitives_lib.BATCH), uniform_over)


def random_node(index: int, space: SearchSpace, rng: np.random.Generator) -> Node:
  """Returns a node with a random operation, uniform over `space.uniform_over`, and uniformly random predecessors.

  Args:
    index: the node's index in its graph; its predecessors are drawn from 0 to `index` − 1.
    space: the search space, which gives the operations to choose from.
    rng: the source of all randomness.
  """
  if space.uniform_over == PAIRS:
    primitive, axes = _one_of(space.operations, rng)
  else:
    primitive = _one_of(space.primitives_drawn, rng)
    axes = _one_of(space.index_sets, rng) if primitive.is_moment else ''
  return Node(primitive.name, tuple(_below(index, rng) for _ in range(primitive.arity)), axes)


def random_graph(space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a random layer graph, which may have dead nodes and need not depend on x.

  Args:
    space: the search space.
    rng: the source of all randomness.
  """
  first = len(INITIAL_NODES)
  return LayerGraph(tuple(random_node(first + i, space, rng) for i in range(space.nodes)))


def filled(graph: LayerGraph, space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """Returns a layer graph with random dead nodes before its nodes, up to the search space's number of nodes.

  Args:
    graph: the layer graph, with at most as many nodes as the space has.
    space: the search space.
    rng: the source of all randomness.

  Raises:
    ArgumentError: if the graph has more nodes than the space.
  """
  first, missing = len(INITIAL_NODES), space.nodes - len(graph.nodes)
  if missing < 0:
    raise ArgumentError(f"`graph` must have at most the space's {space.nodes} nodes, received {len(graph.nodes)}.")
  dead = tuple(random_node(first + i, space, rng) for i in range(missing))
  moved = (dataclasses.replace(n, inputs=tuple(i + missing * (i >= first) for i in n.inputs)) for n in graph.nodes)
  return LayerGraph((*dead, *moved))


def _one_of(choices: Sequence, rng: np.random.Generator) -> Any:
  return choices[_below(len(choices), rng)]


def _below(bound: int, rng: np.random.Generator) -> int:
  """Returns a uniformly random integer from 0 to bound − 1, several times faster than `rng.integers`."""
  return int(rng.random() * bound)
