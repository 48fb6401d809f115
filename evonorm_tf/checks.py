"""Checks of arguments for all packages. Errors name the argument, what was expected and what was received."""

from collections.abc import Collection
import math
import numbers

from evonorm_tf.errors import ArgumentError


def check_choices(**arguments: tuple[object, Collection]) -> None:
  """Raises ArgumentError unless every argument, given as a pair (value, known values), has a known value."""
  for name, (value, known) in arguments.items():
    if value not in known:
      raise ArgumentError(f'`{name}` must be one of {known}, received {value!r}.')


def check_integers(least: int, **arguments: object) -> None:
  """Raises ArgumentError unless every argument is an integer from `least` on that NumPy accepts as a seed."""
  for name, value in arguments.items():
    if not isinstance(value, numbers.Integral) or not least <= int(value) < 2**32:
      raise ArgumentError(f'`{name}` must be an integer of at least {least} and below 2³², received {value!r}.')


def check_positive(**arguments: float) -> None:
  """Raises ArgumentError unless every argument, named by its keyword, is a finite number above zero."""
  for name, value in arguments.items():
    if not 0 < value < math.inf:
      raise ArgumentError(f'`{name}` must be positive, received {value!r}.')


def check_rate(**arguments: float) -> None:
  """Raises ArgumentError unless every argument, named by its keyword, is a rate in [0, 1)."""
  for name, value in arguments.items():
    if not 0 <= value < 1:
      raise ArgumentError(f'`{name}` must be at least 0 and below 1, received {value!r}.')
