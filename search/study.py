"""The root function of a study, `run_study`: several searches beside each other over one pool of workers."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import inspect
import itertools
import pathlib
import re

from evonorm_tf import checks
from evonorm_tf.cli import gin_configuration
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.object_folder import is_url
from search.evolution import open_search
from search.evolution import OpenedSearch
from search.execution.deferred_interrupts import interrupts_noted
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.executors import Executor
from search.execution.executors import make_executor
from search.execution.retries import Retrying
from search.journal import records as records_lib
from search.journal.journal import Journal
from search.library.hparams import HParams
from search.reporting.comparison_report import compare_searches
from search.scheduler import Scheduler

COMPARISON = 'comparison'  # the folder of the comparison in that of the study
_ROOT = 'search.evolution.run_search'
_NAME = re.compile(r'\w[\w.-]*')


@wrap_system_errors()
def run_study(model_dir: str, settings: Mapping[str, Sequence[str]], seeds: Sequence[int], files: Sequence[str],
              bindings: Sequence[str] = (), workers: int = 1, executor: Callable[[], Executor] | None = None,
              retries: int = 2, operative_config: Callable[[], str] = str) -> pathlib.Path:
  """Runs, or resumes, a search for each setting and seed, and compares them; gin files configure this function.

  The searches take turns with free workers. `evolution.run_search.max_minutes` counts the time of each search's own
  evaluations, divided by `workers`, as if it had all workers to itself: searches with equal minutes have equal
  core-seconds. Each has a folder of its own in `model_dir`, `SETTING_seed_N`, which `search.Search` opens, and a row in
  TensorBoard's HParams table. Settings and seeds can be added later; searches that have ended then go on only if they
  are given more minutes or candidates.

  Args:
    model_dir: the folder of the study, no URL; it is created if necessary.
    settings: the gin bindings of each setting, by its name, such as {'random': ("evolution.run_search.strategy =
      @proposal.RandomSearch()",)}; they win over the file's.
    seeds: the seeds of each setting's searches.
    files: the gin files that configure `search.evolution.run_search` for all searches. The command passes its own.
    bindings: further bindings for all searches (default: none). The command passes its own.
    workers: the number of evaluations at a time (default 1), as for `run_search`.
    executor: makes the executor of the evaluations, as for `run_search`; `workers` must then be the number of tasks
      that it runs at a time, for the time of searches. None (default) for an executor of this machine.
    retries: how many times a candidate that killed its worker is evaluated again (default 2).
    operative_config: returns the text of the gin configuration, to be written to `model_dir`/operative_config.gin.

  Returns:
    The path of the comparison, report.md in the folder `comparison`.

  Raises:
    ArgumentError: if a setting's name is not one of letters, digits, '.', '-' and '_', there is none, seeds repeat, the
      configuration is not valid, or gives a search an executor of its own; before any search begins. Or if searches
      find no new graph, when the others have ended and all are compared.
    ModelDirError: if a search's folder holds one with other arguments, or another process is running it.
    KeyboardInterrupt: after Ctrl-C; all results so far are on disk, and the same call goes on.
  """
  if is_url(model_dir):
    raise ArgumentError(f'`model_dir` of a study must be a folder, received {model_dir!r}.')
  _check(settings, seeds)
  folder = pathlib.Path(model_dir)
  folder.mkdir(parents=True, exist_ok=True)
  with replacing(folder / 'operative_config.gin') as path:
    path.write_text(operative_config(), encoding='utf-8')
  with interrupts_noted(), contextlib.ExitStack() as stack:
    opened = {}
    for setting, seed in itertools.product(settings, seeds):
      name = f'{setting}_seed_{seed}'
      own = [*bindings, *settings[setting], f'{_ROOT}.seed = {seed}']
      opened[name] = stack.enter_context(_open(str(folder / name), name, workers, files, own))
    notes = _Notes({name: search.journal for name, search in opened.items()})
    with contextlib.closing(executor() if executor else make_executor(workers)) as started:
      Scheduler(Retrying(started, retries, notes)).run([search.track for search in opened.values()])
    failures = {name: search.track.failure for name, search in opened.items() if search.track.failure}
    for name, search in opened.items():
      if name not in failures:
        search.end()
      raise_if_interrupted()
  compared = [str(folder / name) for name, search in opened.items()
              if name not in failures or records_lib.evaluated(search.journal.records)]
  if compared:
    page = compare_searches(compared, str(folder / COMPARISON))
    print(f'Comparison: {page}')
  if failures:
    raise ArgumentError('\n'.join(f'{name}: {failure}' for name, failure in failures.items()))
  return page


def _check(settings: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> None:
  wrong = [name for name in settings if not _NAME.fullmatch(name)]
  if wrong or not settings:
    raise ArgumentError("`settings` must have names of letters, digits, '.', '-' and '_', at least one; received "
                        f'{list(settings)}.')
  for name, own in settings.items():
    if isinstance(own, str):
      raise ArgumentError(f'`settings`: the bindings of {name!r} must be a list, received {own!r}. A list of one is '
                          f'({own!r},).')
  if not seeds or len(set(seeds)) < len(seeds):
    raise ArgumentError(f'`seeds` must be different integers, at least one; received {list(seeds)}.')
  for seed in seeds:
    checks.check_integers(0, seeds=seed)


def _open(model_dir: str, name: str, workers: int, files: Sequence[str], bindings: Sequence[str]
          ) -> contextlib.AbstractContextManager[OpenedSearch]:
  """Returns the context of one search of the study."""
  with gin_configuration.configured(_ROOT, files, bindings, ('model_dir',)) as run_search:
    bound = gin_configuration.bound_arguments(run_search)
    if bound.get('executor') is not None:
      raise ArgumentError('`evolution.run_search.executor` must not be bound in a study, whose searches share the '
                          'executor: bind `study.run_study.executor` and `study.run_study.workers`, the number of '
                          'tasks that it runs at a time.')
    text = gin_configuration.config_text()
  arguments = {name: bound[name] for name in inspect.signature(open_search).parameters if name in bound}
  arguments['callbacks'] = [*arguments.get('callbacks', ()), HParams()]
  return open_search(model_dir, name=name, share=workers, operative_config=lambda: text, **arguments)


class _Notes:
  """The journals of several searches, which note tasks that may crash this process, as `Retrying` calls one."""

  def __init__(self, journals: Mapping[str, Journal]):
    self._journals = journals

  def begin(self, key: str) -> None:
    """Notes that a task begins, in the journal of its search."""
    name, _, task = key.partition(': ')
    self._journals[name].begin(task)

  def deaths(self, key: str) -> int:
    """Returns the number of processes that died during a task."""
    name, _, task = key.partition(': ')
    return self._journals[name].deaths(task)
