"""Runs a search: python -m search.run_search --gin_file=gin/search/quickstart.gin --model_dir=DIR

The same command on the same --model_dir goes on where the search stopped.
"""

import os
import sys

# Before TensorFlow is imported: baselines of tensorflow-addons need Keras 2, and its start-up messages help nobody.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from absl import app
from absl import flags
from absl import logging
import gin
import tensorflow as tf

from search import evolution

_GIN_FILE = flags.DEFINE_multi_string('gin_file', None, 'Configuration, one of gin/search/*.gin.', required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as 'run_search.candidates = 500'.")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where journal, TensorBoard events and report go.', required=True)
flags.FLAGS.verbosity = logging.WARNING  # as a default absl would raise it to INFO


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, but every candidate is traced anew
  try:
    gin.parse_config_files_and_bindings(_GIN_FILE.value, _GIN_BINDINGS.value)
  except Exception as e:  # SyntaxError, ImportError, AttributeError, ...: whatever it is, it tells of the gin file
    sys.exit(f'error: {e}')
  try:
    gin.get_configurable(evolution.run_search)(model_dir=_MODEL_DIR.value, operative_config=gin.operative_config_str)
  except (ValueError, OSError) as e:
    logging.debug('The error came from here:', exc_info=True)
    sys.exit(f'error: {e}')
  except KeyboardInterrupt:
    print('Interrupted. The same command goes on where it stopped.', file=sys.stderr)
    sys.exit(130)


if __name__ == '__main__':
  app.run(main)
