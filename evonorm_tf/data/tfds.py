"""The one import of TensorFlow Datasets, which is an optional dependency."""

from evonorm_tf.errors import MissingDependencyError


def import_tfds():
  """Returns the module tensorflow_datasets, an optional extra; the error says how to install it."""
  try:
    import tensorflow_datasets as tfds  # here, because pipelines over one's own arrays do without it
  except ImportError as e:
    raise MissingDependencyError(
        f"TFDS folders are read by tensorflow-datasets: pip install 'evonorm-tf[data]' ({e}).") from e
  return tfds
