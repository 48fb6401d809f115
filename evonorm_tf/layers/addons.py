"""The only module that imports tensorflow-addons, the sole source of the baseline FRN-TLU.

tensorflow-addons is end-of-life, an optional extra, and built on Keras 2. Its layers subclass those of `tf.keras`,
which is Keras 2 only if TF_USE_LEGACY_KERAS=1 was set before TensorFlow was imported. This module checks the variable
and never sets it, because that would change `tf.keras` under the user's program.
"""

from collections.abc import Iterator
import contextlib
import importlib
import importlib.util
import sys
import threading
import types
import warnings

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.errors import SetupError

_LOCK = threading.Lock()
_KERAS_2_MODULES = ('engine', 'engine.keras_tensor')  # imported by tensorflow-addons, and absent from Keras 3


def import_addons() -> types.ModuleType:
  """Returns the module `tensorflow_addons`, imported on the first call.

  Raises:
    ImportError: if it is not installed.
    RuntimeError: if `tf.keras` is not tf_keras.
  """
  check_installed()
  check_legacy_keras()
  with _LOCK, _keras_2_names(), warnings.catch_warnings():
    # At each program start it warns of its end of life, and of every TensorFlow from 2.16 on.
    warnings.simplefilter('ignore', UserWarning)
    return importlib.import_module('tensorflow_addons')


def check_installed() -> None:
  """Raises ImportError, which says what to install, unless tensorflow-addons is installed."""
  if importlib.util.find_spec('tensorflow_addons') is None:
    raise MissingDependencyError(
        'FRN-TLU needs tensorflow-addons, which is not installed. On Python 3.11 run `pip install '
        '"evonorm-tf[addons]"`; there is no release for Python 3.12 and later. '
        f'This is Python {sys.version.split()[0]}.')


def check_legacy_keras() -> None:
  """Raises RuntimeError, which says what to set, unless `tf.keras` is tf_keras."""
  if tf.keras.layers.Layer is not tf_keras.layers.Layer:
    raise SetupError(
        'FRN-TLU needs tensorflow-addons, whose layers work only if `tf.keras` is tf_keras, and here it is Keras '
        f'{tf.keras.__version__}. Set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported: '
        "in the shell, or as `os.environ['TF_USE_LEGACY_KERAS'] = '1'` at the top of the program.")


@contextlib.contextmanager
def _keras_2_names() -> Iterator[None]:
  """Within the context, makes the `_KERAS_2_MODULES` of `keras.src` aliases of their twins in tf_keras."""
  twins = {f'keras.src.{name}': importlib.import_module(f'tf_keras.src.{name}') for name in _KERAS_2_MODULES}
  added = {name: module for name, module in twins.items() if name not in sys.modules}
  sys.modules.update(added)
  try:
    yield
  finally:
    for name in added:
      sys.modules.pop(name, None)
