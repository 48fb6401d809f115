"""Trains a GAN: python -m gan.train --gin_file=gin/gan/cifar10_32_tiny.gin --model_dir=DIR

The same command with the same --model_dir continues where it stopped. To the command above, add one of:
  --mode=train             without evaluations
  --mode=eval              computes the scores (FID, Inception Score, ...) of the newest checkpoint
  --mode=train_and_eval    the default
  --mode=sample            writes pictures to DIR/samples: samples by class, interpolations and truncations
  --mode=sample --from_best --truncation=0.5 --classes=0,3,7    of the checkpoint with the lowest FID, with the numbers
                           in z bounded, and rows for these classes

The flags for accelerators and several hosts are those of evonorm_tf.train; its --help explains them.

Settings that people change, by --gin_bindings="NAME = VALUE", with their values in the file above:

  NORM_ACT = 'evonorm_b0'  # any layer's name, or the JSON file or folder of a search
  trainer.run_gan.steps = 4000
  step.StepSettings.batch_size = 32
  networks.BigGAN.channels = 8
  data.Cifar10.data_dir = None  # a folder of TensorFlow Datasets with cifar10; None for the bundled images
"""

from collections.abc import Sequence

from absl import app
from absl import flags

from evonorm_tf.cli import gin_binary
from evonorm_tf.cli import training_flags
from evonorm_tf.cli.console import run_command

flags.adopt_module_key_flags(gin_binary)
flags.adopt_module_key_flags(training_flags)
_TRUNCATION = flags.DEFINE_float('truncation', None, 'For --mode=sample: the bound of |z|.')
_CLASSES = flags.DEFINE_list('classes', None, 'For --mode=sample: the labels of the rows, such as 0,3,7.')
_FROM_BEST = flags.DEFINE_bool('from_best', None, 'For --mode=sample: use the best checkpoint, not the newest.')


def main(argv: Sequence[str]) -> None:
  """Runs the command; raises UsageError if `argv` holds more than the program's name or `--classes` is malformed."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  classes = _CLASSES.value
  if classes is not None and not all(label.isdecimal() for label in classes):
    raise app.UsageError(f'--classes must be integers such as 0,3,7, received {classes}.')
  given = {'truncation': _TRUNCATION.value, 'classes': classes and [int(label) for label in classes],
           'from_best': _FROM_BEST.value}
  training_flags.run('gan.trainer.run_gan',
                     **{name: value for name, value in given.items() if value is not None})


def run() -> None:
  """The console command `evonorm-gan`."""
  run_command(main)


if __name__ == '__main__':
  run()
