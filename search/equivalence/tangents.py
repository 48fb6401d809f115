"""Directional derivatives of the primitives in NumPy, with ties and guards as the layer's gradients have them.

Where a function has no derivative, TensorFlow picks one: that of |t| at 0 is 0, that of max(a, b) at a = b is a's, and
within a guard it is 0. v0 starts at such a point, so the choice decides whether v0 ever learns.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import average
from evonorm_tf.graph.primitives import clamp_magnitude


def _guarded(derivative: np.ndarray, x: np.ndarray, epsilon: float) -> np.ndarray:
  return np.where(np.abs(x) >= epsilon, derivative, 0.)


def _div(result, x, y, dx, dy, epsilon):
  del x
  divisor = clamp_magnitude(y, epsilon)
  return dx / divisor - _guarded(result * dy / divisor, y, epsilon)


# By primitive: functions of the result, the arguments, their tangents and ε.
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
  """Returns a node's derivative along a direction.

  Args:
    node: the node.
    groups: the number of channel groups.
    epsilon: of the guards.
    result: the node's value in training, which broadcasts against [N, ..., C].
    arguments: the values of its arguments.
    tangents: the derivatives of its arguments along the direction.
  """
  if node.primitive in _ELEMENTWISE:
    return _ELEMENTWISE[node.primitive](result, *arguments, *tangents, epsilon)
  (x,), (dx,) = arguments, tangents
  if node.primitive == 'first_moment':
    return average(dx + np.zeros_like(x), node.axes, groups)
  if node.primitive == 'centered_second_moment':
    x = x - average(x, node.axes, groups)
  return average(x * dx, node.axes, groups) / result
