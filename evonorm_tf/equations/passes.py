"""Norm-activation equations in three steps, and their passes with a gradient that keeps little.

An equation y = f(x; statistics of x, weights) is computed in three steps:

1. the mean and the variance over the positions of each sample and channel, from which follow the equation's statistics:
   every moment over groups or the batch (law of total variance), and roots of them;
2. a few coefficients, vectors over channels for each sample or for all samples, from statistics and weights;
3. y, elementwise in x and the coefficients.

Engines differentiate `evaluate` by themselves. `forward` and `backward` are for a gradient that keeps less: the forward
pass keeps only x, in its own dtype, and the statistics; the backward pass takes a few sums over positions, from which
the gradients of the weights and of the statistics follow in closed form, and computes dx in one more elementwise pass:
through any statistic here, the gradient with respect to x is (x − center)·slope + offset, with vectors over channels.
Both can themselves be differentiated. `evonorm_tf.gradients` tells each engine of them. The equations are those of the
EvoNorms (`series`) and of layer graphs (`graph_equation`). Index sets, such as b,w,h, are those of `graph.primitives`;
tensors are [N, positions, C], where a position is one place of the spatial axes.
"""

from collections.abc import Sequence
from typing import ClassVar
from typing import NamedTuple
from typing import Protocol

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.graph import primitives


class ByStatistics(NamedTuple):
  """The gradient with respect to x that flows through the statistics of x: (x − center)·slope + offset.

  Attributes:
    slope: [N or 1, 1, C].
    center: [N or 1, 1, C]; None for 0.
    offset: [N or 1, 1, C]; None for 0.
  """
  slope: Tensor
  center: Tensor | None = None
  offset: Tensor | None = None

  def at(self, x: Tensor) -> Tensor:
    """Returns the gradient, [N, positions, C], from x of that shape."""
    gradient = (x if self.center is None else x - self.center) * self.slope
    return gradient if self.offset is None else gradient + self.offset


class Equation(Protocol):
  """The interface of an equation; `series.SampleEquation` describes shapes and methods.

  Attributes:
    keeps_channels: whether what is compiled is for one number of channels.
  """
  keeps_channels: ClassVar[bool]

  def specialized(self, channels: int, rational: bool) -> 'Equation':
    """Returns the equation to compile for a number of channels, with `rational_sigmoid` or without."""
    ...

  def needs_moments(self, is_given: bool) -> bool:
    """Returns whether anything depends on the moments over positions, given whether the equation's moment is given."""
    ...

  def moment(self, mean: Tensor, variance: Tensor, weights: Sequence[Tensor], mask: Tensor | None = None
             ) -> tuple[Tensor, Tensor | None]:
    """Returns the equation's moment, of which there can be a moving average, and the mean that it is about."""
    ...

  def statistics(self, mean: Tensor, variance: Tensor, moment: Tensor, center: Tensor | None) -> tuple[Tensor, ...]:
    """Returns the statistics, from the results of `moment`; None for the center of a moment that is given."""
    ...

  def coefficients(self, statistics: Sequence[Tensor], *weights: Tensor) -> tuple[Tensor, ...]:
    """Returns the coefficients."""
    ...

  def output(self, x: Tensor, *coefficients: Tensor) -> Tensor:
    """Returns y."""
    ...

  def terms(self, x: Tensor, dy: Tensor, *coefficients: Tensor) -> list[Tensor]:
    """Returns the terms whose sums over positions `gradients` takes."""
    ...

  def gradients(self, sums: Sequence[Tensor], statistics: Sequence[Tensor], count: Tensor, is_given: bool,
                *weights: Tensor) -> tuple[ByStatistics | None, Tensor]:
    """Returns the gradient through the statistics, and rows of which the first are the weights' gradients."""
    ...

  def input_gradient(self, x: Tensor, dy: Tensor, *coefficients: Tensor) -> Tensor:
    """Returns dx as if the coefficients did not depend on x."""
    ...


def evaluate(equation: Equation, x: Tensor, weights: Sequence[Tensor], given_moment: Tensor | None = None,
             mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
  """Evaluates an equation; the engine differentiates it.

  Args:
    equation: the equation to evaluate.
    x: a tensor [N, ..., C] of rank 2 to 5, of any floating dtype.
    weights: γ, β and the equation's own, such as v1, each [C]. Their dtype, float32 or float64, is that of all
      computations.
    given_moment: a constant, [C] or of the moment's shape, to use as the equation's moment, such as a moving variance;
      None (default) computes the moment from x.
    mask: boolean, [N, ..., 1] with x's axes: True where a position counts for the statistics; None (default) for all.

  Returns:
    The pair (y, moment). y has x's shape and dtype, and with a mask a value everywhere: at a masked position that of
    its own x. The moment is [N or 1, 1, C], and no gradient flows through it.
  """
  ops = ops_of(x)
  wide = ops.cast(moments.flatten_positions(x), weights[0].dtype)
  flat_mask = None if mask is None else moments.flatten_positions(mask)
  mean, variance = (
      moment(wide, primitives.INSTANCE, mask=flat_mask) for moment in (moments.average, moments.variance)
  ) if equation.needs_moments(given_moment is not None) else _no_moments(wide)
  moment, statistics = statistics_from_moments(equation, mean, variance, weights, given_moment, flat_mask)
  y = equation.output(wide, *equation.coefficients(statistics, *weights))
  return ops.reshape(ops.cast(y, x.dtype), ops.shape(x)), ops.stop_gradient(moment)


def forward(equation: Equation, slices: int, x: Tensor, given_moment: Tensor | None, *weights: Tensor
            ) -> tuple[Tensor, ...]:
  """Returns y, the equation's moment, and the statistics that `backward` takes.

  Args:
    equation: the equation to evaluate.
    slices: the number of slices into which sums over positions are cut; see `moments.position_sums`.
    x: a tensor [N, positions, C].
    given_moment, *weights: as for `evaluate`.
  """
  moment, statistics = moment_and_statistics(equation, slices, x, given_moment, weights)
  return output(equation, x, statistics, *weights), moment, *statistics


def moment_and_statistics(equation: Equation, slices: int, x: Tensor, given_moment: Tensor | None,
                          weights: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
  """Returns the equation's moment, and its statistics, in the dtype of the weights.

  Args:
    equation, slices, x, given_moment, weights: as for `forward`.
  """
  wide = ops_of(x).cast(x, weights[0].dtype)
  mean, variance = (moments.sum_position_moments(wide, slices) if equation.needs_moments(given_moment is not None)
                    else _no_moments(wide))
  return statistics_from_moments(equation, mean, variance, weights, given_moment)


def output(equation: Equation, x: Tensor, statistics: Sequence[Tensor], *weights: Tensor) -> Tensor:
  """Returns y, of x's shape and dtype.

  Args:
    equation, x, *weights: as for `forward`.
    statistics: the statistics of x.
  """
  ops = ops_of(x)
  coefficients = equation.coefficients(statistics, *weights)
  return ops.cast(equation.output(ops.cast(x, weights[0].dtype), *coefficients), x.dtype)


def backward(equation: Equation, slices: int, is_given: bool, x: Tensor, dy: Tensor, statistics: Sequence[Tensor],
             *weights: Tensor) -> tuple[Tensor, Tensor]:
  """Returns the gradient with respect to x, and a matrix [rows, C] of which the first rows are the weights' gradients.

  Args:
    equation, slices, x, *weights: as for `forward`.
    is_given: whether the equation's moment was given to `forward`.
    dy: the gradient with respect to y, [N, positions, C].
    statistics: the statistics that `forward` has returned.
  """
  ops = ops_of(x)
  wide, wide_dy = (ops.cast(t, weights[0].dtype) for t in (x, dy))
  coefficients = equation.coefficients(statistics, *weights)
  sums = moments.position_sums(lambda x, dy: equation.terms(x, dy, *coefficients), [wide, wide_dy], slices)
  by_statistics, by_weights = equation.gradients(
      sums, statistics, moments.count_positions(wide), is_given, *weights)
  dx = equation.input_gradient(wide, wide_dy, *coefficients)
  dx = dx if by_statistics is None else dx + by_statistics.at(wide)
  return ops.cast(dx, x.dtype), by_weights


def _no_moments(x: Tensor) -> tuple[Tensor, Tensor]:
  """Returns zeros in the place of moments that nothing depends on, [1, 1, C] each."""
  zeros = ops_of(x).zeros([1, 1, x.shape[-1]], x.dtype)
  return zeros, zeros


def shared(vector: Tensor) -> Tensor:
  """Returns a vector of [C] or [1, 1, C] as [1, 1, C], a coefficient that all samples share."""
  return ops_of(vector).reshape(vector, [1, 1, -1])


def statistics_from_moments(equation: Equation, mean: Tensor, variance: Tensor, weights: Sequence[Tensor],
                            given_moment: Tensor | None, mask: Tensor | None = None
                            ) -> tuple[Tensor, tuple[Tensor, ...]]:
  """Returns the moment, [N or 1, 1, C], and the statistics, from the mean and the variance over positions.

  Args:
    equation, weights, given_moment: as for `evaluate`.
    mean, variance: [N, 1, C] each.
    mask: [N, positions, 1]; None (default) for all positions.
  """
  if given_moment is None:
    moment, center = equation.moment(mean, variance, weights, mask)
  else:
    moment, center = given_moment if len(given_moment.shape) == 3 else shared(given_moment), None
  return moment, equation.statistics(mean, variance, moment, center)


def sums_over_samples(tensors: Sequence[Tensor]) -> Tensor:
  """Returns the sum of each tensor, [N, 1, C], over the samples, as the rows of a matrix.

  Args:
    tensors: the tensors.
  """
  ops = ops_of(tensors[0])
  return ops.sum_samples(ops.concatenate(tensors, 1))[0]
