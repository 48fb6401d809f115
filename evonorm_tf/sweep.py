"""Runs a sweep: python -m evonorm_tf.sweep --gin_file=gin/classification/cifar10_batch_size.gin --model_dir=DIR

The same command on the same --model_dir goes on where the sweep stopped, and tries failed runs again.
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

from evonorm_tf import batch_size_sweep
from evonorm_tf.sweep_runs import FAILED

_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', None, 'Configuration, such as gin/classification/cifar10_batch_size.gin.', required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as 'run_sweep.seeds = (0, 1, 2)'.")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where runs, TensorBoard events and report go.', required=True)
flags.FLAGS.set_default('verbosity', logging.WARNING)

# Bindings that may change from one start to the next: the grid, and where the data lie.
_FREE = ('run_sweep.norm_acts', 'run_sweep.batch_sizes', 'run_sweep.seeds', '.data_dir')


def _settings() -> dict[str, str]:
  """All other bindings, by name."""
  lines = gin.config_str(max_line_length=10 ** 4).replace('\\\n', '').splitlines()
  bindings = (line.partition(' = ') for line in lines if not line.startswith('#'))
  return {name: value.strip() for name, equals, value in bindings if equals and not name.endswith(_FREE)}


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  try:
    gin.parse_config_files_and_bindings(_GIN_FILE.value, _GIN_BINDINGS.value)
  except Exception as e:  # SyntaxError, ImportError, AttributeError, ...: whatever it is, it tells of the gin file
    sys.exit(f'error: {e}')
  try:
    results = gin.get_configurable(batch_size_sweep.run_sweep)(
        model_dir=_MODEL_DIR.value, settings=_settings(), operative_config=gin.operative_config_str)
  except (ValueError, OSError) as e:
    logging.debug('The error came from here:', exc_info=True)
    sys.exit(f'error: {e}')
  except KeyboardInterrupt:
    print('Interrupted. The same command goes on where it stopped.', file=sys.stderr)
    sys.exit(130)
  failed = sum(result.status == FAILED for result in results.values())
  if failed:
    sys.exit(f'{failed} of {len(results)} runs failed. The same command tries them again.')


if __name__ == '__main__':
  app.run(main)
