"""Which Keras an object belongs to: tf_keras, or Keras 3 (`keras`, and `tf.keras` of TensorFlow 2.16 and later)."""

import importlib
import sys
import types
from typing import Any
import warnings

from evonorm_tf.errors import ArgumentError

KERAS_2, KERAS_3 = 'tf_keras', 'keras'  # the names of the packages
OTHER = {KERAS_2: KERAS_3, KERAS_3: KERAS_2}
PACKAGES = {KERAS_2: 'evonorm_tf', KERAS_3: 'evonorm_tf.keras3'}  # where the layers for each are
NAMES = {KERAS_2: 'tf_keras', KERAS_3: 'Keras 3'}
_TITLES = {KERAS_2: 'tf_keras (Keras 2)', KERAS_3: 'Keras 3 (`import keras`, `tf.keras` of TensorFlow 2.16 and later)'}


def keras_name(value: Any) -> str | None:
  """Returns 'tf_keras' or 'keras' (Keras 3) for a layer, model, symbolic tensor or a class of them; otherwise None.

  Args:
    value: any object. Nothing is imported.
  """
  bases = value.__mro__ if isinstance(value, type) else type(value).__mro__
  packages = (base.__module__.partition('.')[0] for base in bases)
  return next((package for package in packages if package in (KERAS_2, KERAS_3)), None)


def keras_of(value: Any) -> types.ModuleType:
  """Returns the module `tf_keras` or `keras` (Keras 3) that a layer, model or symbolic tensor belongs to.

  Args:
    value: the object; one that belongs to neither, such as a tensor with values, counts as tf_keras's.
  """
  return importlib.import_module(keras_name(value) or KERAS_2)


def keras_made_by(norm_act: Any) -> types.ModuleType:
  """Returns the module `tf_keras` or `keras` (Keras 3) whose layers a factory makes.

  Args:
    norm_act: what `get_norm_act` returns; or any callable that returns a fresh layer, which is called once.

  Raises:
    ArgumentError: if it is no such callable.
  """
  if not callable(norm_act) or keras_name(norm_act) and not isinstance(norm_act, type):
    raise ArgumentError('`norm_act` must be a callable that returns a fresh layer, such as '
                        f"`get_norm_act('evonorm_s0')` or a class of layers, received {norm_act!r}.")
  return keras_of(getattr(norm_act, 'layer_class', None) or norm_act(name='which_keras'))


def check_recompute(value: Any, recompute: bool) -> None:
  """Raises ArgumentError if `recompute` is asked of a layer, model or symbolic tensor of Keras 3."""
  if recompute and keras_name(value) == KERAS_3:
    raise ArgumentError('`recompute=True` is for tf_keras; it has no counterpart in Keras 3.')


class OfOneKeras:
  """Mixin of the layers of one Keras: where they meet the other Keras, a sentence says which import to use."""

  def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls the layer; raises ArgumentError (a ValueError) for a symbolic tensor of the other Keras."""
    own, given = keras_name(self), keras_name(inputs)
    if own is not None and given not in (None, own):
      raise ArgumentError(f'This {type(self).__name__} is a layer of {_TITLES[own]}, and its input a tensor of '
                          f'{_TITLES[given]}: {_layers_for(given, type(self).__name__)}.')
    if own is not None and not self.built and _is_called_by(OTHER[own]):
      warnings.warn(f'{self!r} is called by a layer or model of {NAMES[OTHER[own]]}, which does not train or save its '
                    'weights.', stacklevel=2)
    return super().__call__(inputs, *args, **kwargs)

  def __repr__(self) -> str:
    # Keras shows this where it refuses what is no layer of its own, as in `Sequential` and `TimeDistributed`.
    own, name = keras_name(self), type(self).__name__
    if own is None:
      return super().__repr__()
    return f'<{name} {self.name!r} of {NAMES[own]}; for {NAMES[OTHER[own]]} {_layers_for(OTHER[own], name)}>'


def _layers_for(keras: str, class_name: str) -> str:
  """Returns where the layers for one Keras are, and the import of the one of this name if there is one."""
  package = PACKAGES[keras]
  in_both = class_name in importlib.import_module('evonorm_tf').__all__
  return f'use the layers of `{package}`' + (f', as by `from {package} import {class_name}`' if in_both else '')


def _is_called_by(keras: str) -> bool:
  """Returns whether a layer of this Keras is being called; False if this Keras does not tell, which it need not."""
  try:
    if keras == KERAS_2:
      return sys.modules['tf_keras.src.engine.base_layer_utils'].call_context().in_call
    state = sys.modules['keras.src.backend.common.global_state']
    return state.get_global_attribute('current_call_ctx') is not None
  except (KeyError, AttributeError):  # it has not been imported, or is of another version
    return False
