"""Runs a sweep: python -m evonorm_tf.sweep --gin_file=gin/classification/cifar10_batch_size.gin --model_dir=DIR

The same command on the same --model_dir goes on where the sweep stopped, and tries failed runs again.
"""

import sys

from absl import app
from absl import flags

from evonorm_tf import experiment

flags.adopt_module_key_flags(experiment)

_GRID = ('run_sweep.norm_acts', 'run_sweep.batch_sizes', 'run_sweep.seeds')  # these may change from start to start


def _settings() -> dict[str, str]:
  """The other bindings. The data may move, but not from the bundled images (None) to others."""
  return {name: '(a folder)' if name.endswith('.data_dir') and value != 'None' else value
          for name, value in experiment.bindings().items() if not name.endswith(_GRID)}


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  results = experiment.run('evonorm_tf.batch_size_sweep.run_sweep', settings=_settings)
  from evonorm_tf.sweep_runs import FAILED  # here, because it loads TensorFlow
  failed = sum(result.status == FAILED for result in results.values())
  if failed:
    sys.exit(f'{failed} of {len(results)} runs failed. The same command tries them again.')


if __name__ == '__main__':
  app.run(main)
