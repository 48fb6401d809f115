"""Timing of functions that take turns, so that other load on the machine affects all of them alike."""

from collections.abc import Callable
from collections.abc import Hashable
import statistics
import time

from rich.progress import Progress


def median_seconds(functions: dict[Hashable, Callable], arguments: tuple, repeats: int, label: str = '',
                   warm_ups: int = 2, quiet: bool = False) -> dict[Hashable, float]:
  """Returns the median time of a call of each function, in seconds.

  Args:
    functions: the functions by key.
    arguments: the positional arguments of every call.
    repeats: the number of timed calls of each function, at least 1. The functions are called in turn.
    label: what the progress bar shows beside 'compiling' and 'timing'.
    warm_ups: the number of calls of each function before the timing, for tracing and compiling (default 2).
    quiet: whether to show no progress (default False).

  Returns:
    The median seconds by key, in the order of `functions`.
  """
  seconds = {key: [] for key in functions}
  # It is drawn between rounds only: a thread that redraws it would take time from what is measured.
  with Progress(transient=True, auto_refresh=False, disable=quiet) as progress:
    for function in progress.track(list(functions.values()), description=f'{label} compiling'.strip()):
      for _ in range(warm_ups):
        function(*arguments)
    for _ in progress.track(range(repeats), description=f'{label} timing'.strip()):
      for key, function in functions.items():
        start = time.perf_counter()
        result = function(*arguments)
        seconds[key].append(time.perf_counter() - start)
        del result
  return {key: statistics.median(times) for key, times in seconds.items()}
