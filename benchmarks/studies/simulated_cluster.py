"""An executor of simulated workers, whose evaluations end when recorded ones would have ended."""

import bisect
import collections
from collections.abc import Callable
import heapq
import itertools
import random
import time

from search.execution.executors import WorkerDied

DEADLY, SECONDS_TO_START = .01, 30.  # share of evaluations that kill their worker; until the next one is there


class Cluster:
  """An executor of simulated workers, whose time is the driver's own and what is skipped while it waits.

  Args:
    workers: the number of workers.
    scale: the factor by which evaluations take longer than the recorded ones.
    clock: returns the time of the driver, in seconds (default: `time.perf_counter`).

  Attributes:
    busy: the workers' seconds of evaluations.
    idle: the workers' seconds between the end of an evaluation, or the begin, and the next one.
    first_idle: those before the first evaluation.
  """
  in_process = False

  def __init__(self, workers: int, scale: float, clock: Callable[[], float] = time.perf_counter):
    self._scale, self._clock, self._rng = scale, clock, random.Random(0)
    self._idle_since = collections.deque([0.] * workers)  # ascending times at which workers became free
    self._tasks, self._numbers = [], itertools.count()
    self._skipped = -clock()
    self.busy = self.idle = self.first_idle = 0.

  @property
  def now(self) -> float:
    """The time since the begin, in seconds."""
    return self._clock() + self._skipped

  @property
  def free(self) -> int:
    """The number of workers without a task that have started."""
    return bisect.bisect_right(self._idle_since, self.now)

  def submit(self, key, function, *args) -> None:
    """Begins a task, which takes the time of its recorded evaluation."""
    before, since = self._clock(), self._idle_since.popleft()
    outcome = function(*args)
    self._skipped -= self._clock() - before  # workers compute elsewhere
    start = max(self.now, since)  # a task that is tried again may wait for its worker
    if since:
      self.idle += start - since
    else:
      self.first_idle += start
    seconds = self._scale * outcome.seconds['total']
    is_deadly = self._rng.random() < DEADLY
    self.busy += seconds
    task = start + seconds, next(self._numbers), key, WorkerDied() if is_deadly else outcome
    heapq.heappush(self._tasks, task)

  def has_result(self) -> bool:
    """Returns whether a task has ended."""
    return bool(self._tasks) and self._tasks[0][0] <= self.now

  def next_result(self):
    """Returns the result of the task that ends first, and skips the time until then."""
    end, _, key, result = heapq.heappop(self._tasks)
    self._skipped += max(0., end - self.now)
    start = end + SECONDS_TO_START if isinstance(result, WorkerDied) else end
    self._idle_since.insert(bisect.bisect_right(self._idle_since, start), start)
    return key, result

  def probe(self) -> None:
    """Does nothing: workers can start."""

  def close(self) -> None:
    """Does nothing: there are no workers."""
