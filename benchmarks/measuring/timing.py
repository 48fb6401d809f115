"""Timing of functions that take turns, so that other load on the machine affects all of them alike."""

from collections.abc import Callable
from collections.abc import Hashable
import statistics
import time

from rich.progress import track


def median_seconds(functions: dict[Hashable, Callable], arguments: tuple, repeats: int, warm_ups: int = 2,
                   quiet: bool = False) -> dict[Hashable, float]:
  """Returns the median time of a call of each function, in seconds.

  Args:
    functions: the functions by key.
    arguments: the positional arguments of every call.
    repeats: the number of timed calls of each function, at least 1. The functions are called in turn.
    warm_ups: the number of calls of each function before the timing, for tracing and compiling (default 2).
    quiet: whether to show no progress (default False).

  Returns:
    The median seconds by key, in the order of `functions`.
  """
  seconds = {key: [] for key in functions}
  for function in track(list(functions.values()), 'compiling', transient=True, disable=quiet):
    for _ in range(warm_ups):
      function(*arguments)
  for _ in range(repeats):
    for key, function in functions.items():
      start = time.perf_counter()
      result = function(*arguments)
      seconds[key].append(time.perf_counter() - start)
      del result
  return {key: statistics.median(times) for key, times in seconds.items()}
