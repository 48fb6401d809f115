"""The elementwise primitives of layer graphs on every engine (the paper's table of primitives).

Their values equal those of the NumPy forms in `evonorm_tf.graph.primitives`; `DERIVATIVES` holds their derivatives in
closed form, for gradients that `equations.graph_equation` computes by itself. Primitives that select between values
have a gradient of their own for TensorFlow, which equals TensorFlow's and is faster on a CPU
(`tensorflow_ops.zero_unless` says why). The other engines differentiate the values.
"""

from collections.abc import Callable
from collections.abc import Sequence

from evonorm_tf.engines.dispatch import form_for
from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.graph import primitives
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.registration import RegisteredPrimitive


def clamp_magnitude(x: Tensor) -> Tensor:
  """Returns sign(x)·max(|x|, EPSILON), elementwise, where zero counts as positive.

  Args:
    x: a tensor. Where |x| < EPSILON its gradient is 0.
  """
  ops = ops_of(x)

  @ops.custom_gradient
  def clamped(x):
    y = ops.select(x < 0., ops.minimum(x, -EPSILON), ops.maximum(x, EPSILON))
    return y, lambda dy: ops.zero_unless(ops.abs(x) >= EPSILON, dy)

  return clamped(x)


def _log_slope(x: Tensor) -> Tensor:
  return 1. / x


def _sqrt_slope(x: Tensor) -> Tensor:
  return .5 / ops_of(x).sqrt(x)


def _signed(x: Tensor, function: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor]) -> Tensor:
  """Returns sign(x)·function(max(|x|, EPSILON)); the clamp makes the gradient at 0 finite, namely zero."""
  ops = ops_of(x)

  @ops.custom_gradient
  def signed(x):
    # The gradient computes the magnitude again, as a function of x, so that it can be differentiated in turn.
    return ops.sign(x) * function(_guarded_magnitude(x)), lambda dy: ops.zero_unless(
        ops.abs(x) >= EPSILON, dy * derivative(_guarded_magnitude(x)))

  return signed(x)


# The form of each primitive that is not a moment, by the primitive's name.
ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    'add': lambda x, y: x + y,
    'mul': lambda x, y: x * y,
    'div': lambda x, y: x / clamp_magnitude(y),
    'max': lambda x, y: ops_of(x).first_maximum(x, y),
    'neg': lambda x: -x,
    'sigmoid': lambda x: ops_of(x).sigmoid(x),
    'tanh': lambda x: ops_of(x).tanh(x),
    'exp': lambda x: ops_of(x).exp(x),
    'abs': lambda x: ops_of(x).abs(x),
    'square': lambda x: ops_of(x).square(x),
    'log': lambda x: _signed(x, ops_of(x).log, _log_slope),
    'sqrt': lambda x: _signed(x, ops_of(x).sqrt, _sqrt_slope),
}


def form_of(name: str) -> Callable[..., Tensor]:
  """Returns the form of a primitive that is not a moment, of the paper or registered.

  Args:
    name: the primitive's name.
  """
  primitive = primitives.PRIMITIVES[name]
  if not isinstance(primitive, RegisteredPrimitive):
    return ELEMENTWISE[name]
  return lambda *arguments: form_for(arguments[0], name, primitive.tensorflow_form, primitive.keras_form)(*arguments)


def _of_max(arguments: Sequence[Tensor], y: Tensor, dy: Tensor) -> list[Tensor]:
  del y
  a, b = arguments
  by_a = dy * ops_of(dy).cast(a >= b, dy.dtype)
  return [by_a, dy - by_a]


def _of_div(arguments: Sequence[Tensor], y: Tensor, dy: Tensor) -> list[Tensor]:
  by_a = dy / clamp_magnitude(arguments[1])
  return [by_a, where_unguarded(arguments[1], -by_a * y)]


def _of_signed(slope: Callable[[Tensor], Tensor]) -> Callable[[Sequence[Tensor], Tensor, Tensor], list[Tensor]]:
  """Returns the entry of a primitive sign(x)·f(max(|x|, EPSILON)), given the derivative of f."""
  return lambda arguments, y, dy: [where_unguarded(arguments[0], dy * slope(_guarded_magnitude(arguments[0])))]


def where_unguarded(x: Tensor, t: Tensor) -> Tensor:
  """Returns t where |x| ≥ EPSILON, and 0 where the guard holds the value of x, which then has no derivative.

  Args:
    x: a tensor.
    t: a tensor that broadcasts against x.
  """
  ops = ops_of(x)
  return ops.where(ops.abs(x) >= EPSILON, t, ops.zeros([], t.dtype))


def _guarded_magnitude(x: Tensor) -> Tensor:
  ops = ops_of(x)
  return ops.maximum(ops.abs(x), EPSILON)


# The gradients with respect to the arguments of each primitive in `ELEMENTWISE`, from the arguments, the value y and
# the gradient dy with respect to it. Sums over axes along which an argument is broadcast are left to the caller.
DERIVATIVES: dict[str, Callable[[Sequence[Tensor], Tensor, Tensor], list[Tensor]]] = {
    'add': lambda arguments, y, dy: [dy, dy],
    'mul': lambda arguments, y, dy: [dy * arguments[1], dy * arguments[0]],
    'div': _of_div,
    'max': _of_max,
    'neg': lambda arguments, y, dy: [-dy],
    'sigmoid': lambda arguments, y, dy: [dy * (y * (1. - y))],
    'tanh': lambda arguments, y, dy: [dy * (1. - ops_of(y).square(y))],
    'exp': lambda arguments, y, dy: [dy * y],
    'abs': lambda arguments, y, dy: [dy * ops_of(dy).sign(arguments[0])],
    'square': lambda arguments, y, dy: [dy * (2. * arguments[0])],
    'log': _of_signed(_log_slope),
    'sqrt': _of_signed(_sqrt_slope),
}
