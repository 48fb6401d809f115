"""Checks of arguments, for all packages.

Every error message names the argument in backticks, what was expected and what was received.
"""

from collections.abc import Collection
import math
import numbers

from evonorm_tf.errors import ArgumentError


def check_choices(**arguments: tuple[object, Collection]) -> None:
  """Checks that every argument has one of its known values.

  Args:
    **arguments: a pair (value, known values) for each argument, under the argument's name.

  Raises:
    ArgumentError: for the first argument with another value.
  """
  for name, (value, known) in arguments.items():
    if value not in known:
      raise ArgumentError(f'`{name}` must be one of {known}, received {value!r}.')


def check_integers(least: int, **arguments: object) -> None:
  """Checks that every argument is an integer from `least` to 2³² − 1, the greatest seed that NumPy accepts.

  Args:
    least: the least value allowed.
    **arguments: the value of each argument, under the argument's name.

  Raises:
    ArgumentError: for the first argument that is not such an integer.
  """
  for name, value in arguments.items():
    if not isinstance(value, numbers.Integral) or not least <= int(value) < 2**32:
      raise ArgumentError(f'`{name}` must be an integer of at least {least} and below 2³², received {value!r}.')


def check_positive(**arguments: float) -> None:
  """Checks that every argument is a finite number above zero.

  Args:
    **arguments: the value of each argument, under the argument's name.

  Raises:
    ArgumentError: for the first argument that is not.
  """
  for name, value in arguments.items():
    if not 0 < value < math.inf:
      raise ArgumentError(f'`{name}` must be positive, received {value!r}.')


def check_plain_paths(**arguments: str | None) -> None:
  r"""Checks that no path has a character that TensorFlow takes for a pattern: `*`, `?`, `[` or `\`.

  TensorFlow looks for the files of a checkpoint, and deletes old ones, by patterns of file names that begin with the
  folder's path. A checkpoint in `runs/[1]` is written but never found, and one in `runs/*` may delete others.

  Args:
    **arguments: the path of each argument, under the argument's name; None passes.

  Raises:
    ArgumentError: for the first path with such a character.
  """
  for name, path in arguments.items():
    if path is not None and any(character in path for character in '*?[\\'):
      raise ArgumentError(f'`{name}` must be a path without any of * ? [ \\, because TensorFlow takes these for '
                          f"patterns where it looks for checkpoints, received '{path}'. Rename the folder.")


def check_rate(**arguments: float) -> None:
  """Checks that every argument is a rate: at least 0 and below 1.

  Args:
    **arguments: the value of each argument, under the argument's name.

  Raises:
    ArgumentError: for the first argument that is not.
  """
  for name, value in arguments.items():
    if not 0 <= value < 1:
      raise ArgumentError(f'`{name}` must be at least 0 and below 1, received {value!r}.')
