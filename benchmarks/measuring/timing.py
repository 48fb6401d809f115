"""Timing of functions that take turns, so that other load on the machine affects all of them alike."""

from collections.abc import Callable
from collections.abc import Hashable
import statistics
import time

from rich.progress import track


def median_seconds(functions: dict[Hashable, Callable], arguments: tuple, repeats: int) -> dict[Hashable, float]:
  """Returns the median time of a call of each function, in seconds.

  Args:
    functions: the functions by key. Each is called twice before the timing, for tracing and compiling.
    arguments: the positional arguments of every call.
    repeats: the number of timed calls of each function, at least 1. The functions are called in turn.

  Returns:
    The median seconds by key, in the order of `functions`.
  """
  seconds = {key: [] for key in functions}
  for function in track(list(functions.values()), 'compiling', transient=True):
    function(*arguments)
    function(*arguments)
  for _ in range(repeats):
    for key, function in functions.items():
      start = time.perf_counter()
      result = function(*arguments)
      seconds[key].append(time.perf_counter() - start)
      del result
  return {key: statistics.median(times) for key, times in seconds.items()}
