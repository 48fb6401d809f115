"""Names of activation functions, and the set of those that a norm-activation layer may replace."""

from typing import Any

from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.layers.which_keras import keras_name

# The names of the rectifiers and their smooth relatives, which a norm-activation layer may replace. A bounded function
# (sigmoid, tanh, softmax) is a gate or an output and stays: a norm-activation layer in its place would leave the range
# that the model relies on.
FUSIBLE_FUNCTIONS = frozenset((
    'relu', 'relu6', 'leaky_relu', 'prelu', 'elu', 'selu', 'gelu', 'silu', 'hard_swish', 'mish', 'softplus',
    'softsign', 'thresholded_relu'))
_OTHER_NAMES = {'swish': 'silu', 'simple_swish': 'silu', 'hard_silu': 'hard_swish'}
_ACTIVATION_OPS = frozenset((*FUSIBLE_FUNCTIONS, 'sigmoid', 'tanh', 'softmax', 'log_softmax'))


def function_name(activation: Any) -> str | None:
  """Returns the name of an activation function, or of the function that an activation layer applies.

  Each function has a single name, whatever form it takes: "silu" also for swish, "relu6" also for `ReLU(6.)`.

  Args:
    activation: a function, a `functools.partial` of one, a layer, an operation of Keras 3, or None.

  Returns:
    The name; None for the identity, for a layer that does more than apply an activation, and for other objects.
  """
  if keras_name(activation):
    return _layer_name(activation)
  name = getattr(getattr(activation, 'func', activation), '__name__', None)  # `func` of a functools.partial
  name = _OTHER_NAMES.get(name, name)
  return None if name in ('linear', 'identity') else name


def _layer_name(layer: Any) -> str | None:
  """Returns the name of the function that an activation layer, or one that stands for an op, applies."""
  internals = internals_of(layer)
  if isinstance(layer, internals.Activation):
    return function_name(layer.activation)
  if isinstance(layer, internals.ReLU) and layer.max_value == 6:
    return 'relu6'
  name = internals.ACTIVATIONS.get(type(layer)) or internals.op_name(layer)
  name = _OTHER_NAMES.get(name, name)
  return name if name in _ACTIVATION_OPS else None
