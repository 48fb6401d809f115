"""EvoNorm-B0 and -S0 of x, given z = v1·x, which the convolution before the layer can compute instead of x.

Of each equation one elementwise pass is left out, and of S0 γ costs none: it joins a coefficient.
"""

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.equations import passes
from evonorm_tf.equations import series
from evonorm_tf.graph import primitives


def evaluate(equation: passes.Equation, z: Tensor, v1: Tensor, gamma: Tensor | None, beta: Tensor | None,
             given_moment: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
  """Evaluates f(x)·v1·γ + β, where f is the equation of B0 or S0 without γ and β.

  Args:
    equation: the EvoNorm to evaluate, B0 or S0.
    z: v1·x, a tensor [N, ..., C] of rank 2 to 5, of any floating dtype.
    v1: [C], nowhere 0, in the dtype of all computations, float32 or float64.
    gamma, beta: [C] each; None leaves it out.
    given_moment, mask: as for `passes.evaluate`.

  Returns:
    The pair (y, moment), as from `passes.evaluate`. The moment is of x.
  """
  ops = ops_of(z)
  wide = ops.cast(moments.flatten_positions(z), v1.dtype)
  unit = passes.shared(1. / v1)
  if mask is None:
    mean, variance = moments.sum_position_moments(wide)
  else:
    mask = moments.flatten_positions(mask)
    mean, variance = (moment(wide, primitives.INSTANCE, mask=mask) for moment in (moments.average, moments.variance))
  moment, statistics = passes.statistics_from_moments(
      equation, mean * unit, variance * ops.square(unit), (), given_moment, mask)
  if isinstance(equation, series.SampleEquation):
    factor = statistics[0] if gamma is None else statistics[0] * gamma
    y = wide * ops.sigmoid(wide) * factor
  else:
    deviation, q = statistics[:2]
    y = wide / ops.maximum(deviation, wide + q)
    y = y if gamma is None else y * gamma
  y = y if beta is None else y + beta
  return ops.reshape(ops.cast(y, z.dtype), ops.shape(z)), ops.stop_gradient(moment)
