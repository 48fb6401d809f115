"""The equations of both EvoNorm series with their derivatives, for `passes`, which describes the steps."""

from collections.abc import Sequence
import dataclasses

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.equations.passes import ByStatistics
from evonorm_tf.equations.passes import shared
from evonorm_tf.equations.passes import sums_over_samples
from evonorm_tf.equations.rational_sigmoid import rational_sigmoid
from evonorm_tf.graph import primitives


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

  keeps_channels = True

  def specialized(self, channels: int, rational: bool) -> 'SampleEquation':
    """Returns the equation for a number of channels, with `rational_sigmoid` or without."""
    return dataclasses.replace(
        self, groups=primitives.largest_divisor(channels, self.groups), rational=rational)

  def needs_moments(self, is_given: bool) -> bool:
    """Returns whether anything depends on the moments over positions: unless the moment is given."""
    return not is_given

  def moment(self, mean: Tensor, variance: Tensor, weights: Sequence[Tensor], mask: Tensor | None = None
             ) -> tuple[Tensor, Tensor | None]:
    """Returns the equation's moment and, if it is centered, the mean that it is about, [N, 1, C] each."""
    del weights, mask  # all channels of a sample have the same positions
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
    by_weights = sums_over_samples([inverse * gated, dy] + [factor * t for t in by_v1])
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

  keeps_channels = False

  def specialized(self, channels: int, rational: bool) -> 'BatchEquation':
    """Returns the equation itself, which is the same for any number of channels."""
    del channels, rational
    return self

  def needs_moments(self, is_given: bool) -> bool:
    """Returns True: the equation always reads moments of each sample."""
    del is_given
    return True

  def moment(self, mean: Tensor, variance: Tensor, weights: Sequence[Tensor], mask: Tensor | None = None
             ) -> tuple[Tensor, Tensor]:
    """Returns s²_{b,w,h}(x) and μ_{b,w,h}(x), [1, 1, C] each, from x's mean and variance over positions, [N, 1, C]."""
    del weights
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
    by_weights = sums_over_samples([ratio, dy, -gamma * by_p, by_deviation])
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
