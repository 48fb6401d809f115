"""What takes the place of one batch normalization, which functions count as its activation, and the weights' carrying.

A BN-ReLU or BN-SiLU layer is the batch normalization it replaces, so it takes over all of its options and weights.
Every other layer is another function: it starts fresh, from the replaced layer's initializers of γ and β.
"""

import tensorflow as tf
import tf_keras

from evonorm_tf.baselines import BatchNormAct
from evonorm_tf.norm_act import NormActFactory

BATCH_NORMALIZATIONS = (tf_keras.layers.BatchNormalization, tf_keras.layers.experimental.SyncBatchNormalization)

# The rectifiers and their smooth kin. A bounded function (sigmoid, tanh, softmax) is a gate or an output and stays: a
# norm-activation layer in its place would leave the range that the model counts on.
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

_VECTOR_OPTIONS = tuple(f'{vector}_{option}' for vector in ('gamma', 'beta')
                        for option in ('initializer', 'regularizer', 'constraint'))
_BATCH_NORM_OPTIONS = ('epsilon', 'momentum', 'center', 'scale')
_BATCH_NORM_WEIGHTS = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def has_batch_norm(layer: tf_keras.layers.Layer) -> bool:
  """Whether the layer holds a batch normalization in itself, at any depth."""
  return any(isinstance(module, BATCH_NORMALIZATIONS) for module in layer.submodules)


def function_name(activation) -> str | None:
  """Returns the name of an activation function, or of the one that a layer applies and nothing else; else None.

  One function has one name: "silu" for swish, "relu6" for `ReLU(6.)`. The identity is no activation: None.
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
  """The activation's name, where the layer is the call of an op such as tf.nn.relu on a symbolic tensor."""
  name = (getattr(layer, 'symbol', None) or '').rpartition('.')[-1]
  return name if _OTHER_NAMES.get(name, name) in _ACTIVATION_OPS else None


def check_channels_last(bn: tf_keras.layers.Layer) -> None:
  """Raises ValueError, naming the layer, unless it normalizes the last axis."""
  axes = list(bn.axis) if isinstance(bn.axis, (list, tuple)) else [bn.axis]
  if axes not in ([-1], [bn.input_spec.ndim - 1 if bn.built else -1]):
    raise ValueError(f'Layer {bn.name!r} must normalize the last axis (channels last), received axis {axes}.')


def replace_norm(bn: tf_keras.layers.Layer, norm_act, nonlinearity: bool) -> tf_keras.layers.Layer:
  """Returns the unbuilt layer that takes the place, the name, the dtype and `trainable` of a batch normalization.

  Args:
    bn: the batch normalization.
    norm_act: a factory of norm-activation layers.
    nonlinearity: True for the fused layer, False for its affine form.

  Raises:
    ValueError: if `bn` does not normalize the last axis.
  """
  check_channels_last(bn)
  layer = norm_act(nonlinearity=nonlinearity, name=bn.name, **_options(bn, norm_act))
  layer.trainable = bn.trainable
  return layer


def _options(bn: tf_keras.layers.Layer, norm_act) -> dict:
  """The options of `bn` that the new layer takes over; those that the factory sets win."""
  options = {'dtype': bn.dtype_policy}
  if not isinstance(norm_act, NormActFactory):
    return options
  config = bn.get_config()
  options.update({option: config[option] for option in _VECTOR_OPTIONS})
  if issubclass(norm_act.layer_class, BatchNormAct):
    options.update({option: config[option] for option in _BATCH_NORM_OPTIONS})
  if norm_act.leaves_open('synchronized'):
    options['synchronized'] = bn.synchronized
  return {option: value for option, value in options.items() if option not in norm_act.options}


def clone_layer(layer: tf_keras.layers.Layer, layer_class=None) -> tf_keras.layers.Layer:
  """Returns a fresh layer with the same configuration and name, of `layer_class` (default: the layer's own)."""
  if type(layer) is tf_keras.layers.Activation:
    # Model Garden's may hold a functools.partial, which has no configuration.
    return tf_keras.layers.Activation(layer.activation, name=layer.name, dtype=layer.dtype_policy)
  clone = (layer_class or type(layer)).from_config(layer.get_config())
  clone._name = layer.name  # the configuration of Model Garden's heads lacks the name
  return clone


def carry_weights(old, new) -> None:
  """Copies the weights of a layer to its replacement, part by part where it has parts; builds parts not yet built.

  A batch normalization's weights go to a `BatchNormAct` only, and those that a fused activation had (PReLU) nowhere.
  """
  if isinstance(old, BATCH_NORMALIZATIONS) and not isinstance(new, BATCH_NORMALIZATIONS):
    _build_like(old, new)
    if old.built and isinstance(new, BatchNormAct):  # blocks make parts that they never call
      _copy_batch_norm(old, new.norm)
  elif isinstance(old, tf.Variable):
    new.assign(old)
  elif isinstance(old, tf_keras.layers.Layer) and not has_batch_norm(old):
    _carry_plain(old, new)
  else:
    _carry_parts(old, new)


def _carry_plain(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  # A layer comes before its parts, so that these exist, where its `build` makes them, when their turn comes.
  for part, new_part in zip(old._flatten_layers(), new._flatten_layers()):
    new_part._name = part.name  # parts without a name of their own were numbered anew
    _build_like(part, new_part)
  new.set_weights(old.get_weights())
  if hasattr(new, 'finalize_state'):
    new.finalize_state()  # tf_keras's Normalization computes with constants that it derives from its weights


def _carry_parts(old, new) -> None:
  """Carries the names and weights of each attribute, or each element of a list or dictionary, that both sides have."""
  # Attributes, and not the order of weights, pair the parts: a replaced part moves to the end of that order.
  new_parts = new._trackable_children()
  for name, part in old._trackable_children().items():
    if name in new_parts and hasattr(new_parts[name], '_trackable_children'):
      if isinstance(part, tf_keras.layers.Layer):
        new_parts[name]._name = part.name
      carry_weights(part, new_parts[name])


def _build_like(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Builds a layer for the input of another one that is built, with its weights' names."""
  if new.built or not old.built:
    return
  scope = old.weights[0].name.rpartition('/')[0] if old.weights else old.name
  with tf.name_scope(f'{scope}/'):  # the slash makes the scope absolute
    new.build_from_config(old.get_build_config())


def _copy_batch_norm(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  for name in _BATCH_NORM_WEIGHTS:
    source, target = getattr(old, name, None), getattr(new, name, None)
    if source is not None and target is not None:
      target.assign(source)
