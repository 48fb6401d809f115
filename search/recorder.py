"""The recorder of a search, which writes each result to the journal before anything else sees it."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math
import time

from evonorm_tf.errors import ArgumentError
from search.evaluation.evaluation import Outcome
from search.execution.executors import WorkerDied
from search.jobs import Job
from search.journal import records as records_lib
from search.journal.history import view
from search.journal.journal import Journal
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import FAILED
from search.journal.record import Record
from search.journal.record_checks import checked_record
from search.journal.tally import Tally
from search.library.callbacks import Callback
from search.library.opened_search import RunningSearch
from search.reporting.progress import Progress
from search.reporting.summaries import Summaries
from search.scheduler import Result


class SearchRecorder:
  """Writes results to the journal first, then to TensorBoard and the console, and hands them to callbacks.

  Args:
    journal: the journal of the search.
    summaries: writes the TensorBoard events.
    progress: shows the progress on the console.
    callbacks: get each record, and may stop the evolution.
    found: the search as callbacks see it.
    share: the number of workers that count as the search's own where several searches share an executor; None (default)
      if it has the executor to itself.
  """

  def __init__(self, journal: Journal, summaries: Summaries, progress: Progress, callbacks: Callback,
               found: RunningSearch, share: float | None = None):
    self._journal = journal
    self._summaries = summaries
    self._progress = progress
    self._callbacks = callbacks
    self._found = found
    self._share = share
    self._evaluated = sum(r.total_seconds for r in records_lib.of_stage(journal.records, EVOLUTION))  # seconds
    self._earlier = journal.records[-1].elapsed if journal.records else 0.
    self._start = time.monotonic()

  @property
  def elapsed(self) -> float:
    """The run time so far in seconds, including earlier runs of the same search."""
    return self._earlier + time.monotonic() - self._start

  def seconds_left(self, max_minutes: float | None) -> Callable[[], float]:
    """Returns a function that returns the seconds left of `max_minutes` for the evolution, which begins or goes on now.

    Infinity if `max_minutes` is None, and below 0 once a callback has stopped the evolution. What the evolution took
    in earlier runs is the time to each of its records from the record before. Where searches share workers, it is the
    time of the evaluations, divided by the search's share of the workers.
    """
    if max_minutes is None:
      left = lambda: math.inf
    elif self._share is None:
      end = self.elapsed - self._evolution_seconds() + 60 * max_minutes
      left = lambda: end - self.elapsed
    else:
      left = lambda: 60 * max_minutes - self._evaluated / self._share
    return lambda: -1. if self._found.is_stopped else left()

  def _evolution_seconds(self) -> float:
    """Returns the time that the evolution took in earlier runs."""
    ends = [0., *(r.elapsed for r in self._journal.records)]
    return sum(end - begin for begin, end, record in zip(ends, ends[1:], self._journal.records)
               if record.stage == EVOLUTION)

  def begin(self, stage: str, seconds_left: float) -> None:
    """Shows that a stage begins, in which jobs may be begun for another `seconds_left` seconds."""
    self._progress.update(stage, self._journal.records, seconds_allowed=seconds_left)

  def record(self, results: Sequence[tuple[Job, Result, float]]) -> list[Record]:
    """Writes the results of jobs to the journal, shows them, and returns their records; a dead worker counts as failed.

    Args:
      results: for each job, the job, the outcome of its evaluation, the record whose outcome it copies, or a
        `WorkerDied`, and the time from the job's begin to its end in seconds, for outcomes that do not tell theirs.

    Raises:
      ArgumentError: if the outcome of a user's evaluation is not one that a journal can hold. It is not written; the
        others are.
    """
    scored_in = dict(view(self._journal.records, Tally).scored_in)
    records: list[Record] = []
    error: Exception | None = None
    for job, result, seconds in results:
      try:
        records.append(checked_record(functools.partial(self._make, job, result, seconds), job.name, scored_in))
      except ArgumentError as e:
        error = error or e
    if len(records) > 1:
      self._journal.write_ahead(records)
    for record in records:
      try:
        self._append(record)
      except Exception as e:  # of a callback; the others are on disk, and to be seen
        error = error or e
    if error is not None:
      raise error
    return records

  def _append(self, record: Record) -> None:
    self._journal.append(record)
    self._evaluated += record.total_seconds if record.stage == EVOLUTION else 0.
    self._summaries.write(self._journal.records)
    self._progress.update(record.stage, self._journal.records)
    self._callbacks.on_record(self._found, record)

  def _make(self, job: Job, result: Result, seconds: float) -> Record:
    outcome = Outcome(FAILED, str(result)) if isinstance(result, WorkerDied) else result
    copied = isinstance(outcome, Record)  # copying an outcome takes no time
    activities = {} if copied else dict(getattr(outcome, 'seconds', None) or {'total': round(seconds, 3)})
    return job.record(outcome, activities, round(self.elapsed, 2))
