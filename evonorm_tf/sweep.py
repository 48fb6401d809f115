"""Runs a sweep: python -m evonorm_tf.sweep --gin_file=gin/classification/cifar10_batch_size.gin --model_dir=DIR

A sweep trains a classifier for every combination of norm-activation layer, batch size and seed. The same command with
the same --model_dir continues where the sweep stopped, and retries failed runs.

Settings that people change, by --gin_bindings="NAME = VALUE", with their values in the file above:

  batch_size_sweep.run_sweep.norm_acts = ('bn_relu', 'gn_relu', 'evonorm_b0', 'evonorm_s0')
  batch_size_sweep.run_sweep.batch_sizes = (128, 64, 32, 16, 8, 4)
  batch_size_sweep.run_sweep.seeds = (0, 1, 2)
  classification.run_classification.epochs = 12
  cifar10.Cifar10.data_dir = None  # a folder of TensorFlow Datasets with cifar10; None for the bundled images
"""

import sys

from absl import app
from absl import flags

from evonorm_tf.cli import gin_binary
from evonorm_tf.cli import gin_configuration
from evonorm_tf.cli.console import run_command
from evonorm_tf.output.model_dir import without_folder

flags.adopt_module_key_flags(gin_binary)

_GRID = ('run_sweep.norm_acts', 'run_sweep.batch_sizes', 'run_sweep.seeds')  # these bindings may change between starts


def _settings() -> dict[str, str]:
  """Returns the bindings that must not change between starts, as text by name; a data folder may move."""
  return {name: without_folder(name, value) for name, value in gin_configuration.bindings().items()
          if not name.endswith(_GRID)}


def main(argv: list[str]) -> None:
  """Runs the sweep; exits with an error message if a run failed.

  Args:
    argv: the program's name and the arguments that are not flags.

  Raises:
    UsageError: if there are such arguments.
  """
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  results = gin_binary.run('evonorm_tf.batch_size_sweep.sweep.run_sweep', settings=_settings)
  from evonorm_tf.batch_size_sweep.runs import FAILED
  failed = sum(result.status == FAILED for result in results.values())
  if failed:
    sys.exit(f'{failed} of {len(results)} runs failed. The same command tries them again.')


def run() -> None:
  """The console command `evonorm-sweep`."""
  run_command(main)


if __name__ == '__main__':
  run()
