"""Layer graphs as equations of `passes`: y = f(x; v0, v1)·γ + β with a gradient that keeps little.

The graph must fit, and its nodes are vectors, lines or curves: see `graph_plan`. The coefficients are what curves read
of vectors and lines, and with which the output follows from the core (`graph_vectors`). Derivatives are those of the
nodes, in reverse: of the curves with respect to x and the coefficients, summed over positions for these, and from there
of the vectors with respect to the weights and the statistics of x.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import operator
from typing import Any

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations.elementwise import clamp_magnitude
from evonorm_tf.equations.elementwise import DERIVATIVES
from evonorm_tf.equations.elementwise import ELEMENTWISE
from evonorm_tf.equations.elementwise import where_unguarded
from evonorm_tf.equations.graph_plan import Plan
from evonorm_tf.equations.graph_plan import plan
from evonorm_tf.equations.graph_plan import X
from evonorm_tf.equations.graph_plan import ZERO
from evonorm_tf.equations.graph_vectors import GraphVectors
from evonorm_tf.equations.passes import ByStatistics
from evonorm_tf.equations.rational_sigmoid import rational_sigmoid
from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import LayerGraph

# Keys of values beside the indices of nodes: x − mean; with an index, a line's value at the mean, a node's reciprocal.
_CENTERED, _AT_MEAN, _RECIPROCAL = 'centered', 'at mean', 'reciprocal'
_Values = dict[Any, Tensor]


@dataclasses.dataclass(frozen=True)
class GraphEquation:
  """A layer graph that fits, as an equation of `passes`, which describes the methods and their shapes.

  The weights are γ, β and those of v0 and v1 that the graph reads. The moment is [1, K, C], of the K nodes that are
  moments over the batch in the graph's order: μ, μ(x²) or s², as moving averages are; without such nodes it is the mean
  over positions, to no purpose. The statistics are the mean and the variance over positions, the moment if there is
  one, and the means that it is about, unless it is given.

  Attributes:
    graph: the layer graph, without dead nodes.
    epsilon: the constant ε in the roots of second moments.
    groups: the number of channel groups. If it does not divide C, the largest smaller number that does is used.
    synchronized: whether b is the global batch, over all replicas (default False).
    rational: whether `rational_sigmoid` approximates σ for float32 (default False).
  """
  graph: LayerGraph
  epsilon: float
  groups: int
  synchronized: bool = False
  rational: bool = False

  keeps_channels = True

  def specialized(self, channels: int, rational: bool) -> 'GraphEquation':
    """Returns the equation for a number of channels, with `rational_sigmoid` only where its absolute error does."""
    nodes = [self.graph.node(index) for index in self._plan.curves]
    magnifies = any(node.primitive in ('log', 'sqrt') or node.primitive == 'div' and node.inputs[1] in self._plan.curves
                    for node in nodes)
    return dataclasses.replace(
        self, groups=primitives.largest_divisor(channels, self.groups), rational=rational and not magnifies)

  def needs_moments(self, is_given: bool) -> bool:
    """Returns whether anything depends on the moments over positions."""
    return self._plan.reads_moments[is_given]

  def moment(self, mean: Tensor, variance: Tensor, weights: Sequence[Tensor], mask: Tensor | None = None
             ) -> tuple[Tensor, Tensor | None]:
    """Returns the moments over the batch, and the means that they are about; without any the mean over positions."""
    if not self._plan.batch_moments:
      return mean, None
    vectors = self._vectors((mean, variance), weights, mask)
    return tuple(ops_of(mean).concatenate(some, 1) for some in (vectors.averages, vectors.centers))

  def statistics(self, mean: Tensor, variance: Tensor, moment: Tensor, center: Tensor | None) -> tuple[Tensor, ...]:
    """Returns the statistics."""
    if not self._plan.batch_moments:
      return mean, variance
    return (mean, variance, moment) if center is None else (mean, variance, moment, center)

  def coefficients(self, statistics: Sequence[Tensor], *weights: Tensor) -> tuple[Tensor, ...]:
    """Returns the coefficients, [N or 1, 1, C or 1] each."""
    vectors = self._vectors(statistics, weights)
    found = [vectors.tape.values[number] for number in vectors.coefficients]
    return *([statistics[0]] if self._plan.is_centered else []), *found

  def output(self, x: Tensor, *coefficients: Tensor) -> Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    *_, factor, offset = coefficients
    return self._values(x, coefficients)[self._plan.core] * factor + offset

  def terms(self, x: Tensor, dy: Tensor, *coefficients: Tensor) -> list[Tensor]:
    """Returns the terms whose sums over positions `gradients` takes, one for each coefficient but the mean."""
    values = self._values(x, coefficients)
    found = self._gradients(values, dy * coefficients[-2])
    by_lines = [found[i] * values[_CENTERED if i in self._plan.shifted else X] if key == i else found[i]
                for key, i in self._line_keys()]
    return [*by_lines, *(found[key] for key in self._vector_keys()), dy * values[self._plan.core], dy]

  def gradients(self, sums: Sequence[Tensor], statistics: Sequence[Tensor], count: Tensor, is_given: bool,
                *weights: Tensor) -> tuple[ByStatistics | None, Tensor]:
    """Returns the gradient through the statistics, None if y depends on none, and rows of the weights' gradients."""
    vectors, ops = self._vectors(statistics, weights), ops_of(sums[0])
    seeds = list(zip(vectors.coefficients, sums, strict=True))
    # A line is a·(x − mean) + (its value at the mean).
    seeds += [(vectors.moments[0], -vectors.tape.values[vectors.scales[i]] * by_line)
              for (key, i), by_line in zip(self._line_keys(), sums) if key != i]
    found = vectors.tape.gradients(seeds)
    rows = [found.get(number, ops.zeros_like(vectors.tape.values[number])) for number in vectors.weights]
    by_weights = ops.reshape(ops.concatenate(rows, 1), [len(weights), weights[0].shape[0]])
    if not self.needs_moments(is_given):
      return None, by_weights
    by_mean, by_variance = (found.get(number) for number in vectors.moments)
    mean = statistics[0]
    slope = ops.zeros_like(mean) if by_variance is None else by_variance * (2. / count)
    return ByStatistics(slope, mean, None if by_mean is None else by_mean / count), by_weights

  def input_gradient(self, x: Tensor, dy: Tensor, *coefficients: Tensor) -> Tensor:
    """Returns dx, [N, positions, C], as if the coefficients did not depend on x."""
    values = self._values(x, coefficients)
    found = self._gradients(values, dy * coefficients[-2])
    scales = self._read(coefficients)
    terms = [found[X]] if X in found else []
    return functools.reduce(operator.add, terms + [found[i] * scales[i] for i in self._plan.lines])

  @property
  def _plan(self) -> Plan:
    return plan(self.graph)

  def _line_keys(self) -> list[tuple[Any, int]]:
    """Returns the key of each coefficient of a line, its index for a and (_AT_MEAN, index), with the index."""
    return [(key, i) for i in self._plan.lines
            for key in ([i, (_AT_MEAN, i)] if i in self._plan.shifted else [i])]

  def _vector_keys(self) -> list[Any]:
    return [(_RECIPROCAL, i) if is_reciprocal else i for i, is_reciprocal in self._plan.vectors]

  def _vectors(self, statistics: Sequence[Tensor], weights: Sequence[Tensor], mask: Tensor | None = None
               ) -> GraphVectors:
    return GraphVectors(self.graph, self.epsilon, self.groups, self.synchronized, statistics, weights, mask)

  def _read(self, coefficients: Sequence[Tensor]) -> _Values:
    """Returns the coefficients of lines and the vectors that curves read, by their keys."""
    keys = [key for key, _ in self._line_keys()] + self._vector_keys()
    return dict(zip(keys, coefficients[self._plan.is_centered:]))

  def _values(self, x: Tensor, coefficients: Sequence[Tensor]) -> _Values:
    """Returns the values of the curves, and of all that they read."""
    read = self._read(coefficients)
    values: _Values = {X: x, ZERO: ops_of(x).zeros([1, 1, 1], x.dtype)}
    values |= {key: read[key] for key in self._vector_keys()}
    if self._plan.is_centered:
      values[_CENTERED] = x - coefficients[0]
    for i in self._plan.lines:
      values[i] = values[_CENTERED] * read[i] + read[_AT_MEAN, i] if i in self._plan.shifted else x * read[i]
    for index in self._plan.curves:
      node = self.graph.node(index)
      if node.primitive == 'div':
        numerator, denominator = node.inputs
        values[index] = values[numerator] * self._reciprocal(denominator, values)
      else:
        values[index] = self._function(node.primitive, x)(*(values[i] for i in node.inputs))
    return values

  def _reciprocal(self, index: int, values: _Values) -> Tensor:
    """Returns 1 / t of a node t, with the guard of divisors, and notes it among the values."""
    if (_RECIPROCAL, index) not in values:
      t = values[index]
      values[_RECIPROCAL, index] = 1. / (t if self._is_beyond_guard(index) else clamp_magnitude(t))
    return values[_RECIPROCAL, index]

  def _is_beyond_guard(self, index: int) -> bool:
    return index in self._plan.positive and self.epsilon >= primitives.EPSILON ** 2

  def _function(self, primitive: str, x: Tensor) -> Callable[..., Tensor]:
    is_rational = self.rational and primitive == 'sigmoid' and ops_of(x).dtype_name(x) == 'float32'
    return rational_sigmoid if is_rational else ELEMENTWISE[primitive]

  def _gradients(self, values: _Values, dy: Tensor) -> _Values:
    """Returns the gradients with respect to x, lines and vectors, [N, positions, C], from that of the core."""
    found: _Values = {self._plan.core: dy}
    for index in reversed(self._plan.curves):
      node = self.graph.node(index)
      if node.primitive == 'div':
        by_inputs = self._gradients_of_quotient(index, values, found[index])
      else:
        arguments = [values[i] for i in node.inputs]
        by_inputs = list(zip(node.inputs, DERIVATIVES[node.primitive](arguments, values[index], found[index])))
      for key, gradient in by_inputs:
        found[key] = found[key] + gradient if key in found else gradient
    return found

  def _gradients_of_quotient(self, index: int, values: _Values, dy: Tensor) -> list[tuple[Any, Tensor]]:
    numerator, denominator = self.graph.node(index).inputs
    by_numerator = dy * values[_RECIPROCAL, denominator]
    if (denominator, True) in self._plan.vectors:
      return [(numerator, by_numerator), ((_RECIPROCAL, denominator), dy * values[numerator])]
    by_denominator = -by_numerator * values[index]
    if not self._is_beyond_guard(denominator):
      by_denominator = where_unguarded(values[denominator], by_denominator)
    return [(numerator, by_numerator), (denominator, by_denominator)]
