"""Which layer graphs `graph_equation` takes, and in which parts it computes them.

The nodes of a graph are of three kinds. Vectors over channels: v0, v1, moments, and what is computed from these alone.
Lines: x, and affine functions a·x + b of it, with vectors a and b. Curves: whatever else varies over positions. A graph
fits if none of its moments is of a curve.

The output is p·h + q with vectors p and q and as small a curve h as possible, the core; or h is the output, a line.
"""

from collections.abc import Collection
from collections.abc import Iterable
import dataclasses
import functools

from evonorm_tf.equations.elementwise import ELEMENTWISE
from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node

X, ZERO, *VECTORS = range(len(INITIAL_NODES))  # the indices of the initial nodes; `VECTORS` are v0 and v1
_ROOTS = 'second_moment', 'centered_second_moment'  # √(· + ε)


@dataclasses.dataclass(frozen=True)
class Plan:
  """The parts of a graph that fits. Nodes are named by their indices and stand in the graph's order.

  Attributes:
    core: the node h.
    outer: the nodes from h to the output; none where h is the output.
    curves: the curves that h needs, h at the end; none where it is a line.
    lines: the lines but x that curves read, or h.
    vectors: the vectors that curves read, except the zero tensor; and whether it is the reciprocal that they read.
    computed_lines: `lines`, the lines that moments are of, and those on the way to them.
    shifted: the lines with a b that is not 0.
    batch_moments: the number of moments over the batch.
    reads_moments: whether a moment is of a line; and whether one over another index set than the batch is.
    positive: nodes that are nowhere below √ε.
  """
  core: int
  outer: tuple[int, ...]
  curves: tuple[int, ...]
  lines: tuple[int, ...]
  vectors: tuple[tuple[int, bool], ...]
  computed_lines: frozenset[int]
  shifted: frozenset[int]
  batch_moments: int
  reads_moments: tuple[bool, bool]
  positive: frozenset[int]

  @property
  def is_centered(self) -> bool:
    """Whether a line with a b is read, and so x − mean."""
    return bool(self.shifted & {*self.lines})


def fits(graph: LayerGraph) -> bool:
  """Returns whether a graph fits; see `plan`.

  Args:
    graph: a layer graph without dead nodes.
  """
  return plan(graph) is not None


@functools.lru_cache(maxsize=1024)
def plan(graph: LayerGraph) -> Plan | None:
  """Returns the plan of a graph; None if it does not fit.

  The output must vary over positions, and what moments over the batch are of over channels: others have moving averages
  of another shape.

  Args:
    graph: a layer graph without dead nodes.
  """
  if not all(node.primitive in ELEMENTWISE or node.axes in primitives.INDEX_SETS for node in graph.nodes):
    return None  # a primitive or an index set that a user has added
  kinds = _Kinds(graph)
  if not kinds.fit or graph.output in kinds.vectors:
    return None
  core, outer = _outer_nodes(graph, kinds)
  curves = _needed(graph, {core}, kinds.curves) if core in kinds.curves else ()
  read = [(i, graph.node(c).primitive == 'div' and place == 1)
          for c in curves for place, i in enumerate(graph.node(c).inputs)]
  lines = ({i for i, _ in read} | {core}) & kinds.lines - {X}
  moments = [node for _, node in _nodes(graph) if primitives.PRIMITIVES[node.primitive].is_moment]
  of_lines = [node.axes for node in moments if node.inputs[0] in kinds.lines]
  return Plan(
      core, outer, curves, tuple(sorted(lines)),
      tuple(sorted({(i, inverted) for i, inverted in read if i in kinds.vectors and (i, inverted) != (ZERO, False)})),
      frozenset(_needed(graph, (kinds.of_moments | lines) - {X}, kinds.lines - {X})), frozenset(kinds.shifted),
      [node.axes for node in moments].count(primitives.BATCH),
      (bool(of_lines), any(axes != primitives.BATCH for axes in of_lines)), frozenset(kinds.positive))


class _Kinds:
  """The kinds of a graph's nodes, as sets of indices, and whether each moment is of a vector or a line."""

  def __init__(self, graph: LayerGraph):
    self.vectors, self.lines, self.curves = {ZERO, *VECTORS}, {X}, set()
    self.shifted, self.positive, self.of_moments, self.fit = set(), set(), set(), True
    self._over_channels = {X, *VECTORS}
    for index, node in _nodes(graph):
      inputs = set(node.inputs)
      if primitives.PRIMITIVES[node.primitive].is_moment:
        self._add_moment(index, node)
      elif inputs <= self.vectors:
        self.vectors.add(index)
      elif self._is_line(node):
        self.lines.add(index)
        if inputs & self.shifted or node.primitive == 'add' and inputs & self.vectors - {ZERO}:
          self.shifted.add(index)
      else:
        self.curves.add(index)
      if inputs & self._over_channels and node.axes != primitives.LAYER:
        self._over_channels.add(index)
      if node.primitive in _ROOTS or node.primitive == 'max' and inputs & self.positive:
        self.positive.add(index)

  def _add_moment(self, index: int, node: Node) -> None:
    argument, = node.inputs
    self.vectors.add(index)
    self.of_moments |= {argument} & self.lines
    self.fit &= argument not in self.curves and (node.axes != primitives.BATCH or argument in self._over_channels)

  def _is_line(self, node: Node) -> bool:
    """Returns whether a node is an affine function of x, given the kinds of its inputs; it is no vector."""
    if {*node.inputs} & self.curves:
      return False
    return node.primitive in ('add', 'neg') or self.has_one_variable(node)

  def has_one_variable(self, node: Node) -> bool:
    """Returns whether a node is p·t + q of one of its inputs t, with vectors p and q from the others."""
    first, *others = (i in self.vectors for i in node.inputs)
    return (node.primitive == 'neg' or node.primitive in ('add', 'mul') and [first, *others].count(True) == 1
            or node.primitive == 'div' and not first and others[0])


def _outer_nodes(graph: LayerGraph, kinds: _Kinds) -> tuple[int, tuple[int, ...]]:
  """Returns the innermost curve of which the output is p·h + q, or the output, and the nodes from there to it."""
  inner, outer = graph.output, []
  while inner in kinds.curves and kinds.has_one_variable(graph.node(inner)):
    outer.insert(0, inner)
    inner = next(i for i in graph.node(inner).inputs if i not in kinds.vectors)
  return inner, tuple(outer)


def _needed(graph: LayerGraph, ends: Collection[int], among: Collection[int]) -> tuple[int, ...]:
  """Returns the nodes among some that others at the end need, these included, in order."""
  needed = set(ends)
  for index, node in reversed(list(_nodes(graph))):
    if index in needed:
      needed |= {*node.inputs} & set(among)
  return tuple(sorted(needed))


def _nodes(graph: LayerGraph) -> Iterable[tuple[int, Node]]:
  return enumerate(graph.nodes, len(INITIAL_NODES))
