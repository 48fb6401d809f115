"""The EvoNorms with a custom gradient, which keeps little between forward and backward; compiled on request.

An EvoNorm y = f(x; statistics of x, weights) is computed in three steps:

1. the mean and the variance over the positions of each sample and channel;
2. a few coefficients, vectors over channels for each sample or for all samples: every statistic over groups or the
   batch follows from those of step 1 (law of total variance);
3. y, elementwise in x and the coefficients.

The forward pass keeps only x, in its own dtype, and the statistics of step 1 for the gradient. The backward pass sums
over positions to get the gradients of the coefficients, differentiates step 2 automatically, and computes dx in one
more elementwise pass. It can itself be differentiated. With a mask, TensorFlow differentiates the three steps. Index
sets, such as b,w,h, are those of `graph.primitives`; tensors are [N, positions, C], where a position is one place of
the spatial axes.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools

import tensorflow as tf

from evonorm_tf.graph import primitives
from evonorm_tf.layers import moments
from evonorm_tf.layers.rational_sigmoid import rational_sigmoid

try:
  from tensorflow.python.framework import op_callbacks
except ImportError:  # it is private; without it the core is compiled while a debugger watches, too
  op_callbacks = None

SLICES = 16  # the number of slices of the positions in compiled sums; see `moments.position_sums`


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

  def moment(self, mean: tf.Tensor, variance: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Returns the equation's moment, [N, 1, C], from x's mean and variance over positions, [N, 1, C] each."""
    del mask  # all channels of a sample have the same positions
    if self.centered:
      return moments.total_variance(mean, variance, primitives.GROUP, self.groups)
    return moments.average(variance + tf.square(mean), primitives.GROUP, self.groups)

  def coefficients(self, mean: tf.Tensor, variance: tf.Tensor, moment: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
                   v1: tf.Tensor | None = None) -> tuple[tf.Tensor, ...]:
    """Returns the coefficients v1, γ / √(moment + ε) and β, each [N or 1, 1, C]."""
    del mean, variance
    factor = tf.math.rsqrt(moment + self.epsilon) * gamma
    return _shared(tf.ones_like(gamma) if v1 is None else v1), factor, _shared(beta)

  def output(self, x: tf.Tensor, v1: tf.Tensor, factor: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    return x * self._sigmoid(v1 * x) * factor + beta

  def terms(self, x: tf.Tensor, dy: tf.Tensor, v1: tf.Tensor, factor: tf.Tensor, beta: tf.Tensor) -> list[tf.Tensor]:
    """Returns the terms whose sums over positions `coefficient_gradients` takes, each [N, positions, C]."""
    del factor, beta
    s = self._sigmoid(v1 * x)
    gated = dy * x * s
    return [dy, gated] + ([gated * x * (1. - s)] if self.has_v1 else [])

  def coefficient_gradients(self, sums: Sequence[tf.Tensor], v1: tf.Tensor, factor: tf.Tensor, beta: tf.Tensor
                            ) -> tuple[tf.Tensor, ...]:
    """Returns each coefficient's gradient, in its shape, from the sums of `terms` over positions, [N, 1, C] each."""
    dy, gated, *by_v1 = sums
    return _reduce_to(v1, factor * by_v1[0] if by_v1 else tf.zeros_like(v1)), gated, _reduce_to(beta, dy)

  def input_gradient(self, x: tf.Tensor, dy: tf.Tensor, v1: tf.Tensor, factor: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Returns dx, [N, positions, C], as if the coefficients did not depend on x."""
    del beta
    t = v1 * x
    s = self._sigmoid(t)
    return dy * factor * s * (1. + t * (1. - s))

  def _sigmoid(self, t):
    return rational_sigmoid(t) if self.rational and t.dtype == tf.float32 else tf.sigmoid(t)


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

  def moment(self, mean: tf.Tensor, variance: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Returns s²_{b,w,h}(x), [1, 1, C], from x's mean and variance over positions, [N, 1, C] each."""
    return moments.total_variance(mean, variance, primitives.BATCH, synchronized=self.synchronized, mask=mask)

  def coefficients(self, mean: tf.Tensor, variance: tf.Tensor, moment: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
                   v1: tf.Tensor | None = None) -> tuple[tf.Tensor, ...]:
    """Returns the coefficients √(s²_{b,w,h}(x) + ε), p, q, γ and β, each [N or 1, 1, C]."""
    if self.series == 'b0':
      p, q = _shared(v1), tf.sqrt(variance + self.epsilon)
    else:
      q = tf.sqrt(variance + tf.square(mean) + self.epsilon)
      p = q if self.series == 'b1' else _shared(-tf.ones_like(gamma))
    return tf.sqrt(moment + self.epsilon), p, q, _shared(gamma), _shared(beta)

  def output(self, x: tf.Tensor, deviation: tf.Tensor, p: tf.Tensor, q: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
             ) -> tf.Tensor:
    """Returns y, [N, positions, C], from x of that shape and the coefficients."""
    return x / tf.maximum(deviation, p * x + q) * gamma + beta

  def terms(self, x: tf.Tensor, dy: tf.Tensor, deviation: tf.Tensor, p: tf.Tensor, q: tf.Tensor, gamma: tf.Tensor,
            beta: tf.Tensor) -> list[tf.Tensor]:
    """Returns the terms whose sums over positions `coefficient_gradients` takes, each [N, positions, C]."""
    del gamma, beta
    instance = p * x + q
    inverse = 1. / tf.maximum(deviation, instance)
    ratio = dy * x * inverse
    by_instance = tf.where(instance > deviation, ratio * inverse, 0.)
    return [dy, ratio, by_instance, by_instance * x]

  def coefficient_gradients(self, sums: Sequence[tf.Tensor], deviation: tf.Tensor, p: tf.Tensor, q: tf.Tensor,
                            gamma: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns each coefficient's gradient, in its shape, from the sums of `terms` over positions, [N, 1, C] each."""
    dy, ratio, by_q, by_p = sums
    # ratio is the sum of dy·x/d. Positions where d = p·x + q contribute p·by_p + q·by_q; elsewhere d is the deviation.
    by_deviation = (ratio - p * by_p - q * by_q) / deviation
    return (_reduce_to(deviation, -gamma * by_deviation), _reduce_to(p, -gamma * by_p), -gamma * by_q,
            _reduce_to(gamma, ratio), _reduce_to(beta, dy))

  def input_gradient(self, x: tf.Tensor, dy: tf.Tensor, deviation: tf.Tensor, p: tf.Tensor, q: tf.Tensor,
                     gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Returns dx, [N, positions, C], as if the coefficients did not depend on x."""
    del beta
    instance = p * x + q
    inverse = 1. / tf.maximum(deviation, instance)
    return dy * gamma * inverse * tf.where(instance > deviation, 1. - p * x * inverse, 1.)


Equation = SampleEquation | BatchEquation


def evaluate(equation: Equation, x: tf.Tensor, weights: Sequence[tf.Tensor], given_moment: tf.Tensor | None = None,
             jit_compile: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
  """Evaluates an EvoNorm, with a custom gradient with respect to x and the weights.

  Args:
    equation: the EvoNorm to evaluate.
    x: a tensor [N, ..., C] of rank 2 to 5, of any floating dtype.
    weights: γ, β and, if the equation has it, v1, each [C]. Their dtype, float32 or float64, is that of all
      computations.
    given_moment: a constant [C] to use as the equation's moment, such as a moving variance; None (default) computes the
      moment from x.
    jit_compile: whether XLA compiles the forward and the backward pass, each as a whole (default False). It must be
      False if `equation.synchronized` is true. Nothing is compiled while a debugger of TensorFlow watches all
      operations, such as `tf.debugging.enable_check_numerics`, since XLA takes none of the operations that it adds.

  Returns:
    The pair (y, moment). y has x's shape and dtype; the moment is [N or 1, 1, C], and no gradient flows through it.
  """
  flat = moments.flatten_positions(x)
  jit_compile = jit_compile and not (op_callbacks and op_callbacks.should_invoke_op_callbacks())
  forward, backward = (
      _compiled(function, equation, tuple(flat.shape), flat.dtype) if jit_compile
      else functools.partial(function, equation, 1) for function in (_forward, _backward))

  @tf.custom_gradient
  def with_gradient(x, *weights):
    # Without stop_gradient, an enclosing tape would record the inside of `forward` as well.
    y, mean, variance, moment = forward(tf.stop_gradient(x), given_moment, *map(tf.stop_gradient, weights))

    def gradient(dy, *_):
      return backward(x, dy, *moments.as_position_moments(x, mean, variance), given_moment, *weights)
    return (y, moment), gradient

  y, moment = with_gradient(flat, *weights)
  return tf.reshape(y, tf.shape(x)), tf.stop_gradient(moment)


def evaluate_masked(equation: Equation, x: tf.Tensor, weights: Sequence[tf.Tensor], mask: tf.Tensor,
                    given_moment: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
  """Evaluates an EvoNorm whose statistics are of the positions that a mask keeps; TensorFlow differentiates it.

  Args:
    equation, x, weights, given_moment: as for `evaluate`.
    mask: boolean, [N, ..., 1] with x's axes: True where a position counts.

  Returns:
    The pair (y, moment), as from `evaluate`. y has a value everywhere: at a masked position that of its own x.
  """
  wide, mask = tf.cast(moments.flatten_positions(x), weights[0].dtype), moments.flatten_positions(mask)
  mean, variance = (moment(wide, primitives.INSTANCE, mask=mask) for moment in (moments.average, moments.variance))
  moment = _moment(equation, mean, variance, given_moment, mask)
  y = equation.output(wide, *equation.coefficients(mean, variance, moment, *weights))
  return tf.reshape(tf.cast(y, x.dtype), tf.shape(x)), tf.stop_gradient(moment)


def _forward(equation: Equation, slices: int, x: tf.Tensor, given_moment: tf.Tensor | None, *weights: tf.Tensor
             ) -> tuple[tf.Tensor, ...]:
  """Returns y, the mean and the variance of x over its positions, and the equation's moment."""
  wide = tf.cast(x, weights[0].dtype)
  mean, variance = moments.sum_position_moments(wide, slices)
  moment = _moment(equation, mean, variance, given_moment)
  coefficients = equation.coefficients(mean, variance, moment, *weights)
  return tf.cast(equation.output(wide, *coefficients), x.dtype), mean, variance, moment


def _backward(equation: Equation, slices: int, x: tf.Tensor, dy: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor,
              given_moment: tf.Tensor | None, *weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
  """Returns the gradients with respect to x and the weights."""
  wide, wide_dy = (tf.cast(t, weights[0].dtype) for t in (x, dy))
  with tf.GradientTape() as tape:
    tape.watch([mean, variance, *weights])
    moment = _moment(equation, mean, variance, given_moment)
    coefficients = equation.coefficients(mean, variance, moment, *weights)
  sums = moments.position_sums(lambda x, dy: equation.terms(x, dy, *coefficients), [wide, wide_dy], slices)
  mean_gradient, variance_gradient, *weight_gradients = tape.gradient(
      coefficients, [mean, variance, *weights], equation.coefficient_gradients(sums, *coefficients),
      tf.UnconnectedGradients.ZERO)
  dx = equation.input_gradient(wide, wide_dy, *coefficients)
  dx += moments.position_moments_gradient(wide, mean, mean_gradient, variance_gradient)
  return tf.cast(dx, x.dtype), *weight_gradients


def _moment(equation: Equation, mean: tf.Tensor, variance: tf.Tensor, given_moment: tf.Tensor | None,
            mask: tf.Tensor | None = None) -> tf.Tensor:
  return equation.moment(mean, variance, mask) if given_moment is None else _shared(given_moment)


@functools.cache
def _compiled(function: Callable, equation: Equation, shape: tuple[int | None, ...], dtype: tf.DType
              ) -> Callable[..., tuple[tf.Tensor, ...]]:
  """Returns `_forward` or `_backward` compiled by XLA, which layers with equal equations and inputs share.

  `shape` and `dtype` are x's: TensorFlow would warn of a single function that is traced for five shapes.
  """
  del shape, dtype
  if isinstance(equation, SampleEquation) and moments.on_cpu():
    equation = dataclasses.replace(equation, rational=True)
  return tf.function(functools.partial(function, equation, SLICES), jit_compile=True, autograph=False)


def _shared(vector: tf.Tensor) -> tf.Tensor:
  """Returns a vector of [C] or [1, 1, C] as [1, 1, C], a coefficient that all samples share."""
  return tf.reshape(vector, [1, 1, -1])


def _reduce_to(coefficient: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
  """Returns the gradient, [N, 1, C], summed over the samples if they share the coefficient."""
  return tf.reduce_sum(gradient, 0, keepdims=True) if coefficient.shape[0] == 1 else gradient
