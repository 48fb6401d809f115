"""The vectors of a layer graph: its moments and weights, what is computed from them, and the coefficients.

The mean and the variance of x over the positions of each sample and channel are all that the moments need. The mean of
a line a·x + b is a·mean + b, its variance a²·variance; moments over other index sets follow by the law of total
variance.
"""

from collections.abc import Sequence

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.equations.graph_plan import plan
from evonorm_tf.equations.graph_plan import VECTORS
from evonorm_tf.equations.graph_plan import X
from evonorm_tf.equations.graph_plan import ZERO
from evonorm_tf.equations.passes import shared
from evonorm_tf.equations.vector_tape import VectorTape
from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node

_Line = tuple[int, int | None]  # the numbers of a and b in a·t + b; None for 0


class GraphVectors:
  """The computation of a graph's vectors on a tape.

  Args:
    graph: a layer graph that fits.
    epsilon, groups, synchronized: as for `GraphEquation`.
    statistics: the mean and the variance of x over positions, [N, 1, C] each, and the moments over the batch if they
      are given, [1, K, C].
    weights: γ, β and those of v0 and v1 that the graph reads, [C] each.
    mask: [N, positions, 1]; None (default) for all positions.

  Attributes:
    tape: the vectors, by number.
    moments: the numbers of the mean and the variance of x over positions.
    weights: the numbers of the weights.
    averages: the numbers of the averages of which moments over the batch are roots, in the graph's order.
    coefficients: the numbers of the coefficients: a and, if it is not 0, b of each line that curves read; the vectors
      that they read; p·γ and q·γ + β. A number can occur twice.
  """

  def __init__(self, graph: LayerGraph, epsilon: float, groups: int, synchronized: bool, statistics: Sequence[Tensor],
               weights: Sequence[Tensor], mask: Tensor | None = None):
    mean, variance, *given = statistics
    self._epsilon, self._plan, self._given = epsilon, plan(graph), given[0] if given else None
    self._average_options = groups, synchronized, mask
    self.tape, ops = VectorTape(), ops_of(mean)
    self._zero, self._one = (self.tape.leaf(make([1, 1, 1], mean.dtype)) for make in (ops.zeros, ops.ones))
    self.moments = self.tape.leaf(mean), self.tape.leaf(variance)
    self.weights = tuple(self.tape.leaf(shared(w)) for w in weights)
    self.averages: list[int] = []
    self._lines: dict[int, _Line] = {X: (self._one, None)}
    self._vectors = {ZERO: self._zero, **dict(zip((i for i in VECTORS if i in graph.live), self.weights[2:]))}
    for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
      if primitives.PRIMITIVES[node.primitive].is_moment:
        self._vectors[index] = self._moment(node)
      elif all(i in self._vectors for i in node.inputs):
        self._vectors[index] = self.tape.apply(node.primitive, *(self._vectors[i] for i in node.inputs))
      elif index in self._plan.computed_lines:
        self._lines[index] = self._combined(node, [self._lines.get(i) for i in node.inputs])
    self.coefficients = [*self._read_by_curves(), *self._factor_and_offset(graph)]

  def _combined(self, node: Node, lines: Sequence[_Line | None]) -> _Line:
    """Returns a node as p·t + q, from its inputs as such functions of t; None for a vector."""
    apply = self.tape.apply
    if node.primitive == 'add' and None not in lines:
      (a, b), (c, d) = lines
      return apply('add', a, c), apply('add', b, d) if b is not None and d is not None else d if b is None else b
    scale, shift = next(line for line in lines if line is not None)
    vectors = [self._vectors[i] for i, line in zip(node.inputs, lines) if line is None]
    if node.primitive == 'add':
      if vectors == [self._zero]:
        return scale, shift
      return scale, vectors[0] if shift is None else apply('add', shift, *vectors)
    return apply(node.primitive, scale, *vectors), None if shift is None else apply(node.primitive, shift, *vectors)

  def _read_by_curves(self) -> list[int]:
    lines = [number for i in self._plan.lines for number in self._lines[i] if number is not None]
    return lines + [self.tape.apply('div', self._one, self._vectors[i]) if is_reciprocal else self._vectors[i]
                    for i, is_reciprocal in self._plan.vectors]

  def _factor_and_offset(self, graph: LayerGraph) -> tuple[int, int]:
    """Returns the numbers of p·γ and q·γ + β."""
    gamma, beta, *_ = self.weights
    outer = self._plan.outer
    if self._plan.curves and not outer:
      return gamma, beta
    line: _Line = (self._one, None)
    if not self._plan.curves:
      inner = graph.output if not outer else next(i for i in graph.node(outer[0]).inputs if i in self._lines)
      line = self._lines[inner]
    for index in outer:
      node = graph.node(index)
      line = self._combined(node, [None if i in self._vectors else line for i in node.inputs])
    factor, offset = line
    apply = self.tape.apply
    return apply('mul', factor, gamma), beta if offset is None else apply('add', apply('mul', offset, gamma), beta)

  def _moment(self, node: Node) -> int:
    """Returns the number of a moment, √(· + ε) of an average but for first moments."""
    average = self._average(node)
    if node.axes == primitives.BATCH:
      self.averages.append(average)
    if node.primitive == 'first_moment':
      return average
    value = self.tape.values[average]
    root = ops_of(value).sqrt(value + self._epsilon)
    return self.tape.result(root, [average], lambda dy: [dy * (.5 / root)])

  def _average(self, node: Node) -> int:
    """Returns the number of μ(t), μ(t²) or s²(t) of a node t."""
    if node.axes == primitives.BATCH and self._given is not None:
      place = len(self.averages)
      return self.tape.leaf(self._given[:, place:place + 1])
    numbers = self._position_moments(node.inputs[0])
    mean, variance = (self.tape.values[number] for number in numbers)
    ops, over = ops_of(mean), (node.axes, *self._average_options)
    if node.primitive == 'first_moment':
      value = moments.average(mean, *over)
      return self.tape.result(value, numbers, lambda dy: [self._spread(dy, node.axes, mean), None])
    if node.primitive == 'second_moment':
      value, center = moments.average(variance + ops.square(mean), *over), 0.
    else:
      value, center = moments.total_moments(mean, variance, *over)

    def gradient(dy):
      by_square = self._spread(dy, node.axes, mean)
      return [by_square * (2. * (mean - center)), by_square]
    return self.tape.result(value, numbers, gradient)

  def _position_moments(self, index: int) -> tuple[int, int]:
    """Returns the numbers of a node's mean and variance over positions."""
    if index == X:
      return self.moments
    if index in self._vectors:
      return self._vectors[index], self._zero
    apply, (scale, shift), (mean, variance) = self.tape.apply, self._lines[index], self.moments
    mean = apply('mul', scale, mean)
    return mean if shift is None else apply('add', mean, shift), apply('mul', apply('square', scale), variance)

  def _spread(self, dy: Tensor, axes: str, argument: Tensor) -> Tensor:
    """Returns the gradient with respect to the argument of `moments.average`, or what broadcasts to it."""
    groups, synchronized, _ = self._average_options
    if axes == primitives.INSTANCE:
      return dy
    if axes == primitives.LAYER:
      return dy / argument.shape[-1]
    if axes == primitives.GROUP:  # each channel holds its group's mean, a symmetric matrix
      return moments.average(dy, axes, groups)
    ops = ops_of(dy)
    samples = ops.as_divisor(ops.axes_size(argument, 0, 1), dy.dtype)
    return ops.divide_no_nan(*ops.sum_over_replicas([dy, samples], synchronized))
