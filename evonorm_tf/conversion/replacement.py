"""Replacement of one batch normalization, clones of the other layers, and the weights that both take over.

A BN-ReLU or BN-SiLU layer computes what the batch normalization and its activation compute, so it takes over all of its
options and weights. Every other layer is another function: it starts fresh, from the initializers of γ and β of the
layer that it replaces.
"""

from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.conversion import keras_internals
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.baselines import BatchNormAct
from evonorm_tf.layers.norm_act import NormAct
from evonorm_tf.layers.norm_act import NormActFactory

BATCH_NORMALIZATIONS = (tf_keras.layers.BatchNormalization, tf_keras.layers.experimental.SyncBatchNormalization)

_VECTOR_OPTIONS = tuple(f'{vector}_{option}' for vector in ('gamma', 'beta')
                        for option in ('initializer', 'regularizer', 'constraint'))
_BATCH_NORM_OPTIONS = ('epsilon', 'momentum', 'center', 'scale')
_BATCH_NORM_WEIGHTS = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def has_batch_norm(layer: tf_keras.layers.Layer) -> bool:
  """Returns whether a layer holds a batch normalization, at any depth, other than that of a `BatchNormAct`."""
  parts = () if isinstance(layer, BatchNormAct) else keras_internals.direct_parts(layer)
  return any(isinstance(part, BATCH_NORMALIZATIONS) or has_batch_norm(part) for part in parts)


def check_channels_last(bn: tf_keras.layers.Layer) -> None:
  """Raises ValueError, which names the layer, unless it normalizes the last axis."""
  axes = list(bn.axis) if isinstance(bn.axis, (list, tuple)) else [bn.axis]
  if axes not in ([-1], [bn.input_spec.ndim - 1 if bn.built else -1]):
    raise ArgumentError(f'Layer {bn.name!r} must normalize the last axis (channels last), received axis {axes}.')


def replace_norm(bn: tf_keras.layers.Layer, norm_act: NormAct, nonlinearity: bool) -> tf_keras.layers.Layer:
  """Returns the unbuilt layer that replaces a batch normalization, with its name, dtype and `trainable`.

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


def _options(bn: tf_keras.layers.Layer, norm_act: NormAct) -> dict[str, Any]:
  """Returns the options of `bn` that the new layer takes over; those that the factory sets win."""
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


def clone_layer(layer: tf_keras.layers.Layer, layer_class: type[tf_keras.layers.Layer] | None = None, **config
                ) -> tf_keras.layers.Layer:
  """Returns a fresh layer with the same configuration, name, dtype and `trainable`.

  Args:
    layer: the layer.
    layer_class: the class of the clone (default: the layer's own).
    **config: arguments that the layer's configuration lacks, or that replace a part of it.
  """
  if type(layer) is tf_keras.layers.Activation:
    # Model Garden's may hold a functools.partial, which has no configuration.
    clone = tf_keras.layers.Activation(layer.activation)
  else:
    clone = (layer_class or type(layer)).from_config({**layer.get_config(), **config})
  keras_internals.copy_identity(layer, clone)
  return clone


def carry_weights(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Copies the weights of a layer to its replacement, part by part where it has parts; builds parts not yet built.

  The weights of a batch normalization go to a `BatchNormAct` only; those of a fused activation (PReLU) are dropped.

  Args:
    old: the layer.
    new: its replacement, which gets the weights.
  """
  for part, new_part in pair_parts(old, new):
    if isinstance(part, BATCH_NORMALIZATIONS) and not isinstance(new_part, BATCH_NORMALIZATIONS):
      if part.built and isinstance(new_part, BatchNormAct):  # blocks make parts that they never call
        _copy_batch_norm(part, new_part.norm)
    elif isinstance(part, tf.Variable):
      new_part.assign(part)
    else:
      new_part.set_weights(part.get_weights())
      if hasattr(new_part, 'finalize_state'):  # tf_keras's Normalization derives constants from its weights
        new_part.finalize_state()


def pair_parts(old: Any, new: Any) -> list[tuple[Any, Any]]:
  """Returns the pairs of corresponding parts: normalizations, layers that hold none, and variables.

  The new layers get the name, the dtype and `trainable` of the old ones, and are built if those are.

  Args:
    old: a layer, or a part of one.
    new: its replacement, or the corresponding part of that.
  """
  if isinstance(old, BATCH_NORMALIZATIONS) and not isinstance(new, BATCH_NORMALIZATIONS):
    _build_like(old, new)
    return [(old, new)]
  if isinstance(old, tf_keras.layers.Layer) and not has_batch_norm(old):
    # A layer comes before its parts: where its `build` makes them, they exist when their turn comes.
    for part, new_part in zip(keras_internals.iterate_parts(old), keras_internals.iterate_parts(new)):
      keras_internals.copy_identity(part, new_part)
      _build_like(part, new_part)
    return [(old, new)]
  if isinstance(old, tf.Variable):
    return [(old, new)]
  if isinstance(old, tf_keras.layers.Layer):
    keras_internals.copy_identity(old, new)
  # Attributes and elements pair the parts, not the order of weights, in which a replaced part moves to the end.
  parts, new_parts = keras_internals.children(old) or {}, keras_internals.children(new) or {}
  return [pair for name, part in parts.items() if keras_internals.children(new_parts.get(name)) is not None
          for pair in pair_parts(part, new_parts[name])]


def _build_like(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Builds a layer for the input of another, if that is built, with the names of its weights."""
  if new.built or not old.built:
    return
  scope = old.weights[0].name.rpartition('/')[0] if old.weights else old.name
  with tf.name_scope(f'{scope}/'):  # the slash makes the scope absolute
    new.build_from_config(old.get_build_config())
  new.built = True  # some `build`s do not set it, and would run again, with fresh weights, at the first call


def _copy_batch_norm(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  for name in _BATCH_NORM_WEIGHTS:
    source, target = getattr(old, name, None), getattr(new, name, None)
    if source is not None and target is not None:
      target.assign(source)
