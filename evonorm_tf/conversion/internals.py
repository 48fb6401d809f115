"""The module that knows the inner workings of the Keras that a model is of."""

import importlib
import types
from typing import Any

from evonorm_tf.layers.which_keras import KERAS_3
from evonorm_tf.layers.which_keras import keras_name


def internals_of(value: Any) -> types.ModuleType:
  """Returns `keras3_internals` for what belongs to Keras 3, and `keras_internals`, of tf_keras, for anything else.

  Args:
    value: a layer, a model, or an operation in the graph of one.
  """
  name = 'keras3_internals' if keras_name(value) == KERAS_3 else 'keras_internals'
  return importlib.import_module(f'evonorm_tf.conversion.{name}')
