"""Replacement of a batch normalization, copies of other layers, and the transfer of their weights.

A BN-ReLU or BN-SiLU layer computes what a batch normalization and its activation compute, so it takes over all options
and weights. Every other layer computes another function and starts with fresh weights; it takes over only the
initializers, regularizers and constraints of γ and β, and `synchronized`, as far as it has these arguments.
"""

from typing import Any

from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.baseline_body import BatchNormBody
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.layers.registry import NormActFactory

Layer = Any  # a layer of tf_keras or Keras 3

_VECTOR_OPTIONS = tuple(f'{vector}_{option}' for vector in ('gamma', 'beta')
                        for option in ('initializer', 'regularizer', 'constraint'))
_BATCH_NORM_OPTIONS = ('epsilon', 'momentum', 'center', 'scale')
_BATCH_NORM_WEIGHTS = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def is_batch_norm(layer: Any) -> bool:
  """Returns whether a layer is a batch normalization of its Keras.

  Args:
    layer: any layer, or another part of one.
  """
  return isinstance(layer, internals_of(layer).BATCH_NORMALIZATIONS)


def has_batch_norm(layer: Layer) -> bool:
  """Returns whether a layer contains a batch normalization, at any depth.

  The layer itself does not count, and neither does the normalization inside a `BatchNormAct`.

  Args:
    layer: any layer or model.
  """
  parts = () if isinstance(layer, BatchNormBody) else internals_of(layer).direct_parts(layer)
  return any(is_batch_norm(part) or has_batch_norm(part) for part in parts)


def check_channels_last(bn: Layer) -> None:
  """Checks that a batch normalization normalizes the last axis.

  Args:
    bn: the batch normalization.

  Raises:
    ValueError: if it normalizes another axis; the message names the layer.
  """
  axes = list(bn.axis) if isinstance(bn.axis, (list, tuple)) else [bn.axis]
  if axes not in ([-1], [bn.input_spec.ndim - 1 if bn.built else -1]):
    raise ArgumentError(f'Layer {bn.name!r} must normalize the last axis (channels last), received axis {axes}.')


def replace_norm(bn: Layer, norm_act: NormAct, nonlinearity: bool) -> Layer:
  """Returns a norm-activation layer, not yet built, with a batch normalization's name, dtype and `trainable`.

  Args:
    bn: the batch normalization to replace; it is left unchanged.
    norm_act: a factory of norm-activation layers.
    nonlinearity: True for the fused layer, which also activates; False for the affine form.

  Raises:
    ValueError: if `bn` does not normalize the last axis; or if it has `renorm` or `virtual_batch_size`, and the new
      layer is a batch normalization, too.
  """
  check_channels_last(bn)
  layer = norm_act(nonlinearity=nonlinearity, name=bn.name, **_options(bn, norm_act))
  layer.trainable = bn.trainable
  return layer


def _options(bn: Layer, norm_act: NormAct) -> dict[str, Any]:
  """Returns the options of `bn` that the new layer takes over; options that the factory sets are left out."""
  options = {'dtype': bn.dtype_policy}
  if not isinstance(norm_act, NormActFactory):
    return options
  config = bn.get_config()
  options.update({option: config[option] for option in _VECTOR_OPTIONS if norm_act.leaves_open(option)})
  if issubclass(norm_act.layer_class, BatchNormBody):
    if getattr(bn, 'renorm', False) or getattr(bn, 'virtual_batch_size', None):
      raise ArgumentError(f'Layer {bn.name!r} must be a batch normalization without `renorm` and `virtual_batch_size`, '
                          f'which {norm_act.layer_class.__name__} does not have.')
    options.update({option: config[option] for option in _BATCH_NORM_OPTIONS})
  if norm_act.leaves_open('synchronized'):
    options['synchronized'] = bn.synchronized
  return {option: value for option, value in options.items() if option not in norm_act.options}


def clone_layer(layer: Layer, layer_class: type[Layer] | None = None, **config
                ) -> Layer:
  """Returns a copy of a layer with the same configuration, name, dtype and `trainable`, but fresh weights.

  Args:
    layer: the layer to copy.
    layer_class: the class of the copy; None (default) for the layer's own.
    **config: constructor arguments that the layer's configuration lacks, or values that replace those in it, except
      `name`, `dtype` and `trainable`, which stay the layer's. A plain `Activation` ignores `layer_class` and these.

  Raises:
    ArgumentError: if the layer cannot be made again from its configuration.
  """
  try:
    return internals_of(layer).copy_layer(layer, layer_class, config)
  except (TypeError, ValueError, NotImplementedError) as error:
    raise ArgumentError(f'Layer {layer.name!r} ({type(layer).__name__}) cannot be copied, for it cannot be made '
                        f'again from its configuration: {error}') from error


def carry_weights(old: Layer, new: Layer) -> None:
  """Copies the weights of a layer to its replacement, part by part, and builds parts that are not yet built.

  The weights of a replaced batch normalization are copied only if a `BatchNormAct` replaces it. The weights of a fused
  activation (PReLU) are dropped.

  Args:
    old: the original layer.
    new: its replacement, which receives the weights.
  """
  internals = internals_of(old)
  for part, new_part in pair_parts(old, new):
    if is_batch_norm(part) and not is_batch_norm(new_part):
      if part.built and isinstance(new_part, BatchNormBody):  # a block may never call, and so never build, a part
        _copy_batch_norm(part, new_part.norm)
    elif isinstance(part, internals.Variable):
      new_part.assign(internals.values_of(part))
    else:
      new_part.set_weights(part.get_weights())
      if hasattr(new_part, 'finalize_state'):  # tf_keras's Normalization derives constants from its weights
        new_part.finalize_state()
  internals.settle_trainable(old, new)


def pair_parts(old: Any, new: Any) -> list[tuple[Any, Any]]:
  """Pairs the parts of a layer with those of its replacement, and builds the new parts where the old ones are built.

  A part is a batch normalization, a layer that contains none, or a variable. The new layers get the name, the dtype and
  `trainable` of the old ones.

  Args:
    old: the original layer, or a part of it.
    new: its replacement, or the corresponding part of that.

  Returns:
    A tuple (old part, new part) for each pair. Parts without a counterpart, such as a fused activation, are left out.
  """
  internals = internals_of(old)
  if is_batch_norm(old) and not is_batch_norm(new):
    internals.build_like(old, new)
    return [(old, new)]
  if isinstance(old, internals.Layer) and not has_batch_norm(old):
    # A layer comes before its parts, so that parts which its `build` makes exist when their turn comes.
    for part, new_part in zip(internals.iterate_parts(old), internals.iterate_parts(new)):
      internals.copy_identity(part, new_part)
      internals.build_like(part, new_part)
    return [(old, new)]
  if isinstance(old, internals.Variable):
    return [(old, new)]
  if isinstance(old, internals.Layer):
    internals.copy_identity(old, new)
  # Parts correspond by attribute name or position. The order of weights would not do: a replaced part moves to the end.
  parts, new_parts = internals.children(old) or {}, internals.children(new) or {}
  return [pair for name, part in parts.items() if internals.children(new_parts.get(name)) is not None
          for pair in pair_parts(part, new_parts[name])]


def _copy_batch_norm(old: Layer, new: Layer) -> None:
  """Copies the weights that both batch normalizations have."""
  for name in _BATCH_NORM_WEIGHTS:
    source, target = getattr(old, name, None), getattr(new, name, None)
    if source is not None and target is not None:
      target.assign(internals_of(source).values_of(source))
