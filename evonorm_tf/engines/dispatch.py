"""Tensor operations under one name on every engine.

The names and their meaning are those of `keras.ops`. Tensors of JAX and PyTorch, which layers of Keras 3 compute with,
take `keras.ops` itself (`keras_ops`). Tensors of TensorFlow, of tf_keras and of Keras 3 alike, take TensorFlow's own
functions under these names (`tensorflow_ops`). Neither module is imported before a tensor needs it.
"""

from collections.abc import Callable
import importlib
import sys
import types
from typing import Any

from evonorm_tf.errors import ArgumentError

Tensor = Any  # a tensor of TensorFlow, JAX or PyTorch

_THROUGH_KERAS = frozenset(('jax', 'jaxlib', 'torch'))  # packages that define the classes of these tensors


def ops_of(value: Any) -> types.ModuleType:
  """Returns the module of operations for the engine of a tensor.

  Args:
    value: a tensor or a variable; anything else, such as a number, counts as TensorFlow's if that has been imported.
  """
  return _module('tensorflow_ops' if _is_of_tensorflow(value) else 'keras_ops')


def form_for(value: Any, name: str, of_tensorflow: Callable[..., Tensor], of_keras: Callable[..., Tensor] | None
             ) -> Callable[..., Tensor]:
  """Returns the form for the engine of a tensor of what a user has registered.

  Args:
    value: a tensor.
    name: what is registered, for the message.
    of_tensorflow: the form for TensorFlow.
    of_keras: the form by `keras.ops` for other engines; None if there is none.

  Raises:
    ArgumentError: if there is none for the engine.
  """
  if _is_of_tensorflow(value):
    return of_tensorflow
  if of_keras is None:
    raise ArgumentError(f'{name!r} was registered for TensorFlow alone: its argument `keras` is missing.')
  return of_keras


def _is_of_tensorflow(value: Any) -> bool:
  package = type(value).__module__.partition('.')[0]
  if package == 'keras':  # a variable of Keras 3, whatever else has been imported
    return sys.modules['keras'].backend.backend() == 'tensorflow'
  return package not in _THROUGH_KERAS and (package == 'tensorflow' or bool(sys.modules.get('tensorflow')))


def _module(name: str) -> types.ModuleType:
  full_name = f'evonorm_tf.engines.{name}'
  return sys.modules.get(full_name) or importlib.import_module(full_name)
