"""How often a candidate is tried that kills the process which evaluates it."""

from collections.abc import Callable
import dataclasses

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import EvoNormError
from search.execution.executors import Executor
from search.execution.executors import WorkerDied
from search.journal.journal import Journal

DEATHS_BEFORE_PROBE = 3


class WorkersCannotStart(EvoNormError, ChildProcessError):
  """Workers end before they reach a task: no candidate is to blame."""


@dataclasses.dataclass
class _Task:
  function: Callable
  args: tuple
  deaths: int


class Retrying:
  """Runs tasks on an executor; one that killed its worker is tried again a few times, the others never.

  A task that runs in this process takes the search with it. Therefore the journal notes it before it begins: a search
  that goes on counts how often it has died there. A kill from outside cannot be told from a crash, and counts too; to
  end in an orderly way does not, as after a Ctrl-C.

  Args:
    executor: where the tasks run.
    retries: how many times a task that killed its worker is tried again.
    journal: of the search.
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
    """How many tasks can be submitted now."""
    return 0 if self._given_up else self._executor.free

  def submit(self, key: str, function: Callable, *args) -> None:
    """Accepts the task function(*args); `key` names it in the journal, also to a search that goes on later."""
    deaths = self._journal.deaths(key) if self._executor.in_process else 0
    if deaths > self._retries:
      self._given_up.append((key, _died(deaths, 'the process of the search died (killed, out of memory, or crashed)')))
      return
    if self._executor.in_process:
      self._journal.begin(key)
    self._executor.submit(key, function, *args)
    self._tasks[key] = _Task(function, args, deaths)

  def next_result(self) -> tuple:
    """Waits for a task to end; returns (key, result), a `WorkerDied` for one that has killed every worker it had.

    Raises:
      WorkersCannotStart: if workers die one after the other, and one without a task does too.
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
    """Finds out whether workers can start at all, once several have died and none has given a result."""
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
