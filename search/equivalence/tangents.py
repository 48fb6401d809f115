"""Directional derivatives of the primitives in NumPy, which treat ties and guards as the layer's gradients do.

Where a function has no derivative, TensorFlow picks one: for |t| at 0 it is 0, for max(a, b) at a = b it is the
derivative of a, and where a guard acts it is 0. v0 starts at such a point, so the choice decides whether v0 ever
learns.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import average
from evonorm_tf.graph.primitives import clamp_magnitude
from evonorm_tf.graph.primitives import PRIMITIVES
from evonorm_tf.graph.registration import RegisteredPrimitive


def _guarded(derivative: np.ndarray, x: np.ndarray, epsilon: float) -> np.ndarray:
  """Returns the derivative, but 0 where the guard acts on x."""
  return np.where(np.abs(x) >= epsilon, derivative, 0.)


def _div(result, x, y, dx, dy, epsilon):
  del x
  divisor = clamp_magnitude(y, epsilon)
  return dx / divisor - _guarded(result * dy / divisor, y, epsilon)


# Primitive -> a function of its result, its arguments, their derivatives along the direction, and ε.
_ELEMENTWISE: dict[str, Callable[..., np.ndarray]] = {
    'add': lambda r, x, y, dx, dy, e: dx + dy,
    'mul': lambda r, x, y, dx, dy, e: x * dy + y * dx,
    'div': _div,
    'max': lambda r, x, y, dx, dy, e: np.where(x >= y, dx, dy),
    'neg': lambda r, x, dx, e: -dx,
    'sigmoid': lambda r, x, dx, e: r * (1. - r) * dx,
    'tanh': lambda r, x, dx, e: (1. - r * r) * dx,
    'exp': lambda r, x, dx, e: r * dx,
    'abs': lambda r, x, dx, e: np.sign(x) * dx,
    'square': lambda r, x, dx, e: 2. * x * dx,
    'log': lambda r, x, dx, e: _guarded(dx / np.maximum(np.abs(x), e), x, e),
    'sqrt': lambda r, x, dx, e: _guarded(.5 * dx / np.sqrt(np.maximum(np.abs(x), e)), x, e),
}


def tangent(node: Node, groups: int, epsilon: float, result: np.ndarray, arguments: Sequence[np.ndarray],
            tangents: Sequence[np.ndarray]) -> np.ndarray:
  """Returns the derivative of a node's value along a direction, by the chain rule.

  All arrays broadcast against x of shape [N, ..., C].

  Args:
    node: the node.
    groups: the number of channel groups. If it does not divide C, the largest smaller number that does is used.
    epsilon: ε of the guards and moments.
    result: the node's value in training.
    arguments: the values of the node's arguments, in their order.
    tangents: the derivatives of the arguments along the direction, in the same order.
  """
  added = PRIMITIVES[node.primitive]
  if isinstance(added, RegisteredPrimitive):
    return added.tangent(arguments, tangents)
  if node.primitive in _ELEMENTWISE:
    return _ELEMENTWISE[node.primitive](result, *arguments, *tangents, epsilon)
  (x,), (dx,) = arguments, tangents
  if node.primitive == 'first_moment':
    return average(dx + np.zeros_like(x), node.axes, groups)
  if node.primitive == 'centered_second_moment':
    x = x - average(x, node.axes, groups)
  return average(x * dx, node.axes, groups) / result
