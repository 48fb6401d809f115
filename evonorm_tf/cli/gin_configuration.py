"""The configuration of a root function by gin files and bindings, parsed and checked before anything expensive.

A root function is the library function that carries out a command, such as `run_search`.
"""

import ast
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import copy
import functools
import importlib
import importlib.util
import inspect
import pathlib
import traceback
from typing import Any

import gin

from evonorm_tf.cli import gin_files
from evonorm_tf.cli import gin_statements
from evonorm_tf.cli import gin_types
from evonorm_tf.cli.gin_statements import ConfigurationError
from evonorm_tf.errors import EvoNormError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.former_names import present_binding

# Root functions, and the commands that run them.
COMMANDS = {'run_study': 'search.run_study', 'run_search': 'search.run_search',
            'run_classification': 'evonorm_tf.train',
            'run_sweep': 'evonorm_tf.sweep', 'run_mask_rcnn': 'detection.train', 'run_gan': 'gan.train'}
# What gin keeps of a configuration; it has no public way to save it.
_STATE = '_CONFIG', '_IMPORTS', '_OPERATIVE_CONFIG', '_SINGLETONS'
_REFERENCE = 'REFERENCED'  # a macro, which is removed again
# For `include` statements. It must come before gin's own readers, which log an error if they do not find a file.
gin.config._FILE_READERS.insert(0, (gin_files.open_gin_file, gin_files.exists))  # noqa: SLF001  (gin can only append)


def configure(root: str, files: Sequence[str], bindings: Sequence[str], given: Sequence[str] = ()
              ) -> Callable[..., Any]:
  """Parses a configuration and returns a root function with it.

  The configuration is gin's, which is global; see `configured` for one that ends.

  Args:
    root: the full name of the root function, such as 'search.evolution.run_search'.
    files: gin files: paths, or names of experiments of the package, such as 'gin/search/quickstart.gin'.
    bindings: bindings that win over the files', such as "NORM_ACT = 'bn_relu'".
    given: the names of the arguments that the caller will give, and which need not be bound.

  Returns:
    The function, whose arguments default to what is bound.

  Raises:
    ConfigurationError: if the configuration is not valid, belongs to another command, has a setting that nothing reads,
      or lacks an argument.
    GinFileError: if there is no such file.
  """
  bindings = [present_binding(text) for text in bindings]
  module, _, name = root.rpartition('.')
  with _mistakes_as_configuration_errors():
    paths = gin_files.resolve_all(files)
    statements = gin_statements.read(paths, bindings)
    _check_statements(statements, module, name)
    gin.parse_config_files_and_bindings(paths, [], finalize_config=False)
    _register_referenced(statements)
    gin.parse_config(bindings)
    gin.finalize()
    gin_types.check()
  with gin.unlock_config(), wrap_system_errors():  # unlocked, since Model Garden's modules add to the configuration
    function = getattr(importlib.import_module(module), name)
  try:
    configurable = gin.get_configurable(function)
  except ValueError:  # the configuration does not mention the root
    configurable, bound = function, {}
  else:
    bound = bound_arguments(function)
  parameters = inspect.signature(function).parameters
  unknown = [argument for argument in given if argument not in parameters]
  if unknown:
    raise ConfigurationError(f'{name} has no argument `{unknown[0]}`; it has {", ".join(parameters)}.')
  missing = [p.name for p in parameters.values()
             if p.default is p.empty and p.name not in bound and p.name not in given]
  if missing:
    raise ConfigurationError(f'the configuration must bind {", ".join(f"{name}.{m}" for m in missing)}.'
                             f'{_other_command(statements, name)}')
  return configurable


@contextlib.contextmanager
def configured(root: str, files: Sequence[str], bindings: Sequence[str], given: Sequence[str] = ()
               ) -> Iterator[Callable[..., Any]]:
  """A context with a root function and its configuration, after which gin's global configuration is as it was before.

  Args:
    root: as for `configure`.
    files: as for `configure`.
    bindings: as for `configure`.
    given: as for `configure`.

  Raises:
    ConfigurationError, GinFileError: as `configure`.
  """
  state = {name: copy.copy(getattr(gin.config, name)) for name in _STATE}
  was_locked = gin.config_is_locked()
  gin.clear_config()
  try:
    yield configure(root, files, bindings, given)
  finally:
    gin.clear_config()
    for name, value in state.items():
      current = getattr(gin.config, name)  # other modules of gin hold it
      current.update(value)
    gin.config._set_config_is_locked(was_locked)  # noqa: SLF001


def _register_referenced(statements: gin_statements.Statements) -> None:
  """Makes gin know what a binding refers to by a name that a file imports, as `@proposal.RandomSearch()`.

  In a file, gin registers a function at its first use; in a binding outside of files it only finds registered ones.
  """
  if statements.imports.get('dynamic_registration') is None:
    return
  for name in sorted(statements.references):
    imported = statements.imports.get(name.partition('.')[0])
    if imported is not None and '.' in name:
      gin.parse_config(f'from __gin__ import dynamic_registration\n{imported}\n{_REFERENCE} = @{name}')
  gin.config._CONFIG.pop((_REFERENCE, 'gin.macro'), None)  # noqa: SLF001  (gin has no other way)


def bound_arguments(function: Callable[..., Any]) -> dict[str, Any]:
  """Returns the values that the configuration binds to a function's arguments, with the objects that it describes.

  Args:
    function: a function that the configuration names.

  Raises:
    ConfigurationError: if gin cannot build one of them.
  """
  with _mistakes_as_configuration_errors():
    return gin.get_bindings(function)


def without_gin(function: Any) -> Any:
  """Returns the function that a wrapper of gin calls, as a partial with the values that are bound to its arguments.

  Args:
    function: a function; one that is no wrapper of gin is returned as it is.
  """
  configurable = gin.config._inverse_lookup(function)  # noqa: SLF001  (gin tells nobody what it has wrapped)
  if configurable is None or function is configurable.wrapped:
    return function
  bound = gin.get_bindings(function)
  return functools.partial(configurable.wrapped, **bound) if bound else configurable.wrapped


def bindings() -> dict[str, str]:
  """Returns all bindings and macros of the parsed configuration, as text.

  Returns:
    The values by name, such as {'run_search.candidates': '1000', 'NORM_ACT': "'bn_relu'"}.
  """
  lines = gin.config_str(max_line_length=10 ** 4).replace('\\\n', '').splitlines()
  statements = (line.partition(' = ') for line in lines if not line.startswith('#'))
  return {name: value.strip() for name, equals, value in statements if equals}


def config_text() -> str:
  """Returns all settings of the parsed configuration, as the text of a gin file."""
  return gin.config_str()


def operative_config() -> str:
  """Returns the settings that were used so far, as the text of a gin file."""
  return gin.operative_config_str()


def _check_statements(statements: gin_statements.Statements, module: str, root: str) -> None:
  """Checks that the configuration is one for this command, and that no setting is idle, before any import.

  Args:
    statements: the configuration.
    module: the module of the root function.
    root: the name of the root function.

  Raises:
    ConfigurationError: if the configuration belongs to another command or has a setting that nothing reads.
  """
  other = _other_command(statements, root)
  if other and root not in statements.functions():
    raise ConfigurationError(f'the configuration sets nothing of {root}, which this command runs.{other}')
  gin_statements.check(statements, {root: _arguments(module, root)})


def _other_command(statements: gin_statements.Statements, root: str) -> str:
  """Returns a sentence that names the command whose root function a configuration sets; empty if there is none."""
  for name, place in statements.functions().items():
    if name in COMMANDS and name != root:
      return f' {place} sets {name}, which is run by `python -m {COMMANDS[name]}`.'
  return ''


def _arguments(module: str, function: str) -> list[str]:
  """Returns the names of a function's arguments, read from the module's source, since importing it takes seconds."""
  spec = importlib.util.find_spec(module)
  tree = ast.parse(pathlib.Path(spec.origin).read_text(encoding='utf-8')) if spec and spec.origin else ast.Module([])
  return [argument.arg for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function
          for argument in node.args.args]


@contextlib.contextmanager
def _mistakes_as_configuration_errors() -> Iterator[None]:
  """A context in which an error that means a mistake in the configuration becomes a ConfigurationError.

  gin has no error class: what arises in its code, such as a TypeError for a missing argument, is such an error. So are
  the types with which a class refuses an argument. Any other, such as a TypeError in the constructor of a class that is
  bound, is a bug there.
  """
  try:
    yield
  except EvoNormError:
    raise
  except Exception as e:
    *_, (last, _) = traceback.walk_tb(e.__traceback__)
    is_of_gin = last.f_globals.get('__name__', '').partition('.')[0] == gin.__name__
    if is_of_gin or isinstance(e, (SyntaxError, ImportError, ValueError, OSError)):
      raise ConfigurationError(str(e)) from e
    raise
