"""The vectors of a layer graph: its moments and weights, what is computed from them, and the coefficients.

The mean and the variance of x over the positions of each sample and channel are all that the moments need. The mean of
a line a·x + b is its value at the mean, its variance a²·variance; moments over other index sets follow by the law of
total variance. Lines are computed as a·(x − mean) + (a·mean + b), since a·x and b can be large and nearly cancel.
"""

from collections.abc import Mapping
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


class GraphVectors:
  """The computation of a graph's vectors on a tape.

  Args:
    graph: a layer graph that fits.
    epsilon, groups, synchronized: as for `GraphEquation`.
    statistics: the mean and the variance of x over positions, [N or 1, 1, C] each; the averages of which moments over
      the batch are roots, [1, K, C], where they are known; and the means that they are about, [1, K, C], unless the
      averages are constants.
    weights: γ, β and those of v0 and v1 that the graph reads, [C] each.
    mask: [N, positions, 1]; None (default) for all positions.

  Attributes:
    tape: the vectors, by number.
    moments: the numbers of the mean and the variance of x over positions.
    weights: the numbers of the weights.
    averages, centers: the averages of which moments over the batch are roots and the means that they are about, in the
      graph's order, [1, 1, C] each.
    scales: the numbers of a of the lines that are read, by the index of the node.
    coefficients: the numbers of the coefficients, but for the mean: of each line that is read a and, if it has a b, the
      value at the mean; the vectors that curves read; p·γ and q·γ + β. A number can occur twice.
  """

  def __init__(self, graph: LayerGraph, epsilon: float, groups: int, synchronized: bool, statistics: Sequence[Tensor],
               weights: Sequence[Tensor], mask: Tensor | None = None):
    mean, variance, *known = statistics
    self._epsilon, self._plan, self._known = epsilon, plan(graph), known
    self._average_options = groups, synchronized, mask
    self.tape, ops = VectorTape(), ops_of(mean)
    self._zero, self._one = (self.tape.leaf(make([1, 1, 1], mean.dtype)) for make in (ops.zeros, ops.ones))
    self.moments = self.tape.leaf(mean), self.tape.leaf(variance)
    self.weights = tuple(self.tape.leaf(shared(w)) for w in weights)
    self.averages: list[Tensor] = []
    self.centers: list[Tensor] = []
    self._scales, self._at_mean = {X: self._one}, {X: self.moments[0]}  # of lines
    self._vectors = {ZERO: self._zero, **dict(zip((i for i in VECTORS if i in graph.live), self.weights[2:]))}
    for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
      if primitives.PRIMITIVES[node.primitive].is_moment:
        self._vectors[index] = self._moment(node)
      elif all(i in self._vectors for i in node.inputs):
        self._vectors[index] = self.tape.apply(node.primitive, *(self._vectors[i] for i in node.inputs))
      elif index in self._plan.computed_lines:
        self._scales[index] = self._scale(node, self._scales)
        self._at_mean[index] = self.tape.apply(node.primitive, *(
            self._at_mean[i] if i in self._at_mean else self._vectors[i] for i in node.inputs))
    self.scales = {i: self._scales[i] for i in self._plan.lines}
    self.coefficients = [*self._read(), *self._factor_and_offset(graph)]

  def _scale(self, node: Node, scales: Mapping[int, int]) -> int:
    """Returns the number of p of a node p·t + q, given those of its inputs that are such functions of t."""
    factors = [scales[i] for i in node.inputs if i in scales]
    if node.primitive == 'add':
      return self.tape.apply('add', *factors) if len(factors) == 2 else factors[0]
    return self.tape.apply(node.primitive, *factors, *(self._vectors[i] for i in node.inputs if i not in scales))

  def _read(self) -> list[int]:
    """Returns the numbers of what curves read."""
    lines = [number for i in self._plan.lines
             for number in ([self._scales[i], self._at_mean[i]] if i in self._plan.shifted else [self._scales[i]])]
    vectors = [self.tape.apply('div', self._one, self._vectors[i]) if is_reciprocal else self._vectors[i]
               for i, is_reciprocal in self._plan.vectors]
    return lines + vectors

  def _factor_and_offset(self, graph: LayerGraph) -> tuple[int, int]:
    """Returns the numbers of p·γ and q·γ + β."""
    factor, offset, *_ = self.weights
    apply, inner = self.tape.apply, self._plan.core
    scales, at_zero = {inner: self._one}, {inner: self._zero}
    for index in self._plan.outer:
      node = graph.node(index)
      scales = {index: self._scale(node, scales)}
      at_zero = {index: apply(node.primitive, *(at_zero[i] if i in at_zero else self._vectors[i]
                                                for i in node.inputs))}
      inner = index
    if not self._plan.outer:
      return factor, offset
    return apply('mul', scales[inner], factor), apply('add', apply('mul', at_zero[inner], factor), offset)

  def _moment(self, node: Node) -> int:
    """Returns the number of a moment, √(· + ε) of an average but for first moments."""
    average = self._average(node)
    if node.primitive == 'first_moment':
      return average
    value = self.tape.values[average]
    root = ops_of(value).sqrt(value + self._epsilon)
    return self.tape.result(root, [average], lambda dy: [dy * (.5 / root)])

  def _average(self, node: Node) -> int:
    """Returns the number of μ(t), μ(t²) or s²(t) of a node t."""
    place = len(self.averages)
    known = [shared(t[:, place:place + 1]) for t in self._known] if node.axes == primitives.BATCH else []
    if len(known) == 1:  # a constant
      self.averages.append(known[0])
      return self.tape.leaf(known[0])
    numbers = self._position_moments(node.inputs[0])
    mean, variance = (self.tape.values[number] for number in numbers)
    value, center = known or self._average_and_center(node, mean, variance)
    if node.axes == primitives.BATCH:
      self.averages.append(value)
      self.centers.append(center)

    def gradient(dy):
      spread = self._spread(dy, node.axes, mean)
      if node.primitive == 'first_moment':
        return [spread, None]
      about = center if node.primitive == 'centered_second_moment' else 0.
      return [spread * (2. * (mean - about)), spread]
    return self.tape.result(value, numbers, gradient)

  def _average_and_center(self, node: Node, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the average, and the mean that a centered one is about; for others the average itself."""
    over = node.axes, *self._average_options
    if node.primitive == 'centered_second_moment':
      return moments.total_moments(mean, variance, *over)
    value = moments.average(mean if node.primitive == 'first_moment' else variance + ops_of(mean).square(mean), *over)
    return value, value

  def _position_moments(self, index: int) -> tuple[int, int]:
    """Returns the numbers of a node's mean and variance over positions."""
    if index == X:
      return self.moments
    if index in self._vectors:
      vector = self.tape.values[self._vectors[index]]
      return self._vectors[index], self.tape.leaf(ops_of(vector).zeros_like(vector))
    square = self.tape.apply('square', self._scales[index])
    return self._at_mean[index], self.tape.apply('mul', square, self.moments[1])

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
