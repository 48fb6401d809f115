"""Trains a classifier: python -m evonorm_tf.train --gin_file=gin/classification/cifar10_resnet20.gin --model_dir=DIR

The same command with the same --model_dir continues where it stopped. To the command above, add one of:
  --mode=train             without evaluations
  --mode=eval              evaluates the newest checkpoint
  --mode=train_and_eval    the default
  --mode=export            writes a SavedModel to DIR/export

Flags choose the hardware: --strategy=mirrored uses all GPUs of the host, and --strategy=tpu --tpu=ADDRESS a TPU. For
several hosts, run the same command on each, with a --model_dir that all of them share,
--strategy=multi_worker_mirrored, and the same environment variable TF_CONFIG except for the index; on host 0:

  export TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'

Batch sizes count the images of all replicas together.

Settings that people change, by --gin_bindings="NAME = VALUE", with their values in the file above:

  NORM_ACT = 'evonorm_s0'  # any layer's name, or the JSON file or folder of a search
  classification.run_classification.epochs = 12
  classification.run_classification.batch_size = 64
  classification.run_classification.seed = 0
  classification.run_classification.precision = 'float32'  # 'mixed_bfloat16', 'mixed_float16'
  cifar10.Cifar10.data_dir = None  # a folder of TensorFlow Datasets with cifar10; None for the bundled images
"""

from absl import app
from absl import flags

from evonorm_tf.cli import gin_binary
from evonorm_tf.cli import training_flags
from evonorm_tf.cli.console import run_command

flags.adopt_module_key_flags(gin_binary)
flags.adopt_module_key_flags(training_flags)


def main(argv: list[str]) -> None:
  """Trains, evaluates or exports a classifier, as the flag --mode says.

  Args:
    argv: the program's name and the arguments that are not flags.

  Raises:
    UsageError: if there are such arguments.
  """
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  training_flags.run('evonorm_tf.classification.trainer.run_classification')


def run() -> None:
  """The console command `evonorm-train`."""
  run_command(main)


if __name__ == '__main__':
  run()
