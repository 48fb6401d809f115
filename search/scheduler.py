"""The scheduler of a search: one loop that hands jobs to the workers, and the two sources of its jobs.

`FixedLayers` are known from the beginning, as references and finalists are. `Candidates` are proposed one by one, each
only when a worker is free, so that a proposal draws on everything that is on record by then.
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Protocol

from evonorm_tf.graph.layer_graph import LayerGraph
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.executors import WorkerDied
from search.execution.retries import Retrying
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.record import EvaluationOutcome
from search.journal.record import Record
from search.selection.proposer import Proposer

Result = EvaluationOutcome | WorkerDied  # a record stands for its own outcome


class Evaluator(Protocol):
  """Evaluates layers, such as `search.evaluation.Evaluation`."""

  def informed_by(self, records: Sequence[Record]) -> 'Evaluator':
    """Returns the evaluation that compares a candidate with the records of a search."""

  def evaluate(self, spec: LayerGraph | str) -> EvaluationOutcome:
    """Evaluates a layer graph or a known layer's name."""


@dataclasses.dataclass(frozen=True)
class Job:
  """A layer that is to be put on record in one stage of a search.

  Attributes:
    stage: the stage.
    layer: a layer graph or the name of a known layer.
    name: the layer's name, as in its record.
    index, parent, filtered, same_as, origin: as in its record.
    outcome: the record whose outcome it takes, if that is known already; None if it has to be evaluated, or if the
      candidate that it is the `same_as` of is running.
  """
  stage: str
  layer: LayerGraph | str
  name: str
  index: int | None = None
  parent: int | None = None
  filtered: Mapping[str, int] = dataclasses.field(default_factory=dict)
  same_as: int | None = None
  origin: str | None = None
  outcome: Record | None = None

  @property
  def key(self) -> str:
    """The name of its task for the executor and in the notes of the journal."""
    return f'{self.stage} {self.index if self.stage == EVOLUTION else self.name}'

  @property
  def key_of_original(self) -> str | None:
    """The key of the job that computes the same function, or None."""
    return None if self.same_as is None else f'{self.stage} {self.same_as}'

  def record(self, outcome: EvaluationOutcome, seconds: Mapping[str, float], elapsed: float) -> Record:
    """Returns its record.

    Args:
      outcome: of its evaluation, or of another record.
      seconds: the time that the evaluation took, by activity.
      elapsed: the run time of the search so far, in seconds.
    """
    return Record.of_outcome(
        outcome, stage=self.stage, graph=self.layer if isinstance(self.layer, LayerGraph) else None, index=self.index,
        name=self.name, parent=self.parent, filtered=self.filtered, same_as=self.same_as, origin=self.origin,
        seconds=seconds, elapsed=elapsed)


class JobSource(Protocol):
  """The jobs of one stage.

  Attributes:
    stage: the stage.
  """
  stage: str

  def has_more(self) -> bool:
    """Returns whether there is another job to begin."""

  def seconds_left(self) -> float:
    """Returns the time after which no more jobs are begun."""

  def next_job(self) -> Job:
    """Returns the next job."""

  def evaluator(self) -> Evaluator:
    """Returns the evaluation for the job that is begun now."""

  def take(self, record: Record) -> None:
    """Takes the record of one of its jobs."""


class FixedLayers:
  """Layers that are known from the beginning; those that are on record already are left out.

  Args:
    stage: the stage.
    layers: names of known layers, and records of candidates.
    evaluation: how they are judged.
    records: of all stages.
  """

  def __init__(self, stage: str, layers: Sequence[Record | str], evaluation: Evaluator, records: Sequence[Record]):
    self.stage = stage
    self._evaluation = evaluation
    jobs = {job.name: job for job in map(self._job, layers)}
    done = {r.name for r in records_lib.of_stage(records, stage)}
    self._waiting = collections.deque(job for name, job in jobs.items() if name not in done)

  def _job(self, layer: Record | str) -> Job:
    if isinstance(layer, str) or layer.graph is None:
      return Job(self.stage, str(layer), str(layer))
    return Job(self.stage, layer.graph, layer.name, layer.index)

  def has_more(self) -> bool:
    """Returns whether a layer is waiting."""
    return bool(self._waiting)

  def seconds_left(self) -> float:
    """Returns infinity: the stage runs to its end."""
    return math.inf

  def next_job(self) -> Job:
    """Returns the job of the next layer."""
    return self._waiting.popleft()

  def evaluator(self) -> Evaluator:
    """Returns the evaluation."""
    return self._evaluation

  def take(self, record: Record) -> None:
    """Does nothing: no later job depends on the record."""


class Candidates:
  """The candidates of the evolution; those that are on record already are replayed.

  Args:
    proposer: makes the proposals; it has seen none yet.
    evaluation: how the candidates are judged.
    count: the number of candidates.
    records: the journal's, of all stages; it grows as the search goes on.
    seconds_left: returns the time after which no new candidate is begun.
  """
  stage = EVOLUTION

  def __init__(self, proposer: Proposer, evaluation: Evaluator, count: int, records: Sequence[Record],
               seconds_left: Callable[[], float]):
    self._proposer, self._evaluation, self._records = proposer, evaluation, records
    self._done = {r.index: r for r in records_lib.of_stage(records, EVOLUTION)}
    self._waiting = collections.deque(i for i in range(count) if i not in self._done)
    self.seconds_left = seconds_left
    proposer.replay(self._done.values())

  def has_more(self) -> bool:
    """Returns whether a candidate is waiting, and there is time to begin it."""
    return bool(self._waiting) and self.seconds_left() >= 0

  def next_job(self) -> Job:
    """Proposes a candidate."""
    p = self._proposer.propose(self._waiting.popleft())
    outcome = p.earlier if p.same_as is None else self._done.get(p.same_as)
    return Job(EVOLUTION, p.graph, f'candidate {p.index}', p.index, p.parent, p.filtered, p.same_as, p.origin, outcome)

  def evaluator(self) -> Evaluator:
    """Returns the evaluation, informed by what is on record now."""
    return self._evaluation.informed_by(self._records)

  def take(self, record: Record) -> None:
    """Takes a candidate's record: if it was accepted, it joins the population."""
    self._done[record.index] = record
    self._proposer.take(record)


class Recorder(Protocol):
  """Puts results on record and shows them."""

  def begin(self, stage: str, seconds_left: float) -> None:
    """Shows that a stage begins, in which no job is begun after this time."""

  def record(self, job: Job, result: Result) -> Record:
    """Puts the result of a job on record."""


class Scheduler:
  """Runs the jobs of one source after the other, as many at a time as the executor has room for.

  Each job goes through these states:
  - waiting: it is still with its source, which makes it when the executor has room;
  - running: the executor has it, and returns its result in any order;
  - following: a running job computes the same function, and it waits for that job's outcome;
  - done: its record is written, and its source has seen it.

  Args:
    executor: evaluates the jobs.
    recorder: takes the results.
  """

  def __init__(self, executor: Retrying, recorder: Recorder):
    self._executor = executor
    self._recorder = recorder
    self._running: dict[str, Job] = {}  # by key
    self._following: dict[str, list[Job]] = collections.defaultdict(list)  # by the key of the running job

  def run(self, source: JobSource) -> None:
    """Returns when all jobs of a source are done.

    Raises:
      KeyboardInterrupt: after a Ctrl-C; a job that ran then is not put on record.
    """
    self._recorder.begin(source.stage, source.seconds_left())
    while source.has_more() or self._running:
      while source.has_more() and self._executor.free:
        self._begin(source.next_job(), source)
      if self._running:
        key, result = self._next_result()
        self._finish(self._running.pop(key), result, source)

  def _begin(self, job: Job, source: JobSource) -> None:
    if job.key_of_original in self._running:
      self._following[job.key_of_original].append(job)
    elif job.outcome is not None:
      self._finish(job, job.outcome, source)
    else:
      self._running[job.key] = job
      self._executor.submit(job.key, source.evaluator().evaluate, job.layer)

  def _finish(self, job: Job, result: Result, source: JobSource) -> None:
    record = self._recorder.record(job, result)
    source.take(record)
    for follower in self._following.pop(job.key, ()):
      self._finish(follower, record, source)

  def _next_result(self) -> tuple[str, Result]:
    """Waits for a result. After a Ctrl-C there is none: a second one may have spoilt what ran in this process."""
    raise_if_interrupted()
    result = self._executor.next_result()
    raise_if_interrupted()
    return result
