"""Tasks on worker processes, whose results come as they end."""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from search.execution.executors import Executor


def results(executor: Executor, tasks: Iterable[tuple[Hashable, Callable[..., Any], tuple]]
            ) -> Iterator[tuple[Hashable, Any]]:
  """Yields the key of each task and its result, or the `WorkerDied` of its process, in the order of their ends.

  Args:
    executor: runs the tasks; it is closed at the end.
    tasks: for each task its key, a function and the function's arguments.
  """
  waiting, running = collections.deque(tasks), 0
  try:
    while waiting or running:
      while waiting and executor.free:
        key, function, arguments = waiting.popleft()
        executor.submit(key, function, *arguments)
        running += 1
      yield executor.next_result()
      running -= 1
  finally:
    executor.close()
