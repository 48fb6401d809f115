"""The equations of both EvoNorm series, in three steps, with their derivatives.

An EvoNorm y = f(x; statistics of x, weights) is computed in three steps:

1. the mean and the variance over the positions of each sample and channel, from which follow the equation's statistics:
   every moment over groups or the batch (law of total variance), and roots of them;
2. a few coefficients, vectors over channels for each sample or for all samples, from statistics and weights;
3. y, elementwise in x and the coefficients.

Engines differentiate `evaluate` by themselves. `forward` and `backward` are for a gradient that keeps less: the forward
pass keeps only x, in its own dtype, and the statistics; the backward pass takes a few sums over positions, from which
the gradients of the weights and of the statistics follow in closed form, and computes dx in one more elementwise pass:
through any statistic here, the gradient with respect to x is (x − center)·slope + offset, with vectors over channels.
Both can themselves be differentiated. `evonorm_tf.gradients` tells each engine of them. Index sets, such as b,w,h, are
those of `graph.primitives`; tensors are [N, positions, C], where a position is one place of the spatial axes.
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.equations.rational_sigmoid import rational_sigmoid
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


@dataclasses.dataclass(frozen=True)
class SampleEquation:
  """The S series: y = x·σ(v1·x) / √(moment + ε) · γ + β.

  In the methods, x and dy (the gradient with respect to y) are [N, positions, C]; `mean` and `variance` are over
  positions, [N, 1, C]; γ, β and v1 are [C]. The statistics are inverse = 1 / √(moment + ε) and, of a centered moment,
  the group's mean, [N, 1, C] each. The coefficients are v1, factor = γ·inverse and β.

  Attributes:
    epsilon: the constant ε.
    groups: the number of channel groups. If it does not divide C, the largest smaller number that does is used.
    centered: True for the moment s²_{w,h,c/g}(x) (default), False for μ_{w,h,c/g}(x²).
    has_v1: whether the layer has a vector v1 (S0); False (default) puts 1 in its place (S1, S2).
    rational: whether `rational_sigmoid` approximates σ for float32 (default False).
  """
  epsilon: float
  groups: int
  centered: bool = True
  has_v1: bool = False
  rational: bool = False

  def moment(self, mean: Tensor, variance: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Returns the equation's moment and, if it is centered, the mean that it is about, [N, 1, C] each."""
    del mask  # all channels of a sample have the same positions
    if self.centered:
      return moments.total_moments(mean, variance, primitives.GROUP, self.groups)
    return moments.average(variance + ops_of(mean).square(mean), primitives.GROUP, self.groups), None

  def statistics(self, mean: Tensor, variance: Tensor, moment: Tensor, center: Tensor | None) -> tuple[Tensor, ...]:
    """Returns the statistics, from the results of `moment`; None for the center of a moment that is given."""
    del mean, variance
    inverse = ops_of(moment).rsqrt(moment + self.epsilon)
    return (inverse,) if center is None else (inverse, center)

  def coefficients(self, statistics: Sequence[Tensor], gamma: Tensor, beta: Tensor, v1: Tensor | None = None
                   ) -> tuple[Tensor, ...]:
    """Returns the coefficients v1, γ / √(moment + ε) and β, each [N or 1, 1, C]."""
    return shared(ops_of(gamma).ones_like(gamma) if v1 is None else v1), statistics[0] * gamma, shared(beta)

  def output(self, x: Tensor, v1: Tensor, factor: Tensor, beta: Tensor) -> Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    return x * self._sigmoid(v1 * x) * factor + beta

  def terms(self, x: Tensor, dy: Tensor, v1: Tensor, factor: Tensor, beta: Tensor) -> list[Tensor]:
    """Returns the terms whose sums over positions `gradients` takes, each [N, positions, C]."""
    del factor, beta
    s = self._sigmoid(v1 * x)
    gated = dy * x * s
    return [dy, gated] + ([gated * x * (1. - s)] if self.has_v1 else [])

  def gradients(self, sums: Sequence[Tensor], statistics: Sequence[Tensor], count: Tensor, is_given: bool,
                gamma: Tensor, beta: Tensor, v1: Tensor | None = None) -> tuple[ByStatistics | None, Tensor]:
    """Returns the gradient through the statistics, None if their moment is given, and rows of the weights' gradients.

    Args:
      sums: the sums of `terms` over positions, [N, 1, C] each.
      statistics: the result of `statistics`.
      count: the number of positions, a scalar.
      is_given: whether the moment is given, a constant.
      gamma, beta, v1: the weights.
    """
    dy, gated, *by_v1 = sums
    inverse, *centers = statistics
    factor = inverse * gamma
    by_weights = _sums_over_samples([inverse * gated, dy] + [factor * t for t in by_v1])
    if is_given:
      return None, by_weights
    ops = ops_of(inverse)
    slope = -moments.average(gamma * gated, primitives.GROUP, self.groups) * inverse * ops.square(inverse) / count
    return ByStatistics(slope, *centers), by_weights

  def input_gradient(self, x: Tensor, dy: Tensor, v1: Tensor, factor: Tensor, beta: Tensor) -> Tensor:
    """Returns dx, [N, positions, C], as if the coefficients did not depend on x."""
    del beta
    t = v1 * x
    s = self._sigmoid(t)
    return dy * factor * s * (1. + t * (1. - s))

  def _sigmoid(self, t):
    ops = ops_of(t)
    return rational_sigmoid(t) if self.rational and ops.dtype_name(t) == 'float32' else ops.sigmoid(t)


@dataclasses.dataclass(frozen=True)
class BatchEquation:
  """The B series: y = x / max(√(s²_{b,w,h}(x) + ε), p·x + q) · γ + β.

  In the methods, x and dy (the gradient with respect to y) are [N, positions, C]; `mean` and `variance` are over
  positions, [N, 1, C]; γ, β and v1 are [C]. The statistics are deviation = √(s²_{b,w,h}(x) + ε), q, the mean over
  positions and, unless the moment is given, the batch's mean. The coefficients are the deviation, p, q, γ and β.

  Attributes:
    epsilon: the constant ε.
    series: 'b0' for p = v1 and q = √(s²_{w,h}(x) + ε); 'b1' for p = q = √(μ_{w,h}(x²) + ε); 'b2' for p = −1 with b1's
      q.
    synchronized: whether b is the global batch, over all replicas of the tf.distribute strategy, instead of the
      replica's own part (default False).
  """
  epsilon: float
  series: str
  synchronized: bool = False

  def moment(self, mean: Tensor, variance: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns s²_{b,w,h}(x) and μ_{b,w,h}(x), [1, 1, C] each, from x's mean and variance over positions, [N, 1, C]."""
    return moments.total_moments(mean, variance, primitives.BATCH, synchronized=self.synchronized, mask=mask)

  def statistics(self, mean: Tensor, variance: Tensor, moment: Tensor, center: Tensor | None) -> tuple[Tensor, ...]:
    """Returns the statistics, from the results of `moment`; None for the center of a moment that is given."""
    ops = ops_of(variance)
    square = variance if self.series == 'b0' else variance + ops.square(mean)
    deviation, q = (ops.sqrt(t + self.epsilon) for t in (moment, square))
    return (deviation, q, mean) if center is None else (deviation, q, mean, center)

  def coefficients(self, statistics: Sequence[Tensor], gamma: Tensor, beta: Tensor, v1: Tensor | None = None
                   ) -> tuple[Tensor, ...]:
    """Returns the coefficients √(s²_{b,w,h}(x) + ε), p, q, γ and β, each [N or 1, 1, C]."""
    deviation, q = statistics[:2]
    p = {'b0': v1, 'b1': q, 'b2': -ops_of(gamma).ones_like(gamma)}[self.series]
    return deviation, q if self.series == 'b1' else shared(p), q, shared(gamma), shared(beta)

  def output(self, x: Tensor, deviation: Tensor, p: Tensor, q: Tensor, gamma: Tensor, beta: Tensor
             ) -> Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    return x / ops_of(x).maximum(deviation, p * x + q) * gamma + beta

  def terms(self, x: Tensor, dy: Tensor, deviation: Tensor, p: Tensor, q: Tensor, gamma: Tensor,
            beta: Tensor) -> list[Tensor]:
    """Returns the terms whose sums over positions `gradients` takes, each [N, positions, C]."""
    del gamma, beta
    ops = ops_of(x)
    instance = p * x + q
    inverse = 1. / ops.maximum(deviation, instance)
    ratio = dy * x * inverse
    by_instance = ops.zero_unless(instance > deviation, ratio * inverse)
    return [dy, ratio, by_instance, by_instance * x]

  def gradients(self, sums: Sequence[Tensor], statistics: Sequence[Tensor], count: Tensor, is_given: bool,
                gamma: Tensor, beta: Tensor, v1: Tensor | None = None) -> tuple[ByStatistics, Tensor]:
    """Returns the gradient through the statistics, and rows of which the first are the weights' gradients.

    Args:
      sums: the sums of `terms` over positions, [N, 1, C] each.
      statistics: the result of `statistics`.
      count: the number of positions, a scalar.
      is_given: whether the moment is given, a constant.
      gamma, beta, v1: the weights.
    """
    dy, ratio, by_q, by_p = sums
    deviation, q, mean = statistics[:3]
    _, p, *_ = self.coefficients(statistics, gamma, beta, v1)
    # ratio is the sum of dy·x/d. Positions where d = p·x + q contribute p·by_p + q·by_q; elsewhere d is the deviation.
    by_deviation = -gamma * (ratio - p * by_p - q * by_q)
    by_weights = _sums_over_samples([ratio, dy, -gamma * by_p, by_deviation])
    # Of q = √(s² + ε) or √(μ(x²) + ε) over positions, dq/dx is (x − mean) / (count·q) or x / (count·q).
    slope = -gamma * (by_q + by_p if self.series == 'b1' else by_q) / (count * q)
    is_centered = self.series == 'b0'
    if is_given:
      return ByStatistics(slope, mean if is_centered else None), by_weights
    ops, batch_mean = ops_of(mean), statistics[3]
    samples = ops.as_divisor(ops.axes_size(mean, 0, 1), mean.dtype)
    by_deviation, samples = ops.sum_over_replicas([by_weights[-1], samples], self.synchronized)
    batch_slope = by_deviation / (ops.square(deviation) * (count * samples))
    # The sum of both gradients, about one center.
    if is_centered:
      return ByStatistics(slope + batch_slope, mean, batch_slope * (mean - batch_mean)), by_weights
    return ByStatistics(slope + batch_slope, batch_mean, slope * batch_mean), by_weights

  def input_gradient(self, x: Tensor, dy: Tensor, deviation: Tensor, p: Tensor, q: Tensor,
                     gamma: Tensor, beta: Tensor) -> Tensor:
    """Returns dx, [N, positions, C], as if the coefficients did not depend on x."""
    del beta
    ops = ops_of(x)
    instance = p * x + q
    inverse = 1. / ops.maximum(deviation, instance)
    return dy * gamma * inverse * (1. - ops.zero_unless(instance > deviation, p * x * inverse))


Equation = SampleEquation | BatchEquation


def evaluate(equation: Equation, x: Tensor, weights: Sequence[Tensor], given_moment: Tensor | None = None,
             mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
  """Evaluates an EvoNorm; the engine differentiates it.

  Args:
    equation: the EvoNorm to evaluate.
    x: a tensor [N, ..., C] of rank 2 to 5, of any floating dtype.
    weights: γ, β and, if the equation has it, v1, each [C]. Their dtype, float32 or float64, is that of all
      computations.
    given_moment: a constant [C] to use as the equation's moment, such as a moving variance; None (default) computes the
      moment from x.
    mask: boolean, [N, ..., 1] with x's axes: True where a position counts for the statistics; None (default) for all.

  Returns:
    The pair (y, moment). y has x's shape and dtype, and with a mask a value everywhere: at a masked position that of
    its own x. The moment is [N or 1, 1, C], and no gradient flows through it.
  """
  ops = ops_of(x)
  wide = ops.cast(moments.flatten_positions(x), weights[0].dtype)
  flat_mask = None if mask is None else moments.flatten_positions(mask)
  mean, variance = (
      moment(wide, primitives.INSTANCE, mask=flat_mask) for moment in (moments.average, moments.variance))
  moment, statistics = statistics_from_moments(equation, mean, variance, given_moment, flat_mask)
  y = equation.output(wide, *equation.coefficients(statistics, *weights))
  return ops.reshape(ops.cast(y, x.dtype), ops.shape(x)), ops.stop_gradient(moment)


def forward(equation: Equation, slices: int, x: Tensor, given_moment: Tensor | None, *weights: Tensor
            ) -> tuple[Tensor, ...]:
  """Returns y, the equation's moment, and the statistics that `backward` takes.

  Args:
    equation: the EvoNorm to evaluate.
    slices: the number of slices into which sums over positions are cut; see `moments.position_sums`.
    x: a tensor [N, positions, C].
    given_moment, *weights: as for `evaluate`.
  """
  moment, statistics = moment_and_statistics(equation, slices, x, given_moment, weights[0].dtype)
  return output(equation, x, statistics, *weights), moment, *statistics


def moment_and_statistics(equation: Equation, slices: int, x: Tensor, given_moment: Tensor | None, dtype: str
                          ) -> tuple[Tensor, tuple[Tensor, ...]]:
  """Returns the equation's moment, and its statistics.

  Args:
    equation, slices, x, given_moment: as for `forward`.
    dtype: the dtype of the computation and of the results.
  """
  mean, variance = moments.sum_position_moments(ops_of(x).cast(x, dtype), slices)
  return statistics_from_moments(equation, mean, variance, given_moment)


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


def shared(vector: Tensor) -> Tensor:
  """Returns a vector of [C] or [1, 1, C] as [1, 1, C], a coefficient that all samples share."""
  return ops_of(vector).reshape(vector, [1, 1, -1])


def statistics_from_moments(equation: Equation, mean: Tensor, variance: Tensor, given_moment: Tensor | None,
                            mask: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
  """Returns the moment, [N or 1, 1, C], and the statistics, from the mean and the variance over positions.

  Args:
    equation, given_moment: as for `evaluate`.
    mean, variance: [N, 1, C] each.
    mask: [N, positions, 1]; None (default) for all positions.
  """
  moment, center = equation.moment(mean, variance, mask) if given_moment is None else (shared(given_moment), None)
  return moment, equation.statistics(mean, variance, moment, center)


def _sums_over_samples(tensors: Sequence[Tensor]) -> Tensor:
  """Returns the sum of each tensor, [N, 1, C], over the samples, as the rows of a matrix."""
  ops = ops_of(tensors[0])
  return ops.sum_samples(ops.concatenate(tensors, 1))[0]
