"""The scheduler: a loop that hands the jobs of one or several searches to an executor."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import math
import time
from typing import Protocol

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.execution.deferred_interrupts import is_interrupted
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.executors import WorkerDied
from search.execution.retries import Retrying
from search.jobs import Candidates as Candidates  # for those who import it from here, as it was before
from search.jobs import FixedLayers as FixedLayers
from search.jobs import Job as Job
from search.jobs import JobSource as JobSource
from search.journal.record import EvaluationOutcome
from search.journal.record import Record

SECONDS_WITHOUT_WORKERS = .1  # from one look for a worker to the next, where no task is running
Result = EvaluationOutcome | WorkerDied  # a `Record` is an `EvaluationOutcome`, too


class Recorder(Protocol):
  """The interface of the object that writes results to the journal and shows them."""

  def begin(self, stage: str, seconds_left: float) -> None:
    """Shows that a stage begins.

    Args:
      stage: 'reference', 'evolution' or 'reranking'.
      seconds_left: the number of seconds in which jobs of the stage may be begun; infinity if there is no time limit.
    """

  def record(self, results: Sequence[tuple[Job, Result, float]]) -> Sequence[Record]:
    """Writes the results of jobs to the journal and returns their records, in the same order.

    Args:
      results: for each job, the job, the outcome of its evaluation, the record whose outcome it copies, or a
        `WorkerDied`, and the time from the job's begin to its end in seconds, 0 for a copy.
    """


class Track:
  """The jobs of one search: those of its stages, one stage after the other.

  A job is in one of these states:
  - waiting: its source will make it when a worker is free;
  - running: the executor is evaluating it; jobs may finish in any order;
  - following: it waits for the outcome of a running job of the same layer;
  - done: its record is in the journal, and its source has received the record.

  Args:
    stages: the sources of jobs, each of which is asked for only when the stage before is over.
    recorder: writes the results to the search's journal.
    name: the search's name where several share an executor (default: none).
  """

  def __init__(self, stages: Iterable[JobSource], recorder: Recorder, name: str = ''):
    self._stages, self._recorder, self._prefix = iter(stages), recorder, f'{name}: ' if name else ''
    self._source: JobSource | None = None
    self._is_done = False
    self._failure: ArgumentError | None = None  # of a proposal
    self._running: dict[str, Job] = {}  # by key
    self._begun: dict[str, float] = {}  # when each running job began, by key
    self._following: dict[str, list[Job]] = collections.defaultdict(list)  # by the key of the running job

  @property
  def failure(self) -> ArgumentError | None:
    """Why no further job can be made, as where no new graph is left; None if that is not so."""
    return self._failure

  def is_done(self) -> bool:
    """Returns whether all jobs are done that there can be; begins the next stage if one is over."""
    if self._failure is not None:
      return not self._running
    while not (self._is_done or self._running or self._source is not None and self._source.has_more()):
      self._source = next(self._stages, None)
      if self._source is None:
        self._is_done = True
      else:
        self._recorder.begin(self._source.stage, self._source.seconds_left())
    return self._is_done

  def next_task(self) -> tuple[str, Callable[..., EvaluationOutcome], LayerGraph | str] | None:
    """Returns the next task for a worker; None if there is none before a running one ends, or at all.

    Returns:
      The task's key, which begins with the search's name, and the function and its argument.
    """
    while self._failure is None and not self.is_done() and self._source is not None and self._source.has_more():
      try:
        job = self._source.next_job()
      except ArgumentError as e:
        self._failure = e
        if self._prefix:  # other searches go on, perhaps for hours
          logging.warning('%sends before its time: %s', self._prefix, e)
        continue
      raise_if_interrupted()
      if job.key_of_original in self._running:
        self._following[job.key_of_original].append(job)
      elif job.outcome is not None:
        self._record([(job, job.outcome, 0.)])
      else:
        self._running[job.key], self._begun[job.key] = job, time.monotonic()
        return self._prefix + job.key, self._source.evaluator(job).evaluate, job.layer
    return None

  def prepare(self) -> bool:
    """Prepares a job while workers are busy; returns whether there was one to prepare.

    Jobs are prepared for a tenth of the search's workers; none for a single one, whose search is reproducible.
    """
    busy = len(self._running)
    if self._source is None or busy < 2 or self._failure is not None:
      return False
    return self._source.prepare(math.ceil(busy / 10))

  def finish(self, results: Sequence[tuple[str, Result]]) -> None:
    """Records the results of tasks.

    Args:
      results: the key of each task, and the outcome of its evaluation or a `WorkerDied`.
    """
    ended = []
    for key, result in results:
      job = self._running.pop(key.removeprefix(self._prefix))
      ended.append((job, result, time.monotonic() - self._begun.pop(job.key)))
    self._record(ended)

  def _record(self, ended: Sequence[tuple[Job, Result, float]]) -> None:
    followers: list[tuple[Job, Result, float]] = []
    for (job, *_), record in zip(ended, self._recorder.record(ended), strict=True):
      self._source.take(record)
      followers += [(follower, record, 0.) for follower in self._following.pop(job.key, ())]
    if followers:
      self._record(followers)


class Scheduler:
  """The main loop: runs the jobs of one or several searches, as many at a time as the executor has room for.

  Args:
    executor: evaluates the jobs, and repeats those that killed their worker.
  """

  def __init__(self, executor: Retrying):
    self._executor = executor
    self._running: dict[str, Track] = {}  # by the task's key

  def run(self, tracks: Sequence[Track]) -> None:
    """Runs all jobs of searches, which take turns with free workers, and returns when they are done.

    A search that can make no further job ends with those that it has begun, and has a `failure`.

    Args:
      tracks: the searches.

    Raises:
      KeyboardInterrupt: after Ctrl-C; jobs that are running then are not recorded.
      WorkersCannotStart: if workers die one after another, even without a job.
    """
    turns = collections.deque(tracks)
    while not all([track.is_done() for track in tracks]):  # a list, for each begins its next stage
      self._fill_workers(turns)
      self._prepare(tracks)
      if self._running:
        self._finish(self._next_results())
      elif self._executor.free <= 0:  # no worker is there, as after the loss of all nodes
        raise_if_interrupted()
        time.sleep(SECONDS_WITHOUT_WORKERS)

  def _fill_workers(self, turns: collections.deque[Track]) -> None:
    """Begins jobs until no worker is free, or no search has one to begin; who had a turn goes to the end."""
    raise_if_interrupted()
    passed = 0
    while self._executor.free > 0 and passed < len(turns):
      track = turns[0]
      turns.rotate(-1)
      task = track.next_task()
      if task is None:
        passed += 1
      else:
        passed, self._running[task[0]] = 0, track
        self._executor.submit(*task)

  def _prepare(self, tracks: Sequence[Track]) -> None:
    """Prepares jobs until a task ends."""
    while not self._executor.has_result() and any(track.prepare() for track in tracks):
      raise_if_interrupted()

  def _next_results(self) -> list[tuple[str, Result]]:
    """Waits for results. After Ctrl-C, only those of workers count, which do not see it: the next turn raises it.

    A second Ctrl-C may have broken an evaluation in this process, and SIGTERM may have killed workers.
    """
    raise_if_interrupted()
    results = self._executor.next_results()
    if not is_interrupted():
      return results
    if self._executor.in_process:
      raise_if_interrupted()
    return [(key, result) for key, result in results if not isinstance(result, WorkerDied)]

  def _finish(self, results: Sequence[tuple[str, Result]]) -> None:
    """Hands results to their searches; what one search raises does not keep those of others from being recorded."""
    ended = collections.defaultdict(list)
    for key, result in results:
      ended[self._running.pop(key)].append((key, result))
    error: Exception | None = None
    for track, its_results in ended.items():
      try:
        track.finish(its_results)
      except Exception as e:
        error = error or e
    if error is not None:
      raise error
