"""The search: references, evolution and re-ranking, each handed to the scheduler (paper section 6).

The journal holds all state of a search: the same call on the same `model_dir` goes on where it stopped.
"""

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
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.layers.norm_act import NORM_ACTS
from search.equivalence.equivalents import REDRAW
from search.evaluation.evaluation import Evaluation
from search.evaluation.evaluation import Outcome
from search.execution.deferred_interrupts import interrupts_noted
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
from search.journal.record import Record
from search.journal.saved_search import JOURNAL
from search.reporting import report
from search.reporting.progress import Progress
from search.reporting.summaries import Summaries
from search.scheduler import Candidates
from search.scheduler import FixedLayers
from search.scheduler import Job
from search.scheduler import Result
from search.scheduler import Scheduler
from search.selection.population import Population
from search.selection.proposal import Strategy
from search.selection.proposer import Proposer
from search.selection.warm_start import identity_of_warm_start
from search.selection.warm_start import initial_candidates
from search.selection.warm_start import InitialCandidate
from search.selection.warm_start import RANDOM


@dataclasses.dataclass(frozen=True)
class Reranking:
  """The last stage: the best candidates and the references on a larger task.

  Attributes:
    evaluation: how they are judged, for instance with a longer schedule, and on the test images.
    top: the number of candidates, chosen by their mean score in the search (the paper's ten).
    best: the number of candidates in the report (the paper's three).
  """
  evaluation: Evaluation
  top: int = 10
  best: int = 3


@wrap_system_errors()
def run_search(model_dir: str, evaluation: Evaluation, reranking: Reranking, strategy: Strategy, space: SearchSpace,
               window: int, candidates: int, references: Sequence[str] = (), seed: int = 0, workers: int = 1,
               executor: Callable[[], Executor] | None = None, retries: int = 2, max_minutes: float | None = None,
               initial: str = RANDOM, equivalents: str = REDRAW, operative_config: Callable[[], str] = str
               ) -> list[Record]:
  """Starts a search, or goes on with one, and writes its report; the root of the configuration.

  Args:
    model_dir: the folder of the journal, the TensorBoard events and the report.
    evaluation: how a candidate is judged.
    reranking: how the best candidates and the references are compared at the end.
    strategy: how the next candidate is drawn, such as `search.selection.TournamentEvolution`.
    space: the search space.
    window: the number of accepted candidates that are alive at a time: the most recent ones.
    candidates: the number of candidates, including those of `initial`; draws that are rejected without an evaluation do
      not count.
    references: names of known layers that are judged like candidates, for comparison.
    seed: of the proposals. With one worker the whole search follows from its arguments.
    workers: 1 for this process, n for n worker processes.
    executor: starts other workers instead, such as `search.execution.ray_executor.RayExecutor`; `workers` is then
      ignored.
    retries: how many times a candidate that killed its worker is tried again before it is recorded as failed; also a
      candidate that ended the search's own process, once the search goes on.
    max_minutes: after this run time no new candidate is begun, and the re-ranking follows; None for no limit.
    initial: what the search begins with: 'random' graphs (the paper), the 'known' layers of the search space, or the
      best candidates of an earlier search, given by its `model_dir`. See `search.selection.warm_start`.
    equivalents: what happens to a candidate that computes the same function as an earlier one. 'redraw': another one is
      drawn in its place, so that all candidates differ. 'reuse': it takes the earlier one's outcome and its own place
      in the population, as in the paper, whose training gives both the same score. 'evaluate': it is evaluated, too.
    operative_config: returns the configuration's text, which is written to `model_dir` and TensorBoard.

  Returns:
    All records of the journal.

  Raises:
    KeyboardInterrupt: after a Ctrl-C; what was evaluated before is on record.
    ModelDirError: if `model_dir` holds another search or a damaged one, or another process is running it.
    ArgumentError: for arguments that cannot work, before anything is evaluated.
    WorkersCannotStart: if workers die and no candidate is to blame.
  """
  begun_with = initial_candidates(initial, space, evaluation, window, seed)
  _check(candidates, references, begun_with)
  proposer = Proposer(strategy, space, Population(window), begun_with, equivalents, seed)
  # All that the results depend on. A search may go on with more candidates, or with other workers.
  identity = identity_of(evaluation=evaluation, reranking=reranking, strategy=strategy, space=space, window=window,
                         references=tuple(references), seed=seed, equivalents=equivalents,
                         initial=identity_of_warm_start(initial, begun_with))
  phases = {REFERENCE: len(references), EVOLUTION: candidates, RERANKING: reranking.top + len(references)}
  with interrupts_noted():
    with contextlib.ExitStack() as stack:
      journal = stack.enter_context(Journal(pathlib.Path(model_dir) / JOURNAL, identity))
      evaluation.check()
      reranking.evaluation.check()
      summaries = stack.enter_context(contextlib.closing(
          Summaries(pathlib.Path(model_dir) / 'tensorboard', written=len(journal.records))))
      _write_config(operative_config(), model_dir, summaries)
      started = stack.enter_context(contextlib.closing(executor() if executor else make_executor(workers)))
      recorder = _Recorder(journal, summaries, stack.enter_context(Progress(phases)))
      scheduler = Scheduler(Retrying(started, retries, journal), recorder)
      scheduler.run(FixedLayers(REFERENCE, references, evaluation, journal.records))
      scheduler.run(Candidates(proposer, evaluation, candidates, journal.records, recorder.seconds_left(max_minutes)))
      finalists = records_lib.finalists(journal.records, reranking.top)
      scheduler.run(FixedLayers(RERANKING, [*finalists, *references], reranking.evaluation, journal.records))
    _report(journal.records, model_dir, reranking)
  return journal.records


def _check(candidates: int, references: Sequence[str], begun_with: Sequence[InitialCandidate]) -> None:
  if candidates < 1:
    raise ArgumentError(f'`candidates` must be at least 1, received {candidates}.')
  if candidates < len(begun_with):
    raise ArgumentError(f'`candidates` must be at least the {len(begun_with)} that the search begins with by '
                        f'`initial`, received {candidates}.')
  unknown = sorted(set(references) - set(NORM_ACTS))
  if unknown:
    raise ArgumentError(f'`references` must be some of {sorted(NORM_ACTS)}, received {unknown}.')


class _Recorder:
  """Puts results on record: in the journal first, then in TensorBoard and on the console.

  Args:
    journal: the journal of the search.
    summaries: what TensorBoard shows.
    progress: what the console shows.
  """

  def __init__(self, journal: Journal, summaries: Summaries, progress: Progress):
    self._journal = journal
    self._summaries = summaries
    self._progress = progress
    self._earlier = journal.records[-1].elapsed if journal.records else 0.
    self._start = time.monotonic()

  @property
  def elapsed(self) -> float:
    """The run time so far in seconds, including earlier runs of the same search."""
    return self._earlier + time.monotonic() - self._start

  def seconds_left(self, max_minutes: float | None) -> Callable[[], float]:
    """Returns a function that returns the time left until a limit on the run time; None for no limit."""
    end = math.inf if max_minutes is None else 60 * max_minutes
    return lambda: end - self.elapsed

  def begin(self, stage: str, seconds_left: float) -> None:
    """Shows that a stage begins."""
    self._progress.update(stage, self._journal.records, seconds_allowed=seconds_left)

  def record(self, job: Job, result: Result) -> Record:
    """Puts the result of a job on record and shows it."""
    outcome = Outcome(FAILED, str(result)) if isinstance(result, WorkerDied) else result
    seconds = {} if isinstance(outcome, Record) else outcome.seconds  # to take over an outcome takes no time
    record = job.record(outcome, seconds, round(self.elapsed, 2))
    self._journal.append(record)
    self._summaries.write(self._journal.records)
    self._progress.update(job.stage, self._journal.records)
    return record


def _write_config(config: str, model_dir: str, summaries: Summaries) -> None:
  """Keeps the configuration's text beside the journal and in TensorBoard."""
  (pathlib.Path(model_dir) / 'operative_config.gin').write_text(config)
  summaries.write_text('operative_config', textwrap.indent(config, '    '))  # indented, Markdown leaves it alone


def _report(records: Sequence[Record], model_dir: str, reranking: Reranking) -> None:
  """Writes the report and prints its table."""
  task = reranking.evaluation.task
  test_images = len(task.load()['test'][1])
  console = Console()
  console.print(report.final_table(records, reranking.best, test_images, task.steps))
  path = report.write_report(records, model_dir, reranking.best, test_images, task.steps)
  console.print(f'Report: {path}', soft_wrap=True)
