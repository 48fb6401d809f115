"""Trains a classifier: python -m evonorm_tf.train --gin_file=gin/classification/cifar10_resnet20.gin --model_dir=DIR

The same command on the same --model_dir goes on where it stopped. Modes: train, eval (the newest checkpoint),
train_and_eval, export (a SavedModel in DIR/export).
"""

import os

# Before TensorFlow is imported: baselines of tensorflow-addons need Keras 2, and its start-up messages help nobody.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from absl import app
from absl import flags
from absl import logging

from evonorm_tf import classification
from evonorm_tf import experiment

_GIN_FILE = flags.DEFINE_multi_string('gin_file', None, 'Configuration, one of gin/classification/*.gin.', required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as \"NORM_ACT = 'bn_relu'\".")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where checkpoints and TensorBoard events go.', required=True)
_MODE = flags.DEFINE_enum('mode', 'train_and_eval', classification.MODES, 'What to do.')
flags.FLAGS.verbosity = logging.WARNING  # as a default absl would raise it to INFO


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  experiment.run(
      classification.run_classification, _GIN_FILE.value, _GIN_BINDINGS.value, model_dir=_MODEL_DIR.value,
      mode=_MODE.value)


if __name__ == '__main__':
  app.run(main)
