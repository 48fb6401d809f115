"""Measurements in processes of their own, which take turns; the peak resident memory of a process."""

from collections.abc import Callable
from collections.abc import Sequence
import concurrent.futures
import multiprocessing
import pathlib
import re
import statistics
from typing import TypeVar

from rich.progress import Progress

Key = TypeVar('Key')
Result = TypeVar('Result', bound=tuple)


def take_turns(function: Callable[[Key], Result], keys: Sequence[Key], rounds: int, label: str = ''
               ) -> dict[Key, list[Result]]:
  """Calls a function once for each key and round, each time in a new process, and returns its results by key.

  The processes run one after the other, first those of all keys in round 1, then those of all keys in round 2, and so
  on, so that other load on the machine affects all keys alike.

  Args:
    function: a function that can be pickled; its module is imported anew in each process.
    keys: the arguments of the calls, all different; `str` of a key is shown as progress.
    rounds: the number of calls for each key, at least 1.
    label: what the progress bar shows in front of the key.

  Raises:
    RuntimeError: if a process ends before its function returns, as for lack of memory.
  """
  results = {key: [] for key in keys}
  with Progress(transient=True) as progress, concurrent.futures.ProcessPoolExecutor(
      1, mp_context=multiprocessing.get_context('spawn'), max_tasks_per_child=1) as pool:
    task = progress.add_task(label, total=rounds * len(results))
    for number in range(1, rounds + 1):
      for key in results:
        progress.update(task, description=f'{label}, round {number} of {rounds}: {key}')
        try:
          results[key].append(pool.submit(function, key).result())
        except concurrent.futures.process.BrokenProcessPool as error:
          raise RuntimeError(f'The process of {label}, {key}, was ended; it may have lacked memory.') from error
        progress.advance(task)
  return results


def medians(results: Sequence[Result]) -> Result:
  """Returns the median of each field of the results.

  Args:
    results: named tuples of one type, whose fields are numbers.
  """
  return type(results[0])(*map(statistics.median, zip(*results)))


def peak_resident_bytes() -> int:
  """Returns the peak resident memory of this process in bytes.

  It is not `ru_maxrss`, which a process inherits from the one that started it.
  """
  try:
    text = pathlib.Path('/proc/self/status').read_text(encoding='ascii', errors='replace')
    return 1024 * int(re.search(r'VmHWM:\s*(\d+) kB', text)[1])
  except (OSError, TypeError) as error:
    raise RuntimeError('VmHWM is read from /proc/self/status, which only Linux has.') from error
