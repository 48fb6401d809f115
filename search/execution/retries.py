"""Retries of candidates whose evaluation kills its process."""

from collections.abc import Callable
import dataclasses
from typing import Any

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import EvoNormError
from search.execution.executors import Executor
from search.execution.executors import WorkerDied
from search.journal.journal import Journal

DEATHS_BEFORE_PROBE = 3


class WorkersCannotStart(EvoNormError, ChildProcessError):
  """Workers end before they reach a task, so no candidate is to blame."""


@dataclasses.dataclass
class _Task:
  function: Callable
  args: tuple
  deaths: int


class Retrying:
  """Runs tasks on an executor and repeats those that killed their worker, a limited number of times.

  A task that crashes in this process ends the search. Therefore the journal notes such tasks before they begin, and a
  search that goes on later counts how often it has died there. A kill from outside looks the same as a crash and counts
  too; an orderly end, as after a Ctrl-C, does not.

  Args:
    executor: runs the tasks.
    retries: how many times a task that killed its worker is tried again.
    journal: the journal of the search.

  Raises:
    ValueError: if `retries` is negative.
  """

  def __init__(self, executor: Executor, retries: int, journal: Journal):
    if retries < 0:
      raise ArgumentError(f'`retries` must be at least 0, received {retries}.')
    self._executor = executor
    self._retries = retries
    self._journal = journal
    self._tasks = {}  # by key
    self._given_up = []  # results that need no evaluation
    self._deaths_in_a_row = 0

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now."""
    return 0 if self._given_up else self._executor.free

  def submit(self, key: str, function: Callable[..., Any], *args: Any) -> None:
    """Accepts the task function(*args); `key` names it in the journal, also for a search that goes on later."""
    deaths = self._journal.deaths(key) if self._executor.in_process else 0
    if deaths > self._retries:
      self._given_up.append((key, _died(deaths, 'the process of the search died (killed, out of memory, or crashed)')))
      return
    if self._executor.in_process:
      self._journal.begin(key)
    self._executor.submit(key, function, *args)
    self._tasks[key] = _Task(function, args, deaths)

  def next_result(self) -> tuple[str, Any]:
    """Waits for a task to end; returns its key and result, a `WorkerDied` if it has killed its worker in every try.

    Raises:
      WorkersCannotStart: if workers die one after another, and so does one without a task.
    """
    if self._given_up:
      return self._given_up.pop()
    while True:
      key, result = self._executor.next_result()
      task = self._tasks.pop(key)
      if not isinstance(result, WorkerDied):
        self._deaths_in_a_row = 0
        return key, result
      self._note_death()
      task.deaths += 1
      if task.deaths > self._retries:
        return key, _died(task.deaths, str(result))
      logging.warning('%s is tried again: %s.', key, result)
      self._executor.submit(key, task.function, *task.args)
      self._tasks[key] = task

  def _note_death(self) -> None:
    """Checks whether workers can start at all, once several have died in a row without a result."""
    self._deaths_in_a_row += 1
    if self._deaths_in_a_row % DEATHS_BEFORE_PROBE == 0:
      try:
        self._executor.probe()
      except WorkerDied as e:
        raise WorkersCannotStart(
            f'workers die at their start: {self._deaths_in_a_row} in a row, and one that had no task. What was '
            'recorded before is safe. `executor = None` and `workers = 1` show what is wrong.') from e


def _died(deaths: int, how: str) -> WorkerDied:
  return WorkerDied(f'{how}, in each of {deaths} tries' if deaths > 1 else how)
