"""The jobs of a search, and their two sources.

A job is one layer to evaluate in one stage of the search. `FixedLayers` supplies layers that are known before the stage
begins: the references, and the candidates to re-rank. `Candidates` proposes candidates one by one. With one worker it
proposes each when the worker is free, so that a proposal uses all results recorded so far. With many it proposes some
ahead while all are busy, so that none waits.
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Protocol

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.record import EvaluationOutcome
from search.journal.record import Record
from search.selection.proposal import Proposal
from search.selection.proposer import Proposer


class Evaluator(Protocol):
  """The interface of the evaluation of layers; `search.evaluation.Evaluation` implements it, and users can do so.

  Objects are handed to worker processes, so they must be picklable. A dataclass identifies the search by its fields,
  and a search that is resumed with another one is refused. If it has an attribute `task`, the report names that task's
  numbers of steps and of test images, `task.steps` and `len(task.load()['test'][1])`.
  """

  def check(self) -> None:
    """Raises an error if the settings cannot work; it is called before the search begins."""

  def informed_by(self, records: Sequence[Record]) -> 'Evaluator':
    """Returns an evaluation that compares the next candidate with earlier ones, as successive halving does.

    Args:
      records: the search's records of all stages, in the order of the journal.
    """

  def with_seed(self, seed: int) -> 'Evaluator':
    """Returns an evaluation that trains from other initial weights and in another order.

    Args:
      seed: the number of the training; 0 is this evaluation itself.
    """

  def evaluate(self, spec: LayerGraph | str) -> EvaluationOutcome:
    """Evaluates a layer and returns the outcome, as a `search.Outcome`.

    Args:
      spec: a layer graph, or the name of a known layer such as 'bn_relu'. `evonorm_tf.get_norm_act` takes either.

    Returns:
      `search.Outcome('accepted', scores={...})`, with scores in [0, 1], of the same networks each time; or an outcome
      'rejected: own test' or 'failed' with the reason as `detail`. An exception ends the search.
    """


@dataclasses.dataclass(frozen=True)
class Job:
  """One layer that one stage of a search must record, by evaluating it or by copying an earlier outcome.

  Attributes:
    stage: 'reference', 'evolution' or 'reranking'.
    layer: the layer graph of a candidate, or the name of a known layer, such as 'bn_relu'.
    name: the layer's name in the journal, such as 'candidate 17' or 'bn_relu'.
    index: the number of a candidate, from 0 in the order of proposal; None (default) for a known layer.
    parent: the index of the candidate that this one was mutated from. None (default) for a random graph, a candidate
      of a warm start, a known layer, and every layer in the re-ranking.
    filtered: the number of graphs that were drawn and rejected without an evaluation before this candidate was found,
      by reason, for instance `{'output does not depend on x': 3}`; empty by default.
    same_as: the index of an earlier candidate that is the same layer; this one copies its outcome. None
      (default) if there is no such candidate.
    origin: for a candidate that the search begins with (see `search.selection.warm_start`), a known layer's name or
      'candidate 17 of another search'; None (default) for every other layer.
    outcome: the record whose outcome is copied: that of candidate `same_as`, or of an earlier search. None (default)
      if the layer has to be evaluated, or if candidate `same_as` has no record yet.
    seed: the number of the training, from 0, where the stage trains each layer with several seeds; None (default) where
      it trains it once.
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
  seed: int | None = None

  @property
  def key(self) -> str:
    """The job's name in the executor and in the journal's notes: 'evolution 17', 'reranking bn_relu, seed 1'."""
    seed = f', seed {self.seed}' if self.seed else ''
    return f'{self.stage} {self.index if self.stage == EVOLUTION else self.name}{seed}'

  @property
  def key_of_original(self) -> str | None:
    """The key of the job of candidate `same_as`; None if there is no such candidate."""
    return None if self.same_as is None else f'{self.stage} {self.same_as}'

  def record(self, outcome: EvaluationOutcome, seconds: Mapping[str, float], elapsed: float) -> Record:
    """Returns the record of this job for the journal.

    Args:
      outcome: the outcome of the job's evaluation, or the record whose outcome it copies.
      seconds: the time of the evaluation in seconds, by activity, such as 'train'; empty for a copy.
      elapsed: the run time of the search so far, in seconds.
    """
    return Record.of_outcome(
        outcome, stage=self.stage, graph=self.layer if isinstance(self.layer, LayerGraph) else None, index=self.index,
        name=self.name, parent=self.parent, filtered=self.filtered, same_as=self.same_as, origin=self.origin,
        seed=self.seed, seconds=seconds, elapsed=elapsed)


class JobSource(Protocol):
  """The interface of a source of jobs, which supplies the jobs of one stage.

  `FixedLayers` and `Candidates` implement it.

  Attributes:
    stage: 'reference', 'evolution' or 'reranking'.
  """
  stage: str

  def has_more(self) -> bool:
    """Returns whether another job may be begun now."""

  def seconds_left(self) -> float:
    """Returns the number of seconds in which jobs may still be begun; infinity if there is no time limit."""

  def prepare(self, ahead: int) -> bool:
    """Does a part of the work for jobs to come, if there is any, such as the proposal of a candidate.

    Args:
      ahead: the number of jobs that may be prepared.

    Returns:
      Whether something was done.
    """

  def next_job(self) -> Job:
    """Returns the next job. Call it only if `has_more` returns True.

    Raises:
      ArgumentError: if no further job can be made; the source must not be asked again.
    """

  def evaluator(self, job: Job) -> Evaluator:
    """Returns the evaluation for a job that begins now."""

  def take(self, record: Record) -> None:
    """Receives the record of one of the source's jobs, so that later jobs can build on it."""


class FixedLayers:
  """A source of jobs for layers that are known before the stage begins; layers already on record are skipped.

  Args:
    stage: 'reference' or 'reranking'.
    layers: the layers in the order of evaluation: names of known layers, and records of candidates.
    evaluation: evaluates every layer of the stage.
    records: the journal's records of all stages.
    seeds: the number of trainings of each layer, with other initial weights and in another order (default 1). All
      layers are trained with the first seed before any is with the second.

  Attributes:
    count: the number of trainings, those on record included, also of other layers.
  """

  def __init__(self, stage: str, layers: Sequence[Record | str], evaluation: Evaluator, records: Sequence[Record],
               seeds: int = 1):
    self.stage = stage
    self._evaluation = evaluation
    distinct = {job.name: job for job in map(self._job, layers)}.values()
    seeded = (dataclasses.replace(job, seed=seed) for seed in range(seeds) for job in distinct)
    jobs = distinct if seeds == 1 else seeded
    done = {(r.name, r.seed or 0) for r in records_lib.of_stage(records, stage)}
    self._waiting = collections.deque(job for job in jobs if (job.name, job.seed or 0) not in done)
    self.count = len(done) + len(self._waiting)

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

  def prepare(self, ahead: int) -> bool:
    """Returns False: nothing has to be prepared."""
    return False

  def next_job(self) -> Job:
    """Returns the job of the next layer."""
    return self._waiting.popleft()

  def evaluator(self, job: Job) -> Evaluator:
    """Returns the stage's evaluation, which is the same for every layer, with the job's seed."""
    return self._evaluation.with_seed(job.seed or 0)

  def take(self, record: Record) -> None:
    """Does nothing: no later job depends on the record."""


class Candidates:
  """A source of jobs for the candidates of the evolution, which it proposes one by one.

  When a search is resumed, the proposer first receives the candidates already on record, in the journal's order.

  Args:
    proposer: proposes the candidates; it must not have proposed or received any candidate yet.
    evaluation: evaluates the candidates.
    count: the number of candidates, including those on record.
    records: the journal's list of records of all stages, which grows during the search.
    seconds_left: returns the number of seconds in which candidates may still be begun.
  """
  stage = EVOLUTION

  def __init__(self, proposer: Proposer, evaluation: Evaluator, count: int, records: Sequence[Record],
               seconds_left: Callable[[], float]):
    self._proposer, self._evaluation, self._records = proposer, evaluation, records
    self._done = {r.index: r for r in records_lib.of_stage(records, EVOLUTION)}
    self._waiting = collections.deque(i for i in range(count) if i not in self._done)
    self._proposed: collections.deque[Proposal] = collections.deque()  # ahead
    self._failure: ArgumentError | None = None  # of a proposal ahead
    self.seconds_left = seconds_left
    proposer.replay(self._done.values())

  def has_more(self) -> bool:
    """Returns whether a candidate is left to propose, and time to begin it."""
    return bool(self._proposed or self._waiting or self._failure) and self.seconds_left() >= 0

  def prepare(self, ahead: int) -> bool:
    """Proposes a candidate ahead, unless there are `ahead` already, or none is left to propose, or no time."""
    if len(self._proposed) >= ahead or self._failure or not self._waiting or self.seconds_left() < 0:
      return False
    try:
      self._proposed.append(self._proposer.propose(self._waiting.popleft()))
    except ArgumentError as e:
      self._failure = e
    return True

  def next_job(self) -> Job:
    """Returns the job of a candidate that was proposed ahead, or is proposed now.

    Raises:
      ArgumentError: if none can be proposed, as where no new graph is left.
    """
    if self._failure and not self._proposed:
      raise self._failure
    p = self._proposed.popleft() if self._proposed else self._proposer.propose(self._waiting.popleft())
    outcome = p.earlier if p.same_as is None else self._done.get(p.same_as)
    return Job(EVOLUTION, p.graph, f'candidate {p.index}', p.index, p.parent, p.filtered, p.same_as, p.origin, outcome)

  def evaluator(self, job: Job) -> Evaluator:
    """Returns the evaluation that compares the next candidate with all records so far."""
    return self._evaluation.informed_by(self._records)

  def take(self, record: Record) -> None:
    """Receives the record of a candidate, which joins the population if it was accepted."""
    self._done[record.index] = record
    self._proposer.take(record)
