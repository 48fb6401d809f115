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

from evonorm_tf import experiment

_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', None, 'Configuration, such as gin/classification/cifar10_batch_size.gin.', required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as 'run_sweep.seeds = (0, 1, 2)'.")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where runs, TensorBoard events and report go.', required=True)
flags.FLAGS.verbosity = logging.WARNING  # as a default absl would raise it to INFO

_GRID = ('run_sweep.norm_acts', 'run_sweep.batch_sizes', 'run_sweep.seeds')  # these may change from start to start


def _settings() -> dict[str, str]:
  """The other bindings. The data may move, but not from the bundled images (None) to others."""
  return {name: '(a folder)' if name.endswith('.data_dir') and value != 'None' else value
          for name, value in experiment.bindings().items() if not name.endswith(_GRID)}


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  results = experiment.run(
      'evonorm_tf.batch_size_sweep.run_sweep', _GIN_FILE.value, _GIN_BINDINGS.value, model_dir=_MODEL_DIR.value,
      settings=_settings)
  from evonorm_tf.sweep_runs import FAILED  # here, because it loads TensorFlow
  failed = sum(result.status == FAILED for result in results.values())
  if failed:
    sys.exit(f'{failed} of {len(results)} runs failed. The same command tries them again.')


if __name__ == '__main__':
  app.run(main)
