"""Runs a search: python -m search.run_search --gin_file=gin/search/quickstart.gin --model_dir=DIR

The same command on the same --model_dir goes on where the search stopped.
"""

import os

# Before TensorFlow is imported: baselines of tensorflow-addons need Keras 2, and its start-up messages help nobody.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from absl import app
from absl import flags
from absl import logging

from evonorm_tf import experiment

_GIN_FILE = flags.DEFINE_multi_string('gin_file', None, 'Configuration, one of gin/search/*.gin.', required=True)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "Bindings that win over the file's, such as 'run_search.candidates = 500'.")
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Where journal, TensorBoard events and report go.', required=True)
flags.FLAGS.verbosity = logging.WARNING  # as a default absl would raise it to INFO


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  experiment.run(
      'search.evolution.run_search', _GIN_FILE.value, _GIN_BINDINGS.value, cleans_up=True, model_dir=_MODEL_DIR.value)


if __name__ == '__main__':
  app.run(main)
