"""The sigmoid σ(t) as a rational function, for XLA on CPUs, where tanh or exp would take 1.5 times as long.

σ(t) ≈ ½ + t·P(t²)/Q(t²) for |t| ≤ 18; beyond, it is set to exactly 0 or 1, from which σ differs by less than 2e-8. The
coefficients are our own fit: least squares on 4,000 Chebyshev points of (0, 18], with weights raised repeatedly where
the error is large (Lawson's method), which leaves an error of 9.2e-9. P is enlarged by the factor 1 + 4e-7 and the
quotient clipped to ±½, so that the values 0 and 1 are exact under any rounding. This matters where x is large: the
gradient's term s·(1 − s)·x², with s = σ(x), would magnify an error in the last digit of s.
"""

from collections.abc import Sequence

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor

LIMIT = 18.
_OVERSHOOT = 1. + 4e-7
_NUMERATOR = (0.249999977, 0.00835824828, 5.44778341e-05, 7.99680571e-08, 1.28752088e-11)
_DENOMINATOR = (1., 0.116766235, 0.00161512358, 5.11153839e-06, 3.00885124e-09)


def rational_sigmoid(t: Tensor) -> Tensor:
  """Returns σ(t), elementwise, with an absolute error of at most 4e-7.

  Args:
    t: a float32 tensor of any shape.
  """
  ops = ops_of(t)
  t = ops.clip(t, -LIMIT, LIMIT)
  square = ops.square(t)
  quotient = t * _polynomial(square, [c * _OVERSHOOT for c in _NUMERATOR]) / _polynomial(square, _DENOMINATOR)
  return .5 + ops.clip(quotient, -.5, .5)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
  """Returns Σ coefficients[i]·xⁱ, computed by Horner's rule."""
  result = coefficients[-1] * x + coefficients[-2]
  for coefficient in coefficients[-3::-1]:
    result = result * x + coefficient
  return result
