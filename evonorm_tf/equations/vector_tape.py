"""A tape of computations on vectors over channels, which differentiates them in reverse on every engine.

It is for the small part of a norm-activation layer: statistics, weights and what follows from them, each a tensor
[N or 1, 1, C or 1]. Engines would need a tape of their own inside a custom gradient.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations.elementwise import DERIVATIVES
from evonorm_tf.equations.elementwise import ELEMENTWISE

Gradient = Callable[[Tensor], Sequence[Tensor | None]]  # dy -> the gradients with respect to the arguments, or None


class VectorTape:
  """Vectors, numbered in the order in which they were computed.

  Attributes:
    values: the vectors, by number.
  """

  def __init__(self):
    self.values: list[Tensor] = []
    self._steps: list[tuple[Sequence[int], Gradient] | None] = []

  def leaf(self, value: Tensor) -> int:
    """Adds a vector that is given, and returns its number."""
    return self._add(value, None)

  def result(self, value: Tensor, arguments: Sequence[int], gradient: Gradient) -> int:
    """Adds a vector that was computed from others, and returns its number.

    Args:
      value: the vector.
      arguments: the numbers of the vectors from which it was computed.
      gradient: returns the gradients with respect to the arguments, None for 0, from that with respect to the vector,
        of its shape. Sums over axes along which an argument was broadcast are left to the tape.
    """
    return self._add(value, (arguments, gradient))

  def apply(self, primitive: str, *arguments: int) -> int:
    """Adds the value of a primitive, and returns its number.

    Args:
      primitive: the primitive's name, a key of `elementwise.ELEMENTWISE`.
      *arguments: the numbers of its arguments.
    """
    values = [self.values[a] for a in arguments]
    value = ELEMENTWISE[primitive](*values)
    return self.result(value, arguments, lambda dy: DERIVATIVES[primitive](values, value, dy))

  def gradients(self, seeds: Iterable[tuple[int, Tensor]]) -> dict[int, Tensor]:
    """Returns the gradients with respect to the vectors that others, or the seeds, depend on, by the vectors' numbers.

    Args:
      seeds: numbers of vectors, with gradients that come from outside; sums over axes along which a vector was
        broadcast are left to the tape.
    """
    found: dict[int, Tensor] = {}
    for number, seed in seeds:
      self._accumulate(found, number, seed)
    for number in reversed(range(len(self.values))):
      step = self._steps[number]
      if number in found and step is not None:
        arguments, gradient = step
        for argument, by_argument in zip(arguments, gradient(found[number]), strict=True):
          if by_argument is not None:
            self._accumulate(found, argument, by_argument)
    return found

  def _add(self, value: Tensor, step: tuple[Sequence[int], Gradient] | None) -> int:
    self.values.append(value)
    self._steps.append(step)
    return len(self.values) - 1

  def _accumulate(self, found: dict[int, Tensor], number: int, gradient: Tensor) -> None:
    gradient = _in_shape(gradient, self.values[number])
    found[number] = found[number] + gradient if number in found else gradient


def _in_shape(gradient: Tensor, value: Tensor) -> Tensor:
  """Returns the gradient with respect to a value that was broadcast, in the value's shape, [N or 1, 1, C or 1]."""
  ops = ops_of(gradient)
  for axis in (0, 2):
    if value.shape[axis] == 1 and gradient.shape[axis] != 1:
      gradient = ops.sum(gradient, axis, keepdims=True)
  return gradient if gradient.shape == value.shape else gradient + ops.zeros_like(value)
