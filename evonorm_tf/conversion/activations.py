"""Names of activation functions, and the set of those that a norm-activation layer may replace."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

# The names of the rectifiers and their smooth relatives, which a norm-activation layer may replace. A bounded function
# (sigmoid, tanh, softmax) is a gate or an output and stays: a norm-activation layer in its place would leave the range
# that the model relies on.
FUSIBLE_FUNCTIONS = frozenset((
    'relu', 'relu6', 'leaky_relu', 'prelu', 'elu', 'selu', 'gelu', 'silu', 'hard_swish', 'mish', 'softplus',
    'softsign', 'thresholded_relu'))
_OTHER_NAMES = {'swish': 'silu', 'simple_swish': 'silu'}
_ACTIVATION_LAYERS = {
    tf_keras.layers.ReLU: 'relu',
    tf_keras.layers.LeakyReLU: 'leaky_relu',
    tf_keras.layers.PReLU: 'prelu',
    tf_keras.layers.ELU: 'elu',
    tf_keras.layers.ThresholdedReLU: 'thresholded_relu',
    tf_keras.layers.Softmax: 'softmax',
}
_ACTIVATION_OPS = frozenset((*FUSIBLE_FUNCTIONS, 'sigmoid', 'tanh', 'softmax', 'log_softmax'))


def function_name(activation: Callable[..., tf.Tensor] | tf_keras.layers.Layer | None) -> str | None:
  """Returns the name of an activation function, or of the function that an activation layer applies.

  Each function has a single name, whatever form it takes: "silu" also for swish, "relu6" also for `ReLU(6.)`.

  Args:
    activation: a function, a `functools.partial` of one, a layer, or None.

  Returns:
    The name; None for the identity, for a layer that does more than apply an activation, and for other objects.
  """
  if isinstance(activation, tf_keras.layers.Activation):
    return function_name(activation.activation)
  if isinstance(activation, tf_keras.layers.ReLU) and activation.max_value == 6:
    return 'relu6'
  if isinstance(activation, tf_keras.layers.Layer):
    name = _ACTIVATION_LAYERS.get(type(activation)) or _op_name(activation)
  else:
    name = getattr(getattr(activation, 'func', activation), '__name__', None)  # `func` of a functools.partial
  name = _OTHER_NAMES.get(name, name)
  return None if name in ('linear', 'identity') else name


def _op_name(layer: tf_keras.layers.Layer) -> str | None:
  """Returns the activation's name if the layer stands for a call of an op, such as tf.nn.relu, on a symbolic tensor."""
  name = (getattr(layer, 'symbol', None) or '').rpartition('.')[-1]
  return name if _OTHER_NAMES.get(name, name) in _ACTIVATION_OPS else None
