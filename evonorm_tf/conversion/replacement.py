"""What takes the place of one batch normalization, which functions count as its activation, and the weights' carrying.

A BN-ReLU or BN-SiLU layer is the batch normalization it replaces, so it takes over all of its options and weights.
Every other layer is another function: it starts fresh, from the replaced layer's initializers of γ and β.
"""

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.baselines import BatchNormAct
from evonorm_tf.layers.norm_act import NormActFactory

BATCH_NORMALIZATIONS = (tf_keras.layers.BatchNormalization, tf_keras.layers.experimental.SyncBatchNormalization)

_VECTOR_OPTIONS = tuple(f'{vector}_{option}' for vector in ('gamma', 'beta')
                        for option in ('initializer', 'regularizer', 'constraint'))
_BATCH_NORM_OPTIONS = ('epsilon', 'momentum', 'center', 'scale')
_BATCH_NORM_WEIGHTS = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def has_batch_norm(layer: tf_keras.layers.Layer) -> bool:
  """Whether the layer holds a batch normalization in itself, at any depth, other than that of a `BatchNormAct`."""
  parts = () if isinstance(layer, BatchNormAct) else layer._flatten_layers(recursive=False, include_self=False)
  return any(isinstance(part, BATCH_NORMALIZATIONS) or has_batch_norm(part) for part in parts)


def check_channels_last(bn: tf_keras.layers.Layer) -> None:
  """Raises ValueError, naming the layer, unless it normalizes the last axis."""
  axes = list(bn.axis) if isinstance(bn.axis, (list, tuple)) else [bn.axis]
  if axes not in ([-1], [bn.input_spec.ndim - 1 if bn.built else -1]):
    raise ArgumentError(f'Layer {bn.name!r} must normalize the last axis (channels last), received axis {axes}.')


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
  options.update({option: config[option] for option in _VECTOR_OPTIONS if norm_act.leaves_open(option)})
  if issubclass(norm_act.layer_class, BatchNormAct):
    options.update({option: config[option] for option in _BATCH_NORM_OPTIONS})
  if norm_act.leaves_open('synchronized'):
    options['synchronized'] = bn.synchronized
  return {option: value for option, value in options.items() if option not in norm_act.options}


def clone_layer(layer: tf_keras.layers.Layer, layer_class=None, **config) -> tf_keras.layers.Layer:
  """Returns a fresh layer with the same configuration, name, dtype and `trainable`.

  Args:
    layer: the layer.
    layer_class: the class of the clone (default: the layer's own).
    **config: what the layer's configuration lacks, or what stands for a part of it.
  """
  if type(layer) is tf_keras.layers.Activation:
    # Model Garden's may hold a functools.partial, which has no configuration.
    clone = tf_keras.layers.Activation(layer.activation)
  else:
    clone = (layer_class or type(layer)).from_config({**layer.get_config(), **config})
  _carry_identity(layer, clone)
  return clone


def carry_weights(old, new) -> None:
  """Copies the weights of a layer to its replacement, part by part where it has parts; builds parts not yet built.

  A batch normalization's weights go to a `BatchNormAct` only, and those that a fused activation had (PReLU) nowhere.
  """
  for part, new_part in pair_parts(old, new):
    if isinstance(part, BATCH_NORMALIZATIONS) and not isinstance(new_part, BATCH_NORMALIZATIONS):
      if part.built and isinstance(new_part, BatchNormAct):  # blocks make parts that they never call
        _copy_batch_norm(part, new_part.norm)
    elif isinstance(part, tf.Variable):
      new_part.assign(part)
    else:
      new_part.set_weights(part.get_weights())
      if hasattr(new_part, 'finalize_state'):
        new_part.finalize_state()  # tf_keras's Normalization computes with constants that it derives from its weights


def pair_parts(old, new) -> list[tuple]:
  """Returns the pairs of corresponding normalizations, layers without any, and variables of a layer and another.

  Layers are given the name, the dtype and `trainable` of the old one, and are built where that is.
  """
  if isinstance(old, BATCH_NORMALIZATIONS) and not isinstance(new, BATCH_NORMALIZATIONS):
    _build_like(old, new)
    return [(old, new)]
  if isinstance(old, tf_keras.layers.Layer) and not has_batch_norm(old):
    # A layer comes before its parts, so that these exist, where its `build` makes them, when their turn comes.
    for part, new_part in zip(old._flatten_layers(), new._flatten_layers()):
      _carry_identity(part, new_part)
      _build_like(part, new_part)
    return [(old, new)]
  if isinstance(old, tf.Variable):
    return [(old, new)]
  if isinstance(old, tf_keras.layers.Layer):
    _carry_identity(old, new)
  # Attributes and elements, and not the order of weights, pair the parts: a replaced part moves to the end of that.
  parts, new_parts = old._trackable_children(), new._trackable_children()
  return [pair for name, part in parts.items() if hasattr(new_parts.get(name), '_trackable_children')
          for pair in pair_parts(part, new_parts[name])]


def _carry_identity(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Gives a layer, but not its parts, the name, the dtype and `trainable` of another."""
  # The configuration of Model Garden's heads lacks all three, and what `build` makes in a block takes them from
  # elsewhere.
  new._name = old.name
  new._trainable = old._trainable
  if new.dtype_policy.name != old.dtype_policy.name:
    new._set_dtype_policy(old.dtype_policy)


def _build_like(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Builds a layer for the input of another one that is built, with its weights' names."""
  if new.built or not old.built:
    return
  scope = old.weights[0].name.rpartition('/')[0] if old.weights else old.name
  with tf.name_scope(f'{scope}/'):  # the slash makes the scope absolute
    new.build_from_config(old.get_build_config())
  new.built = True  # a `build` that does not say so would be run again, with fresh weights, at the first call


def _copy_batch_norm(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  for name in _BATCH_NORM_WEIGHTS:
    source, target = getattr(old, name, None), getattr(new, name, None)
    if source is not None and target is not None:
      target.assign(source)
