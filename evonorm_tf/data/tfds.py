"""The only import of TensorFlow Datasets, an optional dependency."""

import types

from evonorm_tf.errors import MissingDependencyError


def import_tfds() -> types.ModuleType:
  """Returns the module tensorflow_datasets; MissingDependencyError, which says how to install it, if there is none."""
  try:
    import tensorflow_datasets as tfds  # here, because pipelines over one's own arrays do without it
  except ImportError as e:
    raise MissingDependencyError(
        f"TFDS folders are read by tensorflow-datasets: pip install 'evonorm-tf[data]' ({e}).") from e
  return tfds
