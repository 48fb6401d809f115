"""The one place that imports tensorflow-addons, for the baseline that stands nowhere else: FRN-TLU.

tensorflow-addons is end-of-life, an optional extra, and written on Keras 2. Its layers subclass those of `tf.keras`,
which is Keras 2 only if TF_USE_LEGACY_KERAS=1 was set before TensorFlow was imported. This module checks that and
never sets it: that would change `tf.keras` under the user's program.
"""

import contextlib
import importlib
import importlib.util
import sys
import threading
import warnings

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.errors import SetupError

_LOCK = threading.Lock()
_KERAS_2_MODULES = ('engine', 'engine.keras_tensor')  # what tensorflow-addons imports and Keras 3 does not have


def import_addons():
  """Returns the module `tensorflow_addons`, imported on the first call.

  Raises:
    ImportError: if it is not installed.
    RuntimeError: if `tf.keras` is not tf_keras.
  """
  check_installed()
  check_legacy_keras()
  with _LOCK, _keras_2_names(), warnings.catch_warnings():
    # It warns of its end of life and of every TensorFlow from 2.16 on, at each program start.
    warnings.simplefilter('ignore', UserWarning)
    return importlib.import_module('tensorflow_addons')


def check_installed() -> None:
  """Raises ImportError, saying what to install, unless tensorflow-addons is installed."""
  if importlib.util.find_spec('tensorflow_addons') is None:
    raise MissingDependencyError(
        'FRN-TLU needs tensorflow-addons, which is not installed. On Python 3.11 run `pip install '
        '"evonorm-tf[addons]"`; there is no release for Python 3.12 and later. '
        f'This is Python {sys.version.split()[0]}.')


def check_legacy_keras() -> None:
  """Raises RuntimeError, saying what to set, unless `tf.keras` is tf_keras."""
  if tf.keras.layers.Layer is not tf_keras.layers.Layer:
    raise SetupError(
        'FRN-TLU needs tensorflow-addons, whose layers work only if `tf.keras` is tf_keras, and here it is Keras '
        f'{tf.keras.__version__}. Set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported: '
        "in the shell, or as `os.environ['TF_USE_LEGACY_KERAS'] = '1'` at the top of the program.")


@contextlib.contextmanager
def _keras_2_names():
  """Lets the names of `_KERAS_2_MODULES` in `keras.src` stand for their twins in tf_keras meanwhile."""
  twins = {f'keras.src.{name}': importlib.import_module(f'tf_keras.src.{name}') for name in _KERAS_2_MODULES}
  added = {name: module for name, module in twins.items() if name not in sys.modules}
  sys.modules.update(added)
  try:
    yield
  finally:
    for name in added:
      sys.modules.pop(name, None)
