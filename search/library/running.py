"""`run`, which runs a search from Python: a configuration by name, a gin file, or objects."""

import ast
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
from typing import Any

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import wrap_system_errors
from search.library.callbacks import AnyCallback
from search.library.opened_search import Search

_ROOT = 'search.evolution.run_search'
_KEPT_CONFIGURATION = 'operative_config.gin'  # what a search writes to its folder
_NO_IDENTITY = frozenset(('callbacks', 'executor', 'retries', 'max_minutes', 'candidates', 'workers'))


@wrap_system_errors()
def run(config: str | os.PathLike = 'quickstart', *, model_dir: str | os.PathLike, evolution: Any = None,
        evaluation: Any = None, space: Any = None, callbacks: Sequence[AnyCallback] | None = None, **settings: Any
        ) -> Search:
  """Runs a search, or resumes one, and returns it when it has ended.

  Args:
    config: the name of a search of the package, such as 'quickstart' (default), 'smoke' or 'cifar10_batch', or the path
      of a gin file. All that the other arguments do not say is taken from it.
    model_dir: the search's folder. If it holds a search, that search is resumed.
    evolution: proposes candidates: a `TournamentEvolution`, `RandomSearch` or any other `Strategy`; None (default) for
      the configuration's.
    evaluation: evaluates layers: an `Evaluation`, or any object with its methods; None (default) for the
      configuration's. It re-ranks the finalists, too, with the number of seeds of the configuration and without
      rejection tests, unless `reranking` is given.
    space: the search space; None (default) for the configuration's.
    callbacks: `Callback` objects, or functions of the search and a record, called with each record once it is written;
      None (default) for the configuration's, which mostly has none.
    **settings: other arguments of `search.evolution.run_search`, which documents them: `candidates`, `max_minutes`,
      `seed`, `workers`, `references`, `reranking`, `window` and more.

  Returns:
    The search.

  Raises:
    ArgumentError: if a setting is unknown or not valid, or there is no such configuration.
    ModelDirError: if `model_dir` holds a search with other settings, or another process is running it.
    KeyboardInterrupt: after Ctrl-C; all results so far are in the folder, and the same call goes on.

  Example:
    >>> import search
    >>> found = search.run('smoke', model_dir='runs/smoke', space=search.SearchSpace(nodes=3))
    >>> len(list(found.candidates))
    3
  """
  objects = {name: value for name, value in
             (('strategy', evolution), ('evaluation', evaluation), ('space', space)) if value is not None}
  return _run(_file_of(config), model_dir, objects | settings, callbacks)


def resume(model_dir: str, local: pathlib.Path, callbacks: Sequence[AnyCallback] | None = None, **settings: Any
           ) -> Search:
  """Goes on with a search by the configuration that its folder keeps; `Search.resume` describes it.

  Args:
    model_dir: the search's folder, or its URL.
    local: the folder, or its copy on this machine.
    callbacks: as for `run`.
    **settings: as for `run`.

  Raises:
    ArgumentError: if the folder keeps no configuration, since the search was given objects.
  """
  path = local / _KEPT_CONFIGURATION
  if not path.is_file() or not path.read_text(encoding='utf-8').strip():
    raise ArgumentError(f'{model_dir}: the search was given objects, which its folder does not keep; call '
                        '`search.run` with them again.')
  return _run(str(path), model_dir, settings, callbacks)


def _run(gin_file: str, model_dir: str | os.PathLike, settings: dict[str, Any],
         callbacks: Sequence[AnyCallback] | None) -> Search:
  """Runs a search by a gin file and settings: literal ones become bindings, and so part of what the folder keeps."""
  from evonorm_tf.cli import gin_configuration
  literals = {name: value for name, value in settings.items() if _is_literal(value)}
  objects: dict[str, Any] = {name: value for name, value in settings.items() if name not in literals}
  bindings = [f'{_ROOT}.{name} = {value!r}' for name, value in literals.items()]
  if callbacks is not None:
    objects['callbacks'] = callbacks
  given = 'model_dir', *objects
  with gin_configuration.configured(_ROOT, [gin_file], bindings, given) as run_search, _quiet_tensorflow():
    if 'evaluation' in objects and 'reranking' not in settings:
      bound = gin_configuration.bound_arguments(run_search)
      objects['reranking'] = dataclasses.replace(
          bound['reranking'], evaluation=_for_reranking(objects['evaluation']))
    # A configuration without objects that identify the search would be another search's.
    text = gin_configuration.config_text if objects.keys() <= _NO_IDENTITY else str
    run_search(model_dir=os.fspath(model_dir), operative_config=text, **objects)
  return Search(model_dir)


def _file_of(config: str | os.PathLike) -> str:
  """Returns the name of the gin file that `config` means."""
  name = os.fspath(config)
  return name if name.endswith('.gin') else f'search/{name}.gin'


def _is_literal(value: Any) -> bool:
  """Returns whether gin can read back what `repr` writes of a value."""
  try:
    return ast.literal_eval(repr(value)) == value
  except (ValueError, SyntaxError):
    return False


def _for_reranking(evaluation: Any) -> Any:
  """Returns an evaluation without rejection tests that looks at the test images; another class's as it is."""
  from search.evaluation.evaluation import Evaluation
  if not isinstance(evaluation, Evaluation):
    return evaluation
  return dataclasses.replace(evaluation, quality=None, stability=None, tests=(), halving=None, confirms=False,
                             test=True, measures_cost=False)


@contextlib.contextmanager
def _quiet_tensorflow() -> Iterator[None]:
  """A context without TensorFlow's warnings, such as those of retracing, which many networks cause."""
  import tensorflow as tf
  logger = tf.get_logger()
  level = logger.level
  logger.setLevel('ERROR')
  try:
    yield
  finally:
    logger.setLevel(level)
