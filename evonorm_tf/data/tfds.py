"""The only import of TensorFlow Datasets, an optional dependency."""

import types

from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError


def import_tfds() -> types.ModuleType:
  """Returns the module tensorflow_datasets.

  Raises:
    MissingDependencyError: if it is not installed; the message says how to install it.
  """
  try:
    import tensorflow_datasets as tfds  # imported here, because pipelines over a user's own arrays do not need it
  except ImportError as e:
    raise MissingDependencyError(
        f'TFDS folders are read by tensorflow-datasets: {how_to_install("data")} ({e}).') from e
  return tfds
