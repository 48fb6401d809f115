"""The main program of the binaries: flags, gin files, and the call of a package's root function.

For binaries alone, since it defines flags and sets environment variables that TensorFlow reads. TensorFlow is not
imported before `run` is called, so that --help and wrong flags are answered at once.
"""

from collections.abc import Callable
import importlib
import inspect
import os
import signal
import sys
from typing import Any

from absl import flags
from absl import logging

from evonorm_tf.cli import gin_files
from evonorm_tf.cli.interrupt_watch import EXIT_CODE
from evonorm_tf.cli.interrupt_watch import INTERRUPTED
from evonorm_tf.cli.interrupt_watch import InterruptWatch
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.former_names import present_binding

try:
  import gin
except ImportError:
  sys.exit("error: gin-config is missing. It comes with pip install 'evonorm-tf[search]', or with [train] or [gan].")

# Baselines of tensorflow-addons need Keras 2; TensorFlow's start-up messages would hide ours.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', None, 'Configuration: a file, or an experiment of the package such as gin/search/quickstart.gin.',
    required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as \"NORM_ACT = 'bn_relu'\".")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where results and TensorBoard events go.', required=True)
flags.FLAGS.verbosity = logging.WARNING  # as a default absl would raise it to INFO
# For `include` statements; before gin's own readers, which log an error for a file that they do not find.
gin.config._FILE_READERS.insert(0, (gin_files.open_gin_file, gin_files.exists))  # noqa: SLF001  (it only appends)


def bindings() -> dict[str, str]:
  """Returns all bindings of the configuration as text, by name, and its macros."""
  lines = gin.config_str(max_line_length=10 ** 4).replace('\\\n', '').splitlines()
  statements = (line.partition(' = ') for line in lines if not line.startswith('#'))
  return {name: value.strip() for name, equals, value in statements if equals}


def run(root: str, cleans_up: bool = False, **arguments: Any) -> Any:
  """Parses the configuration that the flags name and calls the root function with it; exits on an error.

  An `EvoNormError` ends the process with a message and exit code 1; see `errors_as_messages`. A Ctrl-C ends it at once
  with exit code 130; the root function has to cope with that as with being killed.

  Args:
    root: the function's name, such as 'evonorm_tf.classification.trainer.run_classification'. It has the arguments
      `model_dir` and `operative_config`, a function that returns the configuration as text.
    cleans_up: whether the first Ctrl-C raises KeyboardInterrupt in the root, which then cleans up; a second one ends
      the process at once.
    **arguments: further arguments of the root; they win over bindings.

  Returns:
    The result of the root.
  """
  arguments |= {'model_dir': _MODEL_DIR.value, 'operative_config': gin.operative_config_str}
  with InterruptWatch(INTERRUPTED, first_raises=cleans_up):
    try:
      with errors_as_messages():
        return _configure(root, arguments)(**arguments)
    except KeyboardInterrupt:
      print(INTERRUPTED, file=sys.stderr)
  # From here on Python shuts down. A further Ctrl-C ends the process by the operating system's default.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  sys.exit(EXIT_CODE)


def _configure(root: str, arguments: dict[str, Any]) -> Callable:
  """Returns the root as gin's configurable; raises ConfigurationError unless it can be called."""
  try:
    files = gin_files.resolve_all(_GIN_FILE.value)
    gin.parse_config_files_and_bindings(files, [present_binding(text) for text in _GIN_BINDINGS.value])
  except Exception as e:  # SyntaxError, ImportError, AttributeError, ...: gin has no error class of its own
    raise ConfigurationError(str(e)) from e
  module, _, name = root.rpartition('.')
  with gin.unlock_config(), wrap_system_errors():  # unlocked, for Model Garden's modules add to the configuration
    function = getattr(importlib.import_module(module), name)
  importlib.import_module('tensorflow').get_logger().setLevel('ERROR')  # it warns of retracing; there are many networks
  try:
    configurable = gin.get_configurable(function)
  except ValueError:  # the configuration does not mention the root
    configurable, bound = function, {}
  else:
    bound = _bound(function)
  missing = [p.name for p in inspect.signature(function).parameters.values()
             if p.default is p.empty and p.name not in bound and p.name not in arguments]
  if missing:
    raise ConfigurationError(f'the configuration must bind {", ".join(f"{name}.{m}" for m in missing)}.')
  return configurable


def _bound(function: Callable) -> dict[str, Any]:
  """Returns the values bound to a function's arguments. Gin makes the objects among them, which may fail."""
  try:
    return gin.get_bindings(function)
  except Exception as e:  # as above
    raise ConfigurationError(str(e)) from e


class ConfigurationError(ArgumentError):
  """A configuration cannot be parsed, or leaves a required argument out."""
