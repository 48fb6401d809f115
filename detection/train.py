"""Trains a detector: python -m detection.train --gin_file=gin/detection/shapes_resnet18_fpn.gin --model_dir=DIR

The same command with the same --model_dir continues where it stopped. To the command above, add one of:
  --mode=train             without evaluations
  --mode=eval              evaluates the newest checkpoint and writes result files in COCO's format to DIR
  --mode=train_and_eval    the default
  --mode=export            writes a SavedModel to DIR/export
  --mode=predict --images='photos/*.jpg'    writes pictures and JSON for these image files to DIR/predictions

The flags for accelerators and several hosts are those of evonorm_tf.train; its --help explains them.

Settings that people change, by --gin_bindings="NAME = VALUE", with their values in the file above:

  NORM_ACT = 'evonorm_s0'  # any layer's name, or the JSON file or folder of a search
  trainer.run_mask_rcnn.epochs = 2.4
  trainer.run_mask_rcnn.batch_size = 4
  trainer.run_mask_rcnn.image_size = 256  # pixels

The shapes of that file are generated. The files for COCO and for the nuclei read what `python -m detection.prepare`
makes: TRAIN = 'DIR/train' and VALIDATION = 'DIR/val' name the folders.
"""

from collections.abc import Sequence

from absl import app
from absl import flags

from evonorm_tf.cli import gin_binary
from evonorm_tf.cli import training_flags
from evonorm_tf.cli.console import run_command

flags.adopt_module_key_flags(gin_binary)
flags.adopt_module_key_flags(training_flags)
_IMAGES = flags.DEFINE_string('images', None, "For --mode=predict: a glob of image files, such as 'photos/*.jpg'.")


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  training_flags.run('detection.trainer.run_mask_rcnn', images=_IMAGES.value)


def run() -> None:
  """The console command `evonorm-detect`."""
  run_command(main)


if __name__ == '__main__':
  run()
