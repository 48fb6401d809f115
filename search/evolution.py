"""The search: the loop that joins proposal, evaluation and selection (paper section 6).

Everything a search knows stands in its journal: the same call on the same `model_dir` goes on where it stopped.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
import math
import pathlib
import textwrap
import time

from rich.console import Console

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import NORM_ACTS
from search.equivalence.equivalents import REDRAW
from search.evaluation.evaluation import Evaluation
from search.evaluation.evaluation import Outcome
from search.execution.deferred_interrupts import interrupts_noted
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.executors import Executor
from search.execution.executors import make_executor
from search.execution.executors import WorkerDied
from search.execution.retries import Retrying
from search.graphs.random_graph import SearchSpace
from search.journal import records as records_lib
from search.journal.identity import identity_of
from search.journal.journal import Journal
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import FAILED
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record_checks import check_records
from search.journal.saved_search import JOURNAL
from search.reporting import report
from search.reporting.progress import Progress
from search.reporting.summaries import Summaries
from search.selection.population import Population
from search.selection.proposal import RandomSearch
from search.selection.proposal import TournamentEvolution
from search.selection.proposer import Proposer
from search.selection.warm_start import identity_of_warm_start
from search.selection.warm_start import initial_candidates
from search.selection.warm_start import RANDOM


@dataclasses.dataclass(frozen=True)
class Reranking:
  """The last stage: the best candidates and the references on a larger task.

  Attributes:
    evaluation: how they are judged, for instance with a longer schedule, and on the test images.
    top: how many candidates, by their mean score in the search (the paper's ten).
    best: how many of them are reported (the paper's three).
  """
  evaluation: Evaluation
  top: int = 10
  best: int = 3


def run_search(model_dir: str, evaluation: Evaluation, reranking: Reranking,
               strategy: TournamentEvolution | RandomSearch, space: SearchSpace, window: int, candidates: int,
               references: Sequence[str] = (), seed: int = 0, workers: int = 1,
               executor: Callable[[], Executor] | None = None, retries: int = 2, max_minutes: float | None = None,
               initial: str = RANDOM, equivalents: str = REDRAW,
               operative_config: Callable[[], str] = str) -> list[dict]:
  """Searches, or goes on with a search, and writes its report; the root of the configuration.

  Args:
    model_dir: where journal, TensorBoard events and report are kept.
    evaluation: how a candidate is judged.
    reranking: how the best of them and the references are compared at the end.
    strategy: what is proposed next.
    space: the search space.
    window: how many accepted candidates are alive at a time: the most recent ones.
    candidates: how many candidates there are, those of `initial` among them; draws that are rejected without an
      evaluation do not count.
    references: names of known layers that are judged like candidates, for comparison.
    seed: of the proposals. With one worker the whole search follows from its arguments.
    workers: 1 for this process, n for n worker processes.
    executor: what starts the workers instead, such as `search.execution.ray_executor.RayExecutor`; `workers` does not count then.
    retries: how many times a candidate that killed its worker is tried again, before it is recorded as failed; a
      candidate that ends this process too, when the search goes on.
    max_minutes: after this run time no new candidate is begun, and the re-ranking follows; None for no limit.
    initial: what comes first: 'random' graphs (the paper), the 'known' layers of the search space, or the best
      candidates of an earlier search, given by its `model_dir`: `search.selection.warm_start`.
    equivalents: what becomes of a candidate that computes the same function as an earlier one. 'redraw': another one is
      drawn in its place, so that all candidates differ. 'reuse': it takes the earlier one's outcome and its own place
      in the population, as in the paper, whose training gives both the same score. 'evaluate': it is evaluated, too.
    operative_config: returns the configuration's text; it is written to `model_dir` and TensorBoard.

  Returns:
    All records of the journal, as `search.journal.records` describes them.

  Raises:
    KeyboardInterrupt: after a Ctrl-C; what was evaluated before is on record.
    ModelDirError: if `model_dir` holds another search or a damaged one, or another process is running it.
    ValueError: for arguments that cannot work, before anything is evaluated.
    WorkersCannotStart: if workers die and no candidate is to blame.
  """
  begun_with = initial_candidates(initial, space, evaluation, window, seed)
  _check(candidates, references, begun_with)
  proposer = Proposer(strategy, space, Population(window), begun_with, equivalents, seed)
  # What a search is identified by; it may go on with more candidates, or other workers.
  identity = identity_of(evaluation=evaluation, reranking=reranking, strategy=strategy, space=space, window=window,
                         references=tuple(references), seed=seed, equivalents=equivalents,
                         initial=identity_of_warm_start(initial, begun_with))
  phases = {REFERENCE: len(references), EVOLUTION: candidates, RERANKING: reranking.top + len(references)}
  with interrupts_noted():
    with contextlib.ExitStack() as stack:
      path = pathlib.Path(model_dir) / JOURNAL
      journal = stack.enter_context(Journal(path, identity))
      check_records(path, journal.records)
      evaluation.check()
      reranking.evaluation.check()
      summaries = stack.enter_context(contextlib.closing(
          Summaries(pathlib.Path(model_dir) / 'tensorboard', written=len(journal.records))))
      _write_config(operative_config(), model_dir, summaries)
      started = stack.enter_context(contextlib.closing(executor() if executor else make_executor(workers)))
      search = _Search(journal, Retrying(started, retries, journal), summaries, stack.enter_context(Progress(phases)))
      search.evaluate_each(REFERENCE, {name: (None, name) for name in references}, evaluation)
      search.evolve(proposer, evaluation, candidates, max_minutes)
      search.evaluate_each(RERANKING, _finalists(journal.records, reranking.top, references), reranking.evaluation)
    _report(journal.records, model_dir, reranking)
  return journal.records


def _check(candidates: int, references: Sequence[str], begun_with: Sequence) -> None:
  if candidates < 1:
    raise ArgumentError(f'`candidates` must be at least 1, received {candidates}.')
  if candidates < len(begun_with):
    raise ArgumentError(f'`candidates` must be at least the {len(begun_with)} that the search begins with by `initial`, '
                        f'received {candidates}.')
  unknown = sorted(set(references) - set(NORM_ACTS))
  if unknown:
    raise ArgumentError(f'`references` must be some of {sorted(NORM_ACTS)}, received {unknown}.')


class _Search:
  """A search in progress: jobs go to the executor, what comes back goes to the journal.

  Args:
    journal: where the records go.
    executor: where the evaluations run.
    summaries: told of every record.
    progress: told of every record.
  """

  def __init__(self, journal: Journal, executor: Retrying, summaries: Summaries, progress: Progress):
    self._journal = journal
    self._executor = executor
    self._summaries = summaries
    self._progress = progress
    self._earlier = journal.records[-1]['elapsed'] if journal.records else 0.
    self._start = time.monotonic()

  @property
  def elapsed(self) -> float:
    """Run time so far in seconds, earlier runs of the same search included."""
    return self._earlier + time.monotonic() - self._start

  def evolve(self, proposer: Proposer, evaluation: Evaluation, candidates: int, max_minutes: float | None) -> None:
    """Proposes and evaluates until all candidates are done; takes up what the journal holds."""
    done = {r['index']: r for r in records_lib.of_stage(self._journal.records, EVOLUTION)}
    proposer.replay(done.values())
    waiting = [i for i in reversed(range(candidates)) if i not in done]
    # Proposals, by key; by index, those that wait for its outcome.
    running, followers = {}, collections.defaultdict(list)
    end = math.inf if max_minutes is None else 60 * max_minutes
    self._progress.update(EVOLUTION, self._journal.records, seconds_allowed=end - self.elapsed)

    def finish(proposal, outcome):
      done[proposal.index] = self._record(EVOLUTION, outcome, **proposer.fields(proposal))
      proposer.take(done[proposal.index])

    while waiting or running:
      if self.elapsed > end:
        waiting.clear()
      while waiting and self._executor.free:
        proposal = proposer.propose(waiting.pop())
        earlier = proposal.same_as
        if _key(earlier) in running:
          followers[earlier].append(proposal)
        elif earlier is not None or proposer.outcome(proposal):
          finish(proposal, _outcome_of(done[earlier] if earlier is not None else proposer.outcome(proposal)))
        else:
          running[_key(proposal.index)] = proposal
          informed = evaluation.informed_by(self._journal.records)
          self._executor.submit(_key(proposal.index), informed.evaluate, proposal.graph)
      if running:
        key, outcome = self._next_result()
        proposal = running.pop(key)
        finish(proposal, outcome)
        for follower in followers.pop(proposal.index, ()):
          finish(follower, _outcome_of(done[proposal.index]))

  def evaluate_each(self, stage: str, jobs: dict[str, tuple], evaluation: Evaluation) -> None:
    """Evaluates layers that stand fixed, by name: (index of the candidate or None, graph or known name)."""
    done = {r['name'] for r in records_lib.of_stage(self._journal.records, stage)}
    waiting = [name for name in reversed(jobs) if name not in done]
    running = {}  # names, by key
    self._progress.update(stage, self._journal.records)
    while waiting or running:
      while waiting and self._executor.free:
        key = f'{stage} {waiting[-1]}'
        running[key] = waiting.pop()
        self._executor.submit(key, evaluation.evaluate, jobs[running[key]][1])
      key, outcome = self._next_result()
      name = running.pop(key)
      index, spec = jobs[name]
      self._record(stage, outcome, name=name, index=index, graph=None if index is None else spec.to_dict())

  def _next_result(self) -> tuple:
    """A result of the executor. After a Ctrl-C there is none: a second one may have spoilt what ran in this process."""
    raise_if_interrupted()
    result = self._executor.next_result()
    raise_if_interrupted()
    return result

  def _record(self, stage: str, outcome: Outcome | WorkerDied, **fields) -> dict:
    """Puts an outcome on record and shows it."""
    if isinstance(outcome, WorkerDied):
      outcome = Outcome(FAILED, str(outcome))
    record = {'stage': stage, **fields, **dataclasses.asdict(outcome), 'elapsed': round(self.elapsed, 2)}
    self._journal.append(record)
    self._summaries.write(self._journal.records)
    self._progress.update(stage, self._journal.records)
    return record


def _key(index: int | None) -> str:
  """The name of a candidate's task."""
  return f'{EVOLUTION} {index}'


def _outcome_of(record: dict) -> Outcome:
  """The outcome on record, as it is for a candidate that takes it over: in no time."""
  fields = {field.name: record[field.name] for field in dataclasses.fields(Outcome) if field.name in record}
  return Outcome(**{**fields, 'seconds': {}})


def _finalists(records: Sequence[dict], top: int, references: Sequence[str]) -> dict[str, tuple]:
  """The best candidates and the references, as jobs for `_Search.evaluate_each`."""
  best = {records_lib.name(r): (r['index'], records_lib.layer_graph(r)) for r in records_lib.finalists(records, top)}
  return {**best, **{name: (None, name) for name in references}}


def _write_config(config: str, model_dir: str, summaries: Summaries) -> None:
  """Keeps the configuration's text beside the journal and in TensorBoard."""
  (pathlib.Path(model_dir) / 'operative_config.gin').write_text(config)
  summaries.write_text('operative_config', textwrap.indent(config, '    '))  # indented, Markdown leaves it alone


def _report(records: Sequence[dict], model_dir: str, reranking: Reranking) -> None:
  """Writes the report and prints its table."""
  task = reranking.evaluation.task
  options = dict(found=reranking.best, test_images=len(task.load()['test'][1]), steps=task.steps)
  console = Console()
  console.print(report.final_table(records, **options))
  console.print(f'Report: {report.write_report(records, model_dir, **options)}', soft_wrap=True)
