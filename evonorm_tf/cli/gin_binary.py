"""The main program that commands configured by gin share: it parses flags and gin files and calls a root function.

A root function is the library function that carries out the command, such as `run_search`. Only command modules may
import this module, since it defines flags and sets environment variables for TensorFlow. TensorFlow itself is not
imported until `run` is called, so that --help and wrong flags are answered at once.
"""

from collections.abc import Callable
import importlib
import os
import signal
import sys
from typing import Any

from absl import flags
from absl import logging

from evonorm_tf.cli.interrupt_watch import INTERRUPTED
from evonorm_tf.cli.interrupt_watch import InterruptWatch
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import missing_dependency
from evonorm_tf.output.model_dir import check_folder

try:
  import gin
except ModuleNotFoundError as error:
  sys.exit(f'error: {missing_dependency(error)}')
from evonorm_tf.cli import gin_configuration
from evonorm_tf.cli import gin_files

# The baseline from tensorflow-addons needs Keras 2. TensorFlow's start-up messages would hide those of the command.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', None, 'Configuration: a file, or an experiment of the package such as gin/search/quickstart.gin.',
    required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as \"NORM_ACT = 'bn_relu'\".")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where results and TensorBoard events go.', required=True)
flags.FLAGS.verbosity = logging.WARNING  # set here, since absl would raise a default of WARNING to INFO


def configuration_given() -> tuple[list[str], list[str]]:
  """Returns the gin files and the bindings that the flags give, for a root function that parses them again."""
  return _GIN_FILE.value, _GIN_BINDINGS.value


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
  arguments = {'model_dir': _MODEL_DIR.value, 'operative_config': gin.operative_config_str} | arguments
  with InterruptWatch(INTERRUPTED, first_raises=cleans_up) as watch:
    try:
      with errors_as_messages():
        return _configured(root, arguments)(**arguments)
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


def _configured(root: str, arguments: dict[str, Any]) -> Callable[..., Any]:
  """Returns the root function with the configuration that the flags name."""
  check_folder(_MODEL_DIR.value)
  gin_files.announce(_GIN_FILE.value)
  function = gin_configuration.configure(root, _GIN_FILE.value, _GIN_BINDINGS.value, tuple(arguments))
  importlib.import_module('tensorflow').get_logger().setLevel('ERROR')  # it would warn of retracing for many networks
  return function
