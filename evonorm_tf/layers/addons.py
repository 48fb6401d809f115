"""The import of tensorflow-addons, whose FRN and TLU layers make the baseline FRN-TLU.

No other module imports it. tensorflow-addons is end-of-life, an optional dependency (the extra `addons`), and built on
Keras 2. Its layers subclass those of `tf.keras`, which is Keras 2 (tf_keras) only if TF_USE_LEGACY_KERAS=1 was set
before TensorFlow was imported. This module checks that and never sets the variable, because that would change
`tf.keras` under the user's program.
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

from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.errors import SetupError

_LOCK = threading.Lock()
_KERAS_2_MODULES = ('engine', 'engine.keras_tensor')  # imported by tensorflow-addons, and absent from Keras 3


def import_addons() -> types.ModuleType:
  """Returns the module `tensorflow_addons`; the first call imports it.

  Raises:
    MissingDependencyError: if tensorflow-addons is not installed (an ImportError).
    SetupError: if `tf.keras` is not tf_keras (a RuntimeError).
  """
  check_installed()
  check_legacy_keras()
  with _LOCK, _keras_2_names(), warnings.catch_warnings():
    # On import it warns that it is at its end of life, and that it does not support TensorFlow 2.16 and later.
    warnings.simplefilter('ignore', UserWarning)
    return importlib.import_module('tensorflow_addons')


def check_installed() -> None:
  """Checks that tensorflow-addons is installed, without importing it.

  Raises:
    MissingDependencyError: if it is not installed (an ImportError); the message says what to install.
  """
  if importlib.util.find_spec('tensorflow_addons') is None:
    raise MissingDependencyError(
        f'FRN-TLU needs tensorflow-addons, which is not installed. On Python 3.11 run {how_to_install("addons")}; '
        'there is no release for Python 3.12 and later. '
        f'This is Python {sys.version.split()[0]}.')


def check_legacy_keras() -> None:
  """Checks that `tf.keras` is tf_keras (Keras 2).

  Raises:
    SetupError: if it is Keras 3 (a RuntimeError); the message says which environment variable to set.
  """
  if tf.keras.layers.Layer is not tf_keras.layers.Layer:
    raise SetupError(
        'FRN-TLU needs tensorflow-addons, whose layers work only if `tf.keras` is tf_keras, and here it is Keras '
        f'{tf.keras.__version__}. Set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported: '
        "in the shell, or as `os.environ['TF_USE_LEGACY_KERAS'] = '1'` at the top of the program.")


@contextlib.contextmanager
def _keras_2_names() -> Iterator[None]:
  """Makes each `keras.src` module of `_KERAS_2_MODULES` an alias of its tf_keras counterpart, within the context."""
  twins = {f'keras.src.{name}': importlib.import_module(f'tf_keras.src.{name}') for name in _KERAS_2_MODULES}
  added = {name: module for name, module in twins.items() if name not in sys.modules}
  sys.modules.update(added)
  try:
    yield
  finally:
    for name in added:
      sys.modules.pop(name, None)
