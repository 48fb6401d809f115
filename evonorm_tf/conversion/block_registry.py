"""The converter's registry of layer classes that contain batch normalizations, and functions that help to replace them.

`register_block` and `register_assembly` add entries; `convert_norm_act` uses them. The entries for the TF Model Garden
are in `model_garden_blocks`.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

import tensorflow as tf
import tf_keras

from evonorm_tf.conversion import keras_internals
from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.conversion.replacement import has_batch_norm
from evonorm_tf.conversion.replacement import pair_parts
from evonorm_tf.conversion.replacement import replace_norm
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import NormAct

Layer = tf_keras.layers.Layer
Convert = Callable[[Layer], Layer]
_Function = TypeVar('_Function', bound=Callable[..., Layer])

# A class or its dotted name -> the function that replaces the layers of that class.
_BLOCKS: dict[type | str, Callable[[Layer, NormAct], Layer]] = {}
_ASSEMBLIES: dict[type | str, Callable[[Layer, Convert], Layer]] = {}


def register_block(block_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  """Returns a decorator that registers how the converter replaces the layers of a class.

  The decorated function is called as `function(block, norm_act)`, with a layer of the model and a factory of
  norm-activation layers. It returns a new layer of the same name without batch normalizations, and leaves `block`
  unchanged. `swap_norms` makes most such layers. Afterwards the converter copies the weights of all other parts. It
  finds these by attribute, so they must be in the same attributes in both layers.

  Args:
    block_class: the layer's exact class, or its dotted name, which avoids the import. A subclass needs its own entry,
      because it may compute something else.
  """
  return _adder(_BLOCKS, block_class)


def register_assembly(assembly_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  """Returns a decorator that registers how the converter reassembles the layers of a class.

  An assembly is a layer made of other layers or functional models, with no weights besides theirs, such as a detector
  of a backbone, a decoder and heads. The decorated function is called as `function(assembly, convert)`, with a layer of
  the model and a function that returns the converted form of one of its parts. It returns a new assembly of the same
  name from converted parts. Afterwards the converter copies the weights of the parts.

  Args:
    assembly_class: the layer's exact class, or its dotted name, which avoids the import.
  """
  return _adder(_ASSEMBLIES, assembly_class)


def _adder(registry: dict, layer_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  """Returns a decorator that puts a function into a registry, under a class or its dotted name."""
  def register(function: _Function) -> _Function:
    registry[layer_class] = function
    return function
  return register


def is_registered(layer: Layer) -> bool:
  """Returns whether the layer's class is registered as a block or as an assembly.

  Args:
    layer: any layer.
  """
  return bool(_entry(_BLOCKS, layer)) or is_assembly(layer)


def is_assembly(layer: Layer) -> bool:
  """Returns whether the layer's class is registered as an assembly, a layer whose weights are all in its parts.

  Args:
    layer: any layer.
  """
  return bool(_entry(_ASSEMBLIES, layer))


def replace_registered(layer: Layer, norm_act: NormAct, convert: Convert) -> Layer:
  """Returns the replacement of a layer of a registered class; the weights are not yet copied.

  Args:
    layer: the layer to replace; it is left unchanged.
    norm_act: a factory of norm-activation layers, for a block.
    convert: a function that returns the converted form of a part, for an assembly.

  Raises:
    ValueError: if the replacement still contains a batch normalization, or has another name than `layer`.
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
    keras_internals.list_parts_in_attribute(replacement)  # a head has a list of normalizations for each level
  return replacement


def _entry(registry: Mapping[type | str, Callable[..., Layer]], layer: Layer) -> Callable[..., Layer] | None:
  """Returns the function that is registered for the layer's class or its dotted name, or None."""
  layer_class = type(layer)
  return registry.get(layer_class) or registry.get(f'{layer_class.__module__}.{layer_class.__qualname__}')


def swap_norms(block: Layer, norm_act: NormAct, fused: Mapping[str, str] | None = None, affine: Iterable[str] = (),
               block_class: type[Layer] | None = None, **config) -> Layer:
  """Returns a copy of a layer in which norm-activation layers replace the batch normalizations.

  It is for layers whose `build` makes the normalizations and keeps them in attributes. The weights are not copied: the
  converter does that after the registered function has returned.

  Args:
    block: the layer to copy, which is left unchanged. If its `build` needs the input's shape, it must have been called.
    norm_act: a factory of norm-activation layers.
    fused: normalizations that an activation follows. It maps the attribute that holds a normalization, or a list of
      them, to the attribute that holds the activation, a function or a layer. If the activation is one of
      `activations.FUSIBLE_FUNCTIONS` (ReLU, SiLU and similar), the new layers include it, and the identity takes its
      place in the copy. Otherwise it stays, and the new layers have the affine form. Attributes that `block` lacks are
      skipped. None (default) for no such normalizations.
    affine: the attributes that hold normalizations, or lists of them, that no activation follows; their replacements
      have the affine form (default: none).
    block_class: the class of the copy; None (default) for that of `block`.
    **config: constructor arguments of the class that are missing from `block.get_config()`.

  Raises:
    ValueError: if `build` needs the input's shape and `block` has not been called, or if a normalization does not
      normalize the last axis.
  """
  copy = built_copy(block, block_class, **config)
  source = block if block.built else copy  # if `block` is built, its parts' names and `trainable` are to be kept
  swap_attributes(source, copy, norm_act, {**(fused or {}), **dict.fromkeys(affine)})
  if block.built:
    pair_parts(block, copy)  # builds the parts; the copy's first call would do so with the current dtype policy
  return copy


def swap_attributes(source: Any, copy: Any, norm_act: NormAct, activations: Mapping[str, str | None]) -> None:
  """Replaces the batch normalizations in attributes of a layer's copy by norm-activation layers.

  Args:
    source: the original layer, whose normalizations give the new layers their name, dtype and options.
    copy: a layer of the same class, which is changed. The `build` of both has run.
    norm_act: a factory of norm-activation layers.
    activations: maps the attribute that holds a normalization, or a list of them, to the attribute that holds the
      activation that follows, or to None. If the activation is one of `activations.FUSIBLE_FUNCTIONS` (ReLU, SiLU and
      similar), the new layers include it, and the identity takes its place in the copy. Otherwise they have the affine
      form.

  Raises:
    ValueError: if a normalization does not normalize the last axis.
  """
  functions = {norm: activation and function_name(getattr(source, activation, None))
               for norm, activation in activations.items()}

  def swap(part: Any, copied: Any, fuse: bool) -> Any:
    return replace_norm(part, norm_act, nonlinearity=fuse) if isinstance(part, BATCH_NORMALIZATIONS) else copied

  for norm, function in functions.items():
    if not hasattr(source, norm):
      continue
    fuse = function in FUSIBLE_FUNCTIONS
    setattr(copy, norm, tf.nest.map_structure(
        lambda part, copied, fuse=fuse: swap(part, copied, fuse), getattr(source, norm), getattr(copy, norm)))
    if fuse:
      setattr(copy, activations[norm], tf.identity)


def built_copy(block: Layer, block_class: type[Layer] | None = None, **config) -> Layer:
  """Returns a copy of a layer, with the same configuration but fresh weights, after running its `build`.

  Args:
    block: the layer to copy. If its `build` needs the input's shape, it must have been called.
    block_class: the class of the copy; None (default) for that of `block`.
    **config: constructor arguments of the class that are missing from `block.get_config()`.

  Raises:
    ValueError: if `build` needs the input's shape and `block` has not been called.
  """
  copy = clone_layer(block, block_class, **config)
  with tf.name_scope(block.name):
    run_build(block, copy)
  return copy


def run_build(block: Layer, copy: Layer) -> None:
  """Runs the `build` of a layer's copy, for the input shape with which the original layer was built, if it was.

  Args:
    block: the original layer.
    copy: the copy, another layer of the same class.

  Raises:
    ValueError: if `build` needs the input's shape and `block` has not been called.
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
    raise ArgumentError(f'Layer {block.name!r} ({type(block).__name__}) must be called before it is converted: it '
                        'cannot make its parts without the shape of its input.') from error
  copy.built = True  # some `build`s do not set it, and would run again and make new parts at the first call
