"""The main program that commands configured by gin share: it parses flags and gin files and calls a root function.

A root function is the library function that carries out the command, such as `run_search`. Only command modules may
import this module, since it defines flags and sets environment variables for TensorFlow. TensorFlow itself is not
imported until `run` is called, so that --help and wrong flags are answered at once.
"""

import ast
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import importlib
import importlib.util
import inspect
import os
import pathlib
import signal
import sys
import traceback
from typing import Any

from absl import flags
from absl import logging

from evonorm_tf.cli import gin_files
from evonorm_tf.cli.interrupt_watch import INTERRUPTED
from evonorm_tf.cli.interrupt_watch import InterruptWatch
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import EvoNormError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.former_names import present_binding
from evonorm_tf.output.model_dir import check_folder

try:
  import gin
except ImportError:
  sys.exit("error: gin-config is missing. It comes with pip install 'evonorm-tf[search]', or with [train] or [gan].")
from evonorm_tf.cli import gin_statements
from evonorm_tf.cli import gin_types
from evonorm_tf.cli.gin_statements import ConfigurationError

# The baseline from tensorflow-addons needs Keras 2. TensorFlow's start-up messages would hide those of the command.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', None, 'Configuration: a file, or an experiment of the package such as gin/search/quickstart.gin.',
    required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as \"NORM_ACT = 'bn_relu'\".")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where results and TensorBoard events go.', required=True)
# Root functions, and the commands that run them.
_COMMANDS = {'run_search': 'search.run_search', 'run_classification': 'evonorm_tf.train',
             'run_sweep': 'evonorm_tf.sweep', 'run_mask_rcnn': 'detection.train', 'run_gan': 'gan.train'}
flags.FLAGS.verbosity = logging.WARNING  # set here, since absl would raise a default of WARNING to INFO
# For `include` statements. It must come before gin's own readers, which log an error if they do not find a file.
gin.config._FILE_READERS.insert(0, (gin_files.open_gin_file, gin_files.exists))  # noqa: SLF001  (gin can only append)


def bindings() -> dict[str, str]:
  """Returns all bindings and macros of the parsed configuration, as text.

  Returns:
    The values by name, such as {'run_search.candidates': '1000', 'NORM_ACT': "'bn_relu'"}.
  """
  lines = gin.config_str(max_line_length=10 ** 4).replace('\\\n', '').splitlines()
  statements = (line.partition(' = ') for line in lines if not line.startswith('#'))
  return {name: value.strip() for name, equals, value in statements if equals}


def run(root: str, cleans_up: bool = False, **arguments: Any) -> Any:
  """Parses the configuration that the flags name, and calls a root function with it.

  An `EvoNormError`, such as a mistake in the configuration, ends the process with a message and exit code 1. Ctrl-C
  ends it at once with exit code 130, so the root function must tolerate being killed at any time. SIGTERM does the same
  with exit code 143; a training loop then saves, if it comes to the end of a loop in time.

  Args:
    root: the full name of the root function, such as 'evonorm_tf.classification.trainer.run_classification'. The
      function must have the arguments `model_dir` and `operative_config`, a function that returns the configuration as
      text.
    cleans_up: whether the first Ctrl-C or SIGTERM raises KeyboardInterrupt in the root function, so that it can clean
      up; only a second one then ends the process at once. Default: False.
    **arguments: further arguments of the root function; they override the bindings.

  Returns:
    The result of the root function.

  Raises:
    SystemExit: in the cases above.
  """
  arguments |= {'model_dir': _MODEL_DIR.value, 'operative_config': gin.operative_config_str}
  with InterruptWatch(INTERRUPTED, first_raises=cleans_up) as watch:
    try:
      with errors_as_messages():
        return _configure(root, arguments)(**arguments)
    except KeyboardInterrupt:
      print(INTERRUPTED, file=sys.stderr)
      if not cleans_up:  # it may be killed at any time
        end_at_once(watch.exit_code)
  # Python shuts down from here on. With the operating system's defaults, a further signal ends the process.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  sys.exit(watch.exit_code)


def end_at_once(exit_code: int) -> None:
  """Ends the process without waiting for TensorFlow's threads: that which tunes an iterator may sleep for a minute.

  Args:
    exit_code: the exit code of the process.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(exit_code)


def _configure(root: str, arguments: dict[str, Any]) -> Callable:
  """Parses the configuration and returns the root function with it; raises ConfigurationError if that fails."""
  check_folder(_MODEL_DIR.value)
  bindings_given = [present_binding(text) for text in _GIN_BINDINGS.value]
  module, _, name = root.rpartition('.')
  with _mistakes_as_configuration_errors():
    files = gin_files.resolve_all(_GIN_FILE.value)
    statements = gin_statements.read(files, bindings_given)
    _check_statements(statements, module, name)
    gin.parse_config_files_and_bindings(files, bindings_given)
    gin_types.check()
  with gin.unlock_config(), wrap_system_errors():  # unlocked, since Model Garden's modules add to the configuration
    function = getattr(importlib.import_module(module), name)
  importlib.import_module('tensorflow').get_logger().setLevel('ERROR')  # it would warn of retracing for many networks
  try:
    configurable = gin.get_configurable(function)
  except ValueError:  # the configuration does not mention the root
    configurable, bound = function, {}
  else:
    bound = _bound(function)
  missing = [p.name for p in inspect.signature(function).parameters.values()
             if p.default is p.empty and p.name not in bound and p.name not in arguments]
  if missing:
    raise ConfigurationError(f'the configuration must bind {", ".join(f"{name}.{m}" for m in missing)}.'
                             f'{_other_command(statements, name)}')
  return configurable


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
    if name in _COMMANDS and name != root:
      return f' {place} sets {name}, which is run by `python -m {_COMMANDS[name]}`.'
  return ''


def _arguments(module: str, function: str) -> list[str]:
  """Returns the names of a function's arguments, read from the module's source, since importing it takes seconds."""
  spec = importlib.util.find_spec(module)
  tree = ast.parse(pathlib.Path(spec.origin).read_text(encoding='utf-8')) if spec and spec.origin else ast.Module([])
  return [argument.arg for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function
          for argument in node.args.args]


def _bound(function: Callable) -> dict[str, Any]:
  """Returns the values bound to a function's arguments; raises ConfigurationError if gin cannot build one of them."""
  with _mistakes_as_configuration_errors():
    return gin.get_bindings(function)


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
