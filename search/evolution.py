"""The root function of a search, `run_search`: references, evolution and re-ranking, in this order (as in the paper).

The references are known layers, evaluated for comparison. The re-ranking evaluates the best candidates on a larger
task. The journal in `model_dir` holds the whole state of a search, so the same call resumes a search that has stopped.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import pathlib
import textwrap

from rich.console import Console
from rich.text import Text

from evonorm_tf import checks
from evonorm_tf import termination
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.layers.norm_act import NORM_ACTS
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.object_folder import is_url
from search.equivalence.equivalents import AFFINE
from search.equivalence.equivalents import REDRAW
from search.evaluation.registered_forms import check_forms
from search.execution.deferred_interrupts import interrupts_noted
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.executors import Executor
from search.execution.executors import make_executor
from search.execution.retries import Retrying
from search.graphs.random_graph import SearchSpace
from search.jobs import Candidates
from search.jobs import Evaluator
from search.jobs import FixedLayers
from search.jobs import JobSource
from search.journal import records as records_lib
from search.journal.identity import identity_of
from search.journal.journal import Journal
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.journal.registrations import registrations
from search.journal.saved_search import JOURNAL
from search.journal.stored_folder import working_folder
from search.library.callbacks import AnyCallback
from search.library.callbacks import Callbacks
from search.library.opened_search import RunningSearch
from search.recorder import SearchRecorder
from search.reporting.progress import prefixed_console
from search.reporting.progress import Progress
from search.reporting.ranked_layers import final_table
from search.reporting.report import write_report
from search.reporting.summaries import Summaries
from search.scheduler import Scheduler
from search.scheduler import Track
from search.selection import warm_start
from search.selection.population import Population
from search.selection.proposal import Strategy
from search.selection.proposer import Proposer
from search.selection.warm_start import InitialCandidate
from search.selection.warm_start import RANDOM

_EQUIVALENCE = 'equivalence.cache'  # the file beside the journal that saves a resumed search computation


@dataclasses.dataclass(frozen=True)
class Reranking:
  """The settings of the re-ranking: the best candidates and the references on a larger task (as in the paper).

  Attributes:
    evaluation: the evaluation of these layers, for instance with more training steps, and on the test images too.
    top: the number of candidates to re-rank, those with the best mean scores in the evolution (default 10, the
      paper's).
    best: the number of candidates in the report (default 3, the paper's).
    seeds: the number of trainings of each layer, on the same images from other initial weights and in another order
      (default 3). The layers are ranked by the mean.
    min_difference: the least difference of two re-ranked candidates where training begins, from 0 for any (default, as
      in the paper) to below 1; see `search.graphs.start_values.difference_at_start`. With 0.1, forms of one layer that
      differ by ε or a small term take one place instead of several.

  Raises:
    ArgumentError: if `seeds` is below 1, `top` or `best` below 0, or `min_difference` out of [0, 1); or if `evaluation`
      has `tests` without a quality test, which would judge networks that are not trained.

  Example:
    >>> import search
    >>> task = search.ProxyTask((search.Architecture('resnet'),), steps=2000)
    >>> again = search.Reranking(search.Evaluation(task, test=True), top=5, seeds=3)
  """
  evaluation: Evaluator
  top: int = 10
  best: int = 3
  seeds: int = 3
  min_difference: float = 0.

  def __post_init__(self):
    checks.check_integers(1, seeds=self.seeds)
    checks.check_integers(0, top=self.top, best=self.best)
    checks.check_rate(min_difference=self.min_difference)
    if getattr(self.evaluation, 'tests', ()) and not getattr(self.evaluation, 'quality', None):
      raise ArgumentError('`evaluation` of a re-ranking without a quality test must have no `tests`, for which no '
                          f'network would be trained; received {self.evaluation.tests}. In a gin file bind '
                          '`reranking/evaluation.Evaluation.tests = ()`.')


@wrap_system_errors()
def run_search(model_dir: str, evaluation: Evaluator, reranking: Reranking, strategy: Strategy, space: SearchSpace,
               window: int, candidates: int, references: Sequence[str] = (), seed: int = 0, workers: int = 1,
               executor: Callable[[], Executor] | None = None, retries: int = 2, max_minutes: float | None = None,
               initial: str = RANDOM, equivalents: str = REDRAW, same_layer: str = AFFINE,
               operative_config: Callable[[], str] = str, callbacks: Sequence[AnyCallback] = ()) -> list[Record]:
  """Runs a search, or resumes one, and writes its report; gin files configure this function.

  Args:
    model_dir: the folder for the journal, the TensorBoard events and the report; it is created if necessary. It may be
      a URL in an object store, such as s3://bucket/run or gs://bucket/run; see `search.journal.stored_folder`. If it
      holds a search, that search is resumed, on whichever machine. All arguments must then be the same, except for
      `candidates`, `workers`, `executor`, `retries`, `max_minutes`, `operative_config` and `callbacks`.
    evaluation: evaluates candidates and references on the proxy task: a `search.evaluation.Evaluation`, or any other
      `search.Evaluator`.
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
      by a factor and a term in each channel, which γ and β take up. 'start': also those that begin as one and differ in
      how v0 and v1 change them. 'exact': layers that compute the same function from any v0 and v1. See
      `search.equivalence.equivalents`.
    operative_config: returns the text of the gin configuration, to be written to `model_dir`/operative_config.gin and
      to TensorBoard (default: an empty text).
    callbacks: `search.library.callbacks.Callback` objects, or functions of the search and a record, which are called
      with each record once it is written (default: none).

  Returns:
    All records of the journal, in the order in which they were written.

  Raises:
    KeyboardInterrupt: after Ctrl-C; all results so far are in the journal.
    ModelDirError: if `model_dir` holds a search with other arguments or a damaged journal, is removed during the
      search, another process is running the search, or `initial` names a folder without a valid search. That folder
      is not read again once its candidates are on record.
    ArgumentError: for invalid arguments, before anything is evaluated; or later, if a million draws give no new graph,
      as in a search space that is exhausted.
    WorkersCannotStart: if workers die at their start, before they reach a candidate.
    MachineError, TensorFlowError: if the operating system or TensorFlow fails outside an evaluation.
  """
  with interrupts_noted():
    with open_search(model_dir, evaluation, reranking, strategy, space, window, candidates, references, seed,
                     max_minutes, initial, equivalents, same_layer, operative_config, callbacks) as opened:
      with contextlib.closing(executor() if executor else make_executor(workers)) as started:
        Scheduler(Retrying(started, retries, opened.journal)).run([opened.track])
      if opened.track.failure:
        raise opened.track.failure
      opened.end()
    raise_if_interrupted()
  return list(opened.journal.records)


@dataclasses.dataclass(frozen=True)
class OpenedSearch:
  """A search whose journal is open and whose jobs wait for workers.

  Attributes:
    journal: the journal.
    track: the jobs.
    end: writes the report and tells the callbacks; to be called when the jobs are done.
  """
  journal: Journal
  track: Track
  end: Callable[[], None]


@contextlib.contextmanager
def open_search(model_dir: str, evaluation: Evaluator, reranking: Reranking, strategy: Strategy, space: SearchSpace,
                window: int, candidates: int, references: Sequence[str] = (), seed: int = 0,
                max_minutes: float | None = None, initial: str = RANDOM, equivalents: str = REDRAW,
                same_layer: str = AFFINE, operative_config: Callable[[], str] = str,
                callbacks: Sequence[AnyCallback] = (), name: str = '', share: float | None = None
                ) -> Iterator[OpenedSearch]:
  """A context with an opened search; `run_search` describes the arguments and errors.

  Args:
    name: the search's name where several share an executor (default: none).
    share: the number of workers that count as the search's own where several share an executor: the time that its
      evaluations have taken, divided by it, then counts for `max_minutes`. None (default) for the time that passes.
  """
  check_forms(space)
  checks.check_integers(1, candidates=candidates)
  checks.check_integers(0, seed=seed)
  if max_minutes is not None and not max_minutes >= 0:
    raise ArgumentError(f'`max_minutes` must be at least 0, or None for no limit, received {max_minutes}.')
  begun_with, start = warm_start.begin(model_dir, initial, space, evaluation, window, seed)
  _check(candidates, references, begun_with)
  watching = Callbacks(callbacks)
  # All arguments that the results depend on. A search may be resumed with more candidates, or with other workers.
  identity = identity_of(evaluation=evaluation, reranking=reranking, strategy=strategy, space=space, window=window,
                         references=tuple(references), seed=seed, equivalents=equivalents, same_layer=same_layer,
                         initial=start) | registrations(space)
  phases = {REFERENCE: len(references), EVOLUTION: candidates,
            RERANKING: (reranking.top + len(references)) * reranking.seeds}
  with contextlib.ExitStack() as stack:
    folder, copy = stack.enter_context(working_folder(model_dir))
    proposer = stack.enter_context(contextlib.closing(Proposer(
        strategy, space, Population(window), begun_with, equivalents, seed, same_layer, folder / _EQUIVALENCE)))
    journal = stack.enter_context(Journal(folder / JOURNAL, identity, copy))
    stack.enter_context(termination.before_end(journal.close))  # or a candidate in this process would have crashed it
    evaluation.check()
    reranking.evaluation.check()
    summaries = stack.enter_context(contextlib.closing(
        Summaries(folder / 'tensorboard', written=len(journal.records))))
    _write_config(operative_config(), folder, summaries)
    progress = stack.enter_context(Progress(phases, prefixed_console(name) if name else None))
    url = model_dir if is_url(model_dir) else ''
    found = RunningSearch(folder, journal.records, identity, url)
    recorder = SearchRecorder(journal, summaries, progress, watching, found, share)

    def stages() -> Iterator[JobSource]:
      yield FixedLayers(REFERENCE, references, evaluation, journal.records)
      yield Candidates(proposer, evaluation, candidates, journal.records, recorder.seconds_left(max_minutes))
      layers = [*records_lib.finalists(journal.records, reranking.top, reranking.min_difference), *references]
      trainings = FixedLayers(RERANKING, layers, reranking.evaluation, journal.records, reranking.seeds)
      progress.expect(RERANKING, trainings.count)
      yield trainings

    def end() -> None:
      journal.check_is_there()
      progress.end()
      _report(journal.records, folder, reranking, name, url)
      watching.on_search_end(found)

    watching.on_search_begin(found)
    yield OpenedSearch(journal, Track(stages(), recorder, name), end)


def _check(candidates: int, references: Sequence[str], begun_with: Sequence[InitialCandidate]) -> None:
  if candidates < len(begun_with):
    raise ArgumentError(f'`candidates` must be at least the {len(begun_with)} that the search begins with by '
                        f'`initial`, received {candidates}.')
  unknown = sorted(set(references) - set(NORM_ACTS))
  if unknown:
    raise ArgumentError(f'`references` must be some of {sorted(NORM_ACTS)}, received {unknown}.')


def _write_config(config: str, folder: pathlib.Path, summaries: Summaries) -> None:
  """Writes the configuration's text to `folder`/operative_config.gin and to TensorBoard; an empty one is no news."""
  kept = folder / 'operative_config.gin'
  if config or not kept.exists():
    with replacing(kept) as file:
      file.write_text(config, encoding='utf-8')
  summaries.write_text('operative_config', textwrap.indent(config, '    '))  # Markdown leaves indented text as it is


def _report(records: Sequence[Record], folder: pathlib.Path, reranking: Reranking, name: str, url: str) -> None:
  """Writes the report; prints its table, unless the search is one of several, and its path or, with `url`, its URL."""
  task = getattr(reranking.evaluation, 'task', None)
  facts = (len(task.load()['test'][1]), task.steps) if callable(getattr(task, 'load', None)) else (None, None)
  console = Console()
  if not name:
    console.print(final_table(records, reranking.best, *facts))
  path = write_report(records, folder, reranking.best, *facts)
  shown = f'{url}/{path.relative_to(folder).as_posix()}' if url else path
  console.print(Text(f'Report: {shown}'), soft_wrap=True)
