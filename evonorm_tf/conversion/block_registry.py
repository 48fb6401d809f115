"""Layers that hide their batch normalizations: the converter's registry of how to replace them, and what helps to.

`model_garden_blocks` has the entries for the TF Model Garden.
"""

import tensorflow as tf

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.conversion.replacement import has_batch_norm
from evonorm_tf.conversion.replacement import pair_parts
from evonorm_tf.conversion.replacement import replace_norm
from evonorm_tf.errors import ArgumentError

# Class, or its dotted name -> the function that replaces a layer of that class.
_BLOCKS = {}
_ASSEMBLIES = {}


def register_block(block_class):
  """Returns a decorator that registers how the converter replaces the layers of a class.

  The decorated `function(block, norm_act)` gets the model's layer and a factory, leaves the layer as it is, and
  returns a new one without batch normalizations; `swap_norms` makes most of them. The parts that it did not replace
  must lie in the attributes where the layer has them, for by these the converter carries their weights.

  Args:
    block_class: the layer's class, exactly (a subclass may compute something else, and needs its own entry), or its
      dotted name.
  """
  return _adder(_BLOCKS, block_class)


def register_assembly(assembly_class):
  """Returns a decorator as `register_block`'s, for a class that is put together from layers or functional models.

  The decorated `function(assembly, convert)` gets the model's layer and a function that returns the converted form of
  one of its parts, and returns a new assembly of such. The weights of the parts are carried over afterwards.

  Args:
    assembly_class: the class, exactly, or its dotted name. It must have no weights of its own, besides its parts'.
  """
  return _adder(_ASSEMBLIES, assembly_class)


def _adder(registry: dict, layer_class):
  def register(function):
    registry[layer_class] = function
    return function
  return register


def is_registered(layer) -> bool:
  """Whether the converter knows how to replace this layer."""
  return bool(_entry(_BLOCKS, layer)) or is_assembly(layer)


def is_assembly(layer) -> bool:
  """Whether the layer is of a class that was registered as an assembly."""
  return bool(_entry(_ASSEMBLIES, layer))


def replace_registered(layer, norm_act, convert):
  """Returns the replacement of a layer of a registered class, its weights not yet carried over.

  Args:
    layer: the layer.
    norm_act: a factory of norm-activation layers.
    convert: the function that converts a part of an assembly.

  Raises:
    ValueError: if the replacement still has batch normalizations, or another name.
  """
  function = _entry(_ASSEMBLIES, layer)
  replacement = function(layer, convert) if function else _entry(_BLOCKS, layer)(layer, norm_act)
  if has_batch_norm(replacement):
    raise ArgumentError(f'The registered replacement of {layer.name!r} ({type(layer).__name__}) still has a batch '
                        'normalization.')
  if replacement.name != layer.name:
    raise ArgumentError(f'The registered replacement of {layer.name!r} ({type(layer).__name__}) must keep its name, '
                        f'received {replacement.name!r}.')
  if not function:
    # `save_weights` to .weights.h5 finds layers in lists, but not in lists of lists, such as a head's norms by level.
    replacement._all_parts = list(replacement._flatten_layers(recursive=False, include_self=False))
  return replacement


def _entry(registry: dict, layer):
  layer_class = type(layer)
  return registry.get(layer_class) or registry.get(f'{layer_class.__module__}.{layer_class.__qualname__}')


def swap_norms(block, norm_act, fused=None, affine=(), block_class=None, **config):
  """Returns a fresh copy of a layer whose normalizations, made in its `build`, are swapped before they are built.

  Args:
    block: the layer, called before or, if its `build` does without the input's shape, not.
    norm_act: a factory of norm-activation layers.
    fused: attribute of a normalization, or of a list that has some -> attribute of the activation that follows it, a
      function or a layer. The activation becomes the identity. An activation that is not one of
      `FUSIBLE_FUNCTIONS` stays, and the normalization takes its affine form. Attributes that the layer lacks are
      skipped.
    affine: attributes of the normalizations that no activation follows.
    block_class: the class of the copy (default: the layer's own).
    **config: arguments of the class that the layer's configuration lacks.
  """
  copy = built_copy(block, block_class, **config)
  source = block if block.built else copy  # a built layer's parts have the names and `trainable` to keep
  swap_attributes(source, copy, norm_act, {**(fused or {}), **dict.fromkeys(affine)})
  if block.built:
    pair_parts(block, copy)  # before the copy is called, which would build its parts with the dtype of today's policy
  return copy


def swap_attributes(source, copy, norm_act, activations: dict) -> None:
  """Swaps the normalizations of `copy` for replacements of those of `source`.

  Args:
    source, copy: layers of one class, `build` having run.
    norm_act: a factory of norm-activation layers.
    activations: attribute of normalizations -> attribute of the activation that follows, or None.
  """
  functions = {norm: activation and function_name(getattr(source, activation, None))
               for norm, activation in activations.items()}

  def swap(part, copied, fuse):
    return replace_norm(part, norm_act, nonlinearity=fuse) if isinstance(part, BATCH_NORMALIZATIONS) else copied

  for norm, function in functions.items():
    if not hasattr(source, norm):
      continue
    fuse = function in FUSIBLE_FUNCTIONS
    setattr(copy, norm, tf.nest.map_structure(
        lambda part, copied, fuse=fuse: swap(part, copied, fuse), getattr(source, norm), getattr(copy, norm)))
    if fuse:
      setattr(copy, activations[norm], tf.identity)


def built_copy(block, block_class=None, **config):
  """Returns a fresh copy of a layer whose `build` has run."""
  copy = clone_layer(block, block_class, **config)
  with tf.name_scope(block.name):
    run_build(block, copy)
  return copy


def run_build(block, copy) -> None:
  """Runs the `build` of a copy for the input of the layer, if known.

  Raises:
    ValueError: if it is not known, but needed.
  """
  build_config = block.get_build_config()
  try:
    if build_config:
      copy.build_from_config(build_config)
    else:
      copy.build(None)
  except (TypeError, ValueError) as error:
    if build_config:
      raise
    raise ArgumentError(f'Layer {block.name!r} ({type(block).__name__}) must be called before it is converted: it cannot '
                        'make its parts without the shape of its input.') from error
  copy.built = True  # a `build` that does not say so would be run again, and make all parts anew, at the first call
