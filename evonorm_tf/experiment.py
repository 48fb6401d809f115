"""What the binaries share: parse gin files, call a package's root function, and end as a command should."""

import sys

from absl import logging
import gin
import tensorflow as tf


def run(root, gin_files, gin_bindings, **arguments):
  """Parses the configuration and returns `root(**arguments, operative_config=...)` with it; exits on an error.

  Args:
    root: the root function, with an argument `operative_config`: a function that returns the configuration as text.
    gin_files: paths.
    gin_bindings: bindings that win over the files'.
    **arguments: of the root.
  """
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, but every network is traced anew
  try:
    gin.parse_config_files_and_bindings(gin_files, gin_bindings)
  except Exception as e:  # SyntaxError, ImportError, AttributeError, ...: whatever it is, it tells of the gin file
    sys.exit(f'error: {e}')
  try:
    return gin.get_configurable(root)(operative_config=gin.operative_config_str, **arguments)
  except (ValueError, OSError, FloatingPointError) as e:
    logging.debug('The error came from here:', exc_info=True)
    sys.exit(f'error: {e}')
  except KeyboardInterrupt:
    print('Interrupted. The same command goes on where it stopped.', file=sys.stderr)
    sys.exit(130)
