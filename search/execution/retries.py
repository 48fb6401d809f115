"""Retries: candidates whose evaluation has killed its process are evaluated again, a limited number of times."""

from collections.abc import Callable
import dataclasses
from typing import Any

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import EvoNormError
from search.execution.executors import Executor
from search.execution.executors import MachineLost
from search.execution.executors import WorkerDied
from search.journal.journal import Journal

DEATHS_BEFORE_PROBE = 3
MOST_LOSSES = 20  # of machines under one task; one more counts as its doing, such as a lack of memory


class WorkersCannotStart(EvoNormError, ChildProcessError):
  """The error raised when workers die before they reach a task, so that no candidate is to blame."""


@dataclasses.dataclass
class _Task:
  """A running task: the call, how often it has killed its process, and how often it has lost its machine."""
  function: Callable
  args: tuple
  deaths: int
  losses: int = 0


class Retrying:
  """A wrapper of an executor that repeats tasks that killed their worker, a limited number of times.

  Where the executor runs tasks in this process, a task that crashes ends the search. Therefore the journal notes each
  of these tasks before it begins, and a resumed search counts how often the process died during the task.
  A kill from outside looks like a crash and counts as well. An orderly end, as after Ctrl-C, does not, and neither does
  the loss of the machine on which a worker ran.

  Args:
    executor: runs the tasks.
    retries: how many times a task that killed its worker is run again.
    journal: the journal of the search.

  Raises:
    ArgumentError: if `retries` is negative.
  """

  def __init__(self, executor: Executor, retries: int, journal: Journal):
    if retries < 0:
      raise ArgumentError(f'`retries` must be at least 0, received {retries}.')
    self._executor = executor
    self._retries = retries
    self._journal = journal
    self._tasks = {}  # by key
    self._given_up = []  # (key, `WorkerDied`) of tasks that are not run again
    self._deaths_in_a_row = 0
    self._error: BaseException | None = None
    self._any_result = getattr(executor, 'has_result', bool)  # executors of users may lack it

  @property
  def in_process(self) -> bool:
    """Whether tasks run in this process."""
    return self._executor.in_process

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now."""
    return 0 if self._given_up or self._error is not None else self._executor.free

  def submit(self, key: str, function: Callable[..., Any], *args: Any) -> None:
    """Accepts a task. Call it only if `free` is above 0.

    A task that has ended this process too often in earlier runs of the search is not run; its result is a `WorkerDied`.

    Args:
      key: the task's name in the journal; it must be the same when the search is resumed.
      function: the function to call, picklable unless the executor runs tasks in this process.
      *args: the arguments of `function`, picklable likewise.
    """
    deaths = self._journal.deaths(key) if self._executor.in_process else 0
    if deaths > self._retries:
      self._given_up.append((key, _died(deaths, 'the process of the search died (killed, out of memory, or crashed)')))
      return
    if self._executor.in_process:
      self._journal.begin(key)
    self._executor.submit(key, function, *args)
    self._tasks[key] = _Task(function, args, deaths)

  def has_result(self) -> bool:
    """Returns whether `next_results` will return at once; False if the executor cannot tell."""
    return bool(self._given_up) or self._error is not None or self._any_result()

  def next_results(self) -> list[tuple[str, Any]]:
    """Waits until a task ends and returns the keys and the results of all that have ended.

    Returns:
      Pairs of the key given to `submit`, and the value that the function returned, or a `WorkerDied` if every try of
      the task killed its worker.

    Raises:
      WorkersCannotStart: if three workers die in a row, and then a worker dies without a task.
      Exception: the exception that the function raised.
    """
    if self._error is not None:
      raise self._error
    if self._given_up:
      return [self._given_up.pop()]
    results: list[tuple[str, Any]] = []
    while not results or self._any_result():
      try:
        results += self._next_result()
      except BaseException as e:  # Ctrl-C, too
        if not results:
          raise
        self._error = e  # raised once the results are recorded
        break
    return results

  def _next_result(self) -> list[tuple[str, Any]]:
    """Waits for a task and returns its key and result; nothing if it killed its worker and is tried again."""
    key, result = self._executor.next_result()
    task = self._tasks.pop(key)
    if not isinstance(result, WorkerDied):
      self._deaths_in_a_row = 0
      return [(key, result)]
    if isinstance(result, MachineLost) and task.losses < MOST_LOSSES:
      task.losses += 1
    else:
      self._note_death()
      task.deaths += 1
    if task.deaths > self._retries:
      return [(key, _died(task.deaths, str(result)))]
    logging.warning('%s is tried again: %s.', key, result)
    self._executor.submit(key, task.function, *task.args)
    self._tasks[key] = task
    return []

  def _note_death(self) -> None:
    """Counts the death of a worker; tests whether workers can start at all after each third death in a row."""
    self._deaths_in_a_row += 1
    if self._deaths_in_a_row % DEATHS_BEFORE_PROBE == 0:
      try:
        self._executor.probe()
      except MachineLost:
        pass
      except WorkerDied as e:
        raise WorkersCannotStart(
            f'workers die at their start: {self._deaths_in_a_row} in a row, and one that had no task. What was '
            'recorded before is safe. `executor = None` and `workers = 1` show what is wrong.') from e


def _died(deaths: int, how: str) -> WorkerDied:
  return WorkerDied(f'{how}, in each of {deaths} tries' if deaths > 1 else how)
