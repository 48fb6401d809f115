"""What the binaries share: flags, gin files, the call of a package's root function, and the end of a command.

For binaries alone, since it defines flags and sets what TensorFlow takes from the environment. TensorFlow is imported
no sooner than `run` is called, so that help and wrong flags are answered at once.
"""

import importlib
import inspect
import os
import signal
import sys

from absl import flags
from absl import logging

from evonorm_tf.cli import gin_files
from evonorm_tf.cli.interrupt_watch import EXIT_CODE
from evonorm_tf.cli.interrupt_watch import INTERRUPTED
from evonorm_tf.cli.interrupt_watch import InterruptWatch
from evonorm_tf.errors import ArgumentError

try:
  import gin
except ImportError:
  sys.exit("error: gin-config is missing. It comes with pip install 'evonorm-tf[search]', or with [train] or [gan].")

# Baselines of tensorflow-addons need Keras 2, and TensorFlow's start-up messages help nobody.
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
  """All bindings of the configuration as text, by name; macros too."""
  lines = gin.config_str(max_line_length=10 ** 4).replace('\\\n', '').splitlines()
  statements = (line.partition(' = ') for line in lines if not line.startswith('#'))
  return {name: value.strip() for name, equals, value in statements if equals}


def run(root: str, cleans_up: bool = False, **arguments):
  """Parses the configuration of the flags and calls the root function with it; exits on an error.

  Errors that a user can cause end the process with a message and exit code 1, and show their traceback with
  --verbosity=1. A Ctrl-C ends it at once with exit code 130; the root has to bear that, as it has to bear being killed.

  Args:
    root: such as 'evonorm_tf.classification.trainer.run_classification'. It has the arguments `model_dir` and
      `operative_config`: a function that returns the configuration as text.
    cleans_up: whether the root ends in an orderly way when a Ctrl-C raises KeyboardInterrupt; a second one ends it.
    **arguments: further ones of the root; they win over bindings.

  Returns:
    What the root returns.
  """
  arguments |= {'model_dir': _MODEL_DIR.value, 'operative_config': gin.operative_config_str}
  with InterruptWatch(INTERRUPTED, first_raises=cleans_up):
    try:
      return _configure(root, arguments)(**arguments)
    except Exception as e:
      if not isinstance(e, _users_errors()):
        raise
      logging.debug('The error came from here:', exc_info=True)
      sys.exit(f'error: {_message(e, root)}')
    except KeyboardInterrupt:
      print(INTERRUPTED, file=sys.stderr)
  # Whoever is impatient now gets the end that C has in store: Python is about to go.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  sys.exit(EXIT_CODE)


def _configure(root, arguments):
  """Returns the root as gin's configurable; raises ConfigurationError unless all of it can be called."""
  try:
    gin.parse_config_files_and_bindings(gin_files.resolve_all(_GIN_FILE.value), _GIN_BINDINGS.value)
  except Exception as e:  # SyntaxError, ImportError, AttributeError, ...: whatever it is, it tells of the gin file
    raise ConfigurationError(str(e)) from e
  module, _, name = root.rpartition('.')
  with gin.unlock_config():  # Model Garden's modules add to it
    function = getattr(importlib.import_module(module), name)
  importlib.import_module('tensorflow').get_logger().setLevel('ERROR')  # it warns of retracing, but networks are many
  try:
    configurable = gin.get_configurable(function)
  except ValueError:  # a configuration of something else
    configurable, bound = function, {}
  else:
    bound = _bound(function)
  missing = [p.name for p in inspect.signature(function).parameters.values()
             if p.default is p.empty and p.name not in bound and p.name not in arguments]
  if missing:
    raise ConfigurationError(f'the configuration must bind {", ".join(f"{name}.{m}" for m in missing)}.')
  return configurable


def _bound(function) -> dict:
  """Returns what is bound to a function's arguments; makes what they refer to, only to see whether that can be."""
  try:
    return gin.get_bindings(function)
  except Exception as e:  # as above
    raise ConfigurationError(str(e)) from e


class ConfigurationError(ArgumentError):
  """A configuration that cannot be parsed, or does not say all."""


def _users_errors() -> tuple:
  """Errors that tell of arguments, files, the machine or other hosts, and not of a mistake in this program."""
  errors = ValueError, OSError, ImportError, FloatingPointError
  tensorflow = sys.modules.get('tensorflow')
  return errors + ((tensorflow.errors.OpError,) if tensorflow else ())


def _message(error: Exception, root: str) -> str:
  """The text of an error, without TensorFlow's traceback and the line in which gin says that it was in the root."""
  text = str(error).partition(f"\n  In call to configurable '{root.rpartition('.')[-1]}' ")[0]
  if not text.startswith('Graph execution error:'):
    return text
  lines = (line for line in text.splitlines()[1:] if line and not line.startswith(('  File "', 'Detected at node ')))
  return '\n'.join(lines)
