"""The root function of a search, `run_search`: references, evolution and re-ranking, in this order (paper section 6).

The references are known layers, evaluated for comparison. The re-ranking evaluates the best candidates on a larger
task. The journal in `model_dir` holds the whole state of a search, so the same call resumes a search that has stopped.
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
from rich.text import Text

from evonorm_tf import termination
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.layers.norm_act import NORM_ACTS
from evonorm_tf.output.model_dir import replacing
from search.equivalence.equivalents import AFFINE
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
  """The settings of the re-ranking: the best candidates and the references on a larger task (paper section 6).

  Attributes:
    evaluation: the evaluation of these layers, for instance with more training steps, and on the test images too.
    top: the number of candidates to re-rank, those with the best mean scores in the evolution (default 10, the
      paper's).
    best: the number of candidates in the report (default 3, the paper's).
    seeds: the number of trainings of each layer, on the same images from other initial weights and in another order
      (default 3). The layers are ranked by the mean.

  Raises:
    ArgumentError: if `seeds` is below 1.
  """
  evaluation: Evaluation
  top: int = 10
  best: int = 3
  seeds: int = 3

  def __post_init__(self):
    if self.seeds < 1:
      raise ArgumentError(f'`seeds` must be at least 1, received {self.seeds}.')


@wrap_system_errors()
def run_search(model_dir: str, evaluation: Evaluation, reranking: Reranking, strategy: Strategy, space: SearchSpace,
               window: int, candidates: int, references: Sequence[str] = (), seed: int = 0, workers: int = 1,
               executor: Callable[[], Executor] | None = None, retries: int = 2, max_minutes: float | None = None,
               initial: str = RANDOM, equivalents: str = REDRAW, same_layer: str = AFFINE,
               operative_config: Callable[[], str] = str) -> list[Record]:
  """Runs a search, or resumes one, and writes its report; gin files configure this function.

  Args:
    model_dir: the folder for the journal, the TensorBoard events and the report; it is created if necessary. If it
      holds a search, that search is resumed. All arguments must then be the same, except for `candidates`, `workers`,
      `executor`, `retries`, `max_minutes` and `operative_config`.
    evaluation: evaluates candidates and references on the proxy task.
    reranking: the settings of the re-ranking at the end.
    strategy: draws the graph of the next candidate, for instance a `search.selection.TournamentEvolution`.
    space: the search space.
    window: the size of the population, which consists of the most recent accepted candidates.
    candidates: the number of candidates, including those of `initial`. Graphs that are drawn and rejected without an
      evaluation do not count.
    references: the names of known layers, such as 'bn_relu', to evaluate for comparison (default: none).
    seed: the seed of the proposals (default 0). With one worker and no time limit, the arguments determine the search.
    workers: the number of evaluations at a time (default 1). 1 evaluates in this process, n > 1 in n worker processes.
    executor: makes the executor of the evaluations, for instance `search.execution.ray_executor.RayExecutor`; `workers`
      is then ignored. None (default) for an executor of this machine with `workers` workers.
    retries: how many times a candidate that killed its worker is evaluated again before it is recorded as failed
      (default 2). Where evaluations run in this process, such a candidate ends the search, and resuming the search
      evaluates it again.
    max_minutes: the time in minutes for the evolution, that of earlier runs of the same search included and that of
      references and re-ranking not, after which no new candidate is begun and the re-ranking follows; None (default)
      for no limit.
    initial: the source of the first candidates: 'random' for random graphs (default, as in the paper), 'known' for the
      known layers that fit into the search space, or the `model_dir` of an earlier search for its best candidates. See
      `search.selection.warm_start`.
    equivalents: the treatment of a candidate that is the same layer as an earlier one. 'redraw' (default) draws another
      graph in its place, so that all candidates differ. 'reuse' copies the earlier candidate's outcome, and the copy
      joins the population, as in the paper, where training both gives the same score. 'evaluate' evaluates the
      candidate like any other, as the paper does.
    same_layer: what counts as one layer. 'affine' (default): layers that training cannot tell apart, since they differ
      by a factor and a term in each channel, which γ and β take up. 'exact': layers that compute the same function
      from any v0 and v1. See `search.equivalence.equivalents`.
    operative_config: returns the text of the gin configuration, to be written to `model_dir`/operative_config.gin and
      to TensorBoard (default: an empty text).

  Returns:
    All records of the journal, in the order in which they were written.

  Raises:
    KeyboardInterrupt: after Ctrl-C; all results so far are in the journal.
    ModelDirError: if `model_dir` holds a search with other arguments or a damaged journal, is removed during the
      search, another process is running the search, or `initial` names a folder without a valid search.
    ArgumentError: for invalid arguments, before anything is evaluated; or later, if a million draws give no new graph,
      as in a search space that is exhausted.
    WorkersCannotStart: if workers die at their start, before they reach a candidate.
    MachineError, TensorFlowError: if the operating system or TensorFlow fails outside an evaluation.
  """
  begun_with = initial_candidates(initial, space, evaluation, window, seed)
  _check(candidates, references, begun_with)
  proposer = Proposer(strategy, space, Population(window), begun_with, equivalents, seed, same_layer)
  # All arguments that the results depend on. A search may be resumed with more candidates, or with other workers.
  identity = identity_of(evaluation=evaluation, reranking=reranking, strategy=strategy, space=space, window=window,
                         references=tuple(references), seed=seed, equivalents=equivalents, same_layer=same_layer,
                         initial=identity_of_warm_start(initial, begun_with))
  phases = {REFERENCE: len(references), EVOLUTION: candidates,
            RERANKING: (reranking.top + len(references)) * reranking.seeds}
  with interrupts_noted():
    with contextlib.ExitStack() as stack:
      journal = stack.enter_context(Journal(pathlib.Path(model_dir) / JOURNAL, identity))
      stack.enter_context(termination.before_end(journal.close))  # or a candidate in this process would have crashed it
      evaluation.check()
      reranking.evaluation.check()
      summaries = stack.enter_context(contextlib.closing(
          Summaries(pathlib.Path(model_dir) / 'tensorboard', written=len(journal.records))))
      _write_config(operative_config(), model_dir, summaries)
      started = stack.enter_context(contextlib.closing(executor() if executor else make_executor(workers)))
      progress = stack.enter_context(Progress(phases))
      recorder = _Recorder(journal, summaries, progress)
      scheduler = Scheduler(Retrying(started, retries, journal), recorder)
      scheduler.run(FixedLayers(REFERENCE, references, evaluation, journal.records))
      scheduler.run(Candidates(proposer, evaluation, candidates, journal.records, recorder.seconds_left(max_minutes)))
      finalists = records_lib.finalists(journal.records, reranking.top)
      layers = [*finalists, *references]
      progress.expect(RERANKING, len(layers) * reranking.seeds)
      scheduler.run(FixedLayers(RERANKING, layers, reranking.evaluation, journal.records, reranking.seeds))
      journal.check_is_there()
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
  """Writes results to the journal first, then to TensorBoard and the console.

  Args:
    journal: the journal of the search.
    summaries: writes the TensorBoard events.
    progress: shows the progress on the console.
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
    """Returns a function that returns the seconds left of `max_minutes` for the evolution, which begins or goes on now.

    Infinity if `max_minutes` is None. What the evolution took in earlier runs is the time to each of its records from
    the record before.
    """
    ends = [0., *(r.elapsed for r in self._journal.records)]
    earlier = sum(end - begin for begin, end, record in zip(ends, ends[1:], self._journal.records)
                  if record.stage == EVOLUTION)
    end = math.inf if max_minutes is None else self.elapsed - earlier + 60 * max_minutes
    return lambda: end - self.elapsed

  def begin(self, stage: str, seconds_left: float) -> None:
    """Shows that a stage begins, in which jobs may be begun for another `seconds_left` seconds."""
    self._progress.update(stage, self._journal.records, seconds_allowed=seconds_left)

  def record(self, job: Job, result: Result) -> Record:
    """Writes the result of a job to the journal, shows it, and returns its record; a dead worker counts as failed."""
    outcome = Outcome(FAILED, str(result)) if isinstance(result, WorkerDied) else result
    seconds = {} if isinstance(outcome, Record) else outcome.seconds  # copying an outcome takes no time
    record = job.record(outcome, seconds, round(self.elapsed, 2))
    self._journal.append(record)
    self._summaries.write(self._journal.records)
    self._progress.update(job.stage, self._journal.records)
    return record


def _write_config(config: str, model_dir: str, summaries: Summaries) -> None:
  """Writes the configuration's text to `model_dir`/operative_config.gin and to TensorBoard."""
  with replacing(pathlib.Path(model_dir) / 'operative_config.gin') as file:
    file.write_text(config, encoding='utf-8')
  summaries.write_text('operative_config', textwrap.indent(config, '    '))  # Markdown leaves indented text as it is


def _report(records: Sequence[Record], model_dir: str, reranking: Reranking) -> None:
  """Writes the report and prints its table."""
  task = reranking.evaluation.task
  test_images = len(task.load()['test'][1])
  console = Console()
  console.print(report.final_table(records, reranking.best, test_images, task.steps))
  path = report.write_report(records, model_dir, reranking.best, test_images, task.steps)
  console.print(Text(f'Report: {path}'), soft_wrap=True)
