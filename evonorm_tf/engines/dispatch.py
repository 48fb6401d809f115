"""Tensor operations under one name on every engine.

The names and their meaning are those of `keras.ops`. Tensors of JAX and PyTorch, which layers of Keras 3 compute with,
take `keras.ops` itself (`keras_ops`). Tensors of TensorFlow, of tf_keras and of Keras 3 alike, take TensorFlow's own
functions under these names (`tensorflow_ops`). Neither module is imported before a tensor needs it.
"""

import importlib
import sys
import types
from typing import Any

Tensor = Any  # a tensor of TensorFlow, JAX or PyTorch

_THROUGH_KERAS = frozenset(('jax', 'jaxlib', 'torch'))  # packages that define the classes of these tensors


def ops_of(value: Any) -> types.ModuleType:
  """Returns the module of operations for the engine of a tensor.

  Args:
    value: a tensor or a variable; anything else, such as a number, counts as TensorFlow's if that has been imported.
  """
  package = type(value).__module__.partition('.')[0]
  if package == 'keras':  # a variable of Keras 3, whatever else has been imported
    is_tensorflow = sys.modules['keras'].backend.backend() == 'tensorflow'
  else:
    is_tensorflow = package not in _THROUGH_KERAS and (package == 'tensorflow' or bool(sys.modules.get('tensorflow')))
  return _module('tensorflow_ops' if is_tensorflow else 'keras_ops')


def _module(name: str) -> types.ModuleType:
  full_name = f'evonorm_tf.engines.{name}'
  return sys.modules.get(full_name) or importlib.import_module(full_name)
