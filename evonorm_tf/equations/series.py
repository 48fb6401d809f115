"""The equations of both EvoNorm series, in three steps, with the derivatives of the elementwise one.

An EvoNorm y = f(x; statistics of x, weights) is computed in three steps:

1. the mean and the variance over the positions of each sample and channel;
2. a few coefficients, vectors over channels for each sample or for all samples: every statistic over groups or the
   batch follows from those of step 1 (law of total variance);
3. y, elementwise in x and the coefficients.

Engines differentiate `evaluate` by themselves. `forward` and `backward` are for a gradient that keeps less: the forward
pass keeps only x, in its own dtype, and the statistics of step 1; the backward pass sums over positions to get the
gradients of the coefficients, differentiates step 2 automatically, and computes dx in one more elementwise pass. Both
can themselves be differentiated. `evonorm_tf.gradients` tells each engine of them. Index sets, such as b,w,h, are those
of `graph.primitives`; tensors are [N, positions, C], where a position is one place of the spatial axes.
"""

from collections.abc import Sequence
import dataclasses

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.equations.rational_sigmoid import rational_sigmoid
from evonorm_tf.graph import primitives


@dataclasses.dataclass(frozen=True)
class SampleEquation:
  """The S series: y = x·σ(v1·x) / √(moment + ε) · γ + β.

  In the methods, x and dy (the gradient with respect to y) are [N, positions, C]; `mean` and `variance` are over
  positions, [N, 1, C]; γ, β and v1 are [C]. The coefficients are v1, factor = γ / √(moment + ε) and β.

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

  def moment(self, mean: Tensor, variance: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns the equation's moment, [N, 1, C], from x's mean and variance over positions, [N, 1, C] each."""
    del mask  # all channels of a sample have the same positions
    if self.centered:
      return moments.total_variance(mean, variance, primitives.GROUP, self.groups)
    return moments.average(variance + ops_of(mean).square(mean), primitives.GROUP, self.groups)

  def coefficients(self, mean: Tensor, variance: Tensor, moment: Tensor, gamma: Tensor, beta: Tensor,
                   v1: Tensor | None = None) -> tuple[Tensor, ...]:
    """Returns the coefficients v1, γ / √(moment + ε) and β, each [N or 1, 1, C]."""
    del mean, variance
    ops = ops_of(moment)
    factor = ops.rsqrt(moment + self.epsilon) * gamma
    return shared(ops.ones_like(gamma) if v1 is None else v1), factor, shared(beta)

  def output(self, x: Tensor, v1: Tensor, factor: Tensor, beta: Tensor) -> Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    return x * self._sigmoid(v1 * x) * factor + beta

  def terms(self, x: Tensor, dy: Tensor, v1: Tensor, factor: Tensor, beta: Tensor) -> list[Tensor]:
    """Returns the terms whose sums over positions `coefficient_gradients` takes, each [N, positions, C]."""
    del factor, beta
    s = self._sigmoid(v1 * x)
    gated = dy * x * s
    return [dy, gated] + ([gated * x * (1. - s)] if self.has_v1 else [])

  def coefficient_gradients(self, sums: Sequence[Tensor], v1: Tensor, factor: Tensor, beta: Tensor
                            ) -> tuple[Tensor, ...]:
    """Returns each coefficient's gradient, in its shape, from the sums of `terms` over positions, [N, 1, C] each."""
    dy, gated, *by_v1 = sums
    return _reduce_to(v1, factor * by_v1[0] if by_v1 else ops_of(v1).zeros_like(v1)), gated, _reduce_to(beta, dy)

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
  positions, [N, 1, C]; γ, β and v1 are [C]. The coefficients are deviation = √(s²_{b,w,h}(x) + ε), p, q, γ and β.

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

  def moment(self, mean: Tensor, variance: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns s²_{b,w,h}(x), [1, 1, C], from x's mean and variance over positions, [N, 1, C] each."""
    return moments.total_variance(mean, variance, primitives.BATCH, synchronized=self.synchronized, mask=mask)

  def coefficients(self, mean: Tensor, variance: Tensor, moment: Tensor, gamma: Tensor, beta: Tensor,
                   v1: Tensor | None = None) -> tuple[Tensor, ...]:
    """Returns the coefficients √(s²_{b,w,h}(x) + ε), p, q, γ and β, each [N or 1, 1, C]."""
    ops = ops_of(variance)
    if self.series == 'b0':
      p, q = shared(v1), ops.sqrt(variance + self.epsilon)
    else:
      q = ops.sqrt(variance + ops.square(mean) + self.epsilon)
      p = q if self.series == 'b1' else shared(-ops.ones_like(gamma))
    return ops.sqrt(moment + self.epsilon), p, q, shared(gamma), shared(beta)

  def output(self, x: Tensor, deviation: Tensor, p: Tensor, q: Tensor, gamma: Tensor, beta: Tensor
             ) -> Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    return x / ops_of(x).maximum(deviation, p * x + q) * gamma + beta

  def terms(self, x: Tensor, dy: Tensor, deviation: Tensor, p: Tensor, q: Tensor, gamma: Tensor,
            beta: Tensor) -> list[Tensor]:
    """Returns the terms whose sums over positions `coefficient_gradients` takes, each [N, positions, C]."""
    del gamma, beta
    ops = ops_of(x)
    instance = p * x + q
    inverse = 1. / ops.maximum(deviation, instance)
    ratio = dy * x * inverse
    by_instance = ops.where(instance > deviation, ratio * inverse, 0.)
    return [dy, ratio, by_instance, by_instance * x]

  def coefficient_gradients(self, sums: Sequence[Tensor], deviation: Tensor, p: Tensor, q: Tensor,
                            gamma: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
    """Returns each coefficient's gradient, in its shape, from the sums of `terms` over positions, [N, 1, C] each."""
    dy, ratio, by_q, by_p = sums
    # ratio is the sum of dy·x/d. Positions where d = p·x + q contribute p·by_p + q·by_q; elsewhere d is the deviation.
    by_deviation = (ratio - p * by_p - q * by_q) / deviation
    return (_reduce_to(deviation, -gamma * by_deviation), _reduce_to(p, -gamma * by_p), -gamma * by_q,
            _reduce_to(gamma, ratio), _reduce_to(beta, dy))

  def input_gradient(self, x: Tensor, dy: Tensor, deviation: Tensor, p: Tensor, q: Tensor,
                     gamma: Tensor, beta: Tensor) -> Tensor:
    """Returns dx, [N, positions, C], as if the coefficients did not depend on x."""
    del beta
    ops = ops_of(x)
    instance = p * x + q
    inverse = 1. / ops.maximum(deviation, instance)
    return dy * gamma * inverse * ops.where(instance > deviation, 1. - p * x * inverse, 1.)


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
  moment = moment_of(equation, mean, variance, given_moment, flat_mask)
  y = equation.output(wide, *equation.coefficients(mean, variance, moment, *weights))
  return ops.reshape(ops.cast(y, x.dtype), ops.shape(x)), ops.stop_gradient(moment)


def forward(equation: Equation, slices: int, x: Tensor, given_moment: Tensor | None, *weights: Tensor
            ) -> tuple[Tensor, ...]:
  """Returns y, the mean and the variance of x over its positions, and the equation's moment.

  Args:
    equation: the EvoNorm to evaluate.
    slices: the number of slices into which sums over positions are cut; see `moments.position_sums`.
    x: a tensor [N, positions, C].
    given_moment, *weights: as for `evaluate`.
  """
  ops = ops_of(x)
  wide = ops.cast(x, weights[0].dtype)
  mean, variance = moments.sum_position_moments(wide, slices)
  moment = moment_of(equation, mean, variance, given_moment)
  coefficients = equation.coefficients(mean, variance, moment, *weights)
  return ops.cast(equation.output(wide, *coefficients), x.dtype), mean, variance, moment


def backward(equation: Equation, slices: int, x: Tensor, dy: Tensor, mean: Tensor, variance: Tensor,
             given_moment: Tensor | None, *weights: Tensor) -> tuple[Tensor, ...]:
  """Returns the gradients with respect to x and the weights.

  Args:
    equation, slices, x, given_moment, *weights: as for `forward`.
    dy: the gradient with respect to y, [N, positions, C].
    mean, variance: the moments that `forward` has returned.
  """
  def coefficients_of(mean, variance, *weights):
    return equation.coefficients(mean, variance, moment_of(equation, mean, variance, given_moment), *weights)

  ops = ops_of(x)
  wide, wide_dy = (ops.cast(t, weights[0].dtype) for t in (x, dy))
  coefficients, gradients_of = ops.vjp(coefficients_of, mean, variance, *weights)
  sums = moments.position_sums(lambda x, dy: equation.terms(x, dy, *coefficients), [wide, wide_dy], slices)
  mean_gradient, variance_gradient, *weight_gradients = gradients_of(
      equation.coefficient_gradients(sums, *coefficients))
  dx = equation.input_gradient(wide, wide_dy, *coefficients)
  dx += moments.position_moments_gradient(wide, mean, mean_gradient, variance_gradient)
  return ops.cast(dx, x.dtype), *weight_gradients


def moment_of(equation: Equation, mean: Tensor, variance: Tensor, given_moment: Tensor | None,
              mask: Tensor | None = None) -> Tensor:
  """Returns the equation's moment, or the given one, [N or 1, 1, C]; the arguments are those of `equation.moment`."""
  return equation.moment(mean, variance, mask) if given_moment is None else shared(given_moment)


def shared(vector: Tensor) -> Tensor:
  """Returns a vector of [C] or [1, 1, C] as [1, 1, C], a coefficient that all samples share."""
  return ops_of(vector).reshape(vector, [1, 1, -1])


def _reduce_to(coefficient: Tensor, gradient: Tensor) -> Tensor:
  """Returns the gradient, [N, 1, C], summed over the samples if they share the coefficient."""
  return ops_of(gradient).sum(gradient, 0, keepdims=True) if coefficient.shape[0] == 1 else gradient
