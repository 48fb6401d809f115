"""The converter's registry of layers that hide their batch normalizations, and functions that help to replace them.

`model_garden_blocks` has the entries for the TF Model Garden.
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

# Class, or its dotted name -> the function that replaces a layer of that class.
_BLOCKS: dict[type | str, Callable[[Layer, NormAct], Layer]] = {}
_ASSEMBLIES: dict[type | str, Callable[[Layer, Convert], Layer]] = {}


def register_block(block_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  """Returns a decorator that registers how the converter replaces the layers of a class.

  The decorated `function(block, norm_act)` gets the model's layer and a factory, leaves the layer as it is, and
  returns a new one without batch normalizations; `swap_norms` makes most of them. The parts that it does not replace
  must be in the same attributes as in the layer, because by these the converter carries over their weights.

  Args:
    block_class: the layer's exact class (a subclass may compute something else, and needs its own entry), or its dotted
      name.
  """
  return _adder(_BLOCKS, block_class)


def register_assembly(assembly_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  """Returns a decorator like that of `register_block`, for a class that is assembled from layers or functional models.

  The decorated `function(assembly, convert)` gets the model's layer and a function that returns the converted form of
  a part, and returns a new assembly of converted parts. The weights of the parts are carried over afterwards.

  Args:
    assembly_class: the exact class, or its dotted name. It must have no weights besides those of its parts.
  """
  return _adder(_ASSEMBLIES, assembly_class)


def _adder(registry: dict, layer_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  def register(function: _Function) -> _Function:
    registry[layer_class] = function
    return function
  return register


def is_registered(layer: Layer) -> bool:
  """Returns whether the converter knows how to replace this layer."""
  return bool(_entry(_BLOCKS, layer)) or is_assembly(layer)


def is_assembly(layer: Layer) -> bool:
  """Returns whether the layer's class was registered as an assembly."""
  return bool(_entry(_ASSEMBLIES, layer))


def replace_registered(layer: Layer, norm_act: NormAct, convert: Convert) -> Layer:
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
    keras_internals.list_parts_in_attribute(replacement)  # a head has a list of normalizations for each level
  return replacement


def _entry(registry: Mapping[type | str, Callable[..., Layer]], layer: Layer) -> Callable[..., Layer] | None:
  layer_class = type(layer)
  return registry.get(layer_class) or registry.get(f'{layer_class.__module__}.{layer_class.__qualname__}')


def swap_norms(block: Layer, norm_act: NormAct, fused: Mapping[str, str] | None = None, affine: Iterable[str] = (),
               block_class: type[Layer] | None = None, **config) -> Layer:
  """Returns a fresh copy of a layer whose normalizations, made in its `build`, are swapped before they are built.

  Args:
    block: the layer; it must have been called, unless its `build` does without the input's shape.
    norm_act: a factory of norm-activation layers.
    fused: the attribute of each normalization, or list of them, that an activation follows -> the attribute of that
      activation, a function or a layer. The activation becomes the identity. One that is not among `FUSIBLE_FUNCTIONS`
      stays, and the normalization takes its affine form. Attributes that the layer lacks are skipped.
    affine: the attributes of the normalizations that no activation follows.
    block_class: the class of the copy (default: the layer's own).
    **config: arguments of the class that the layer's configuration lacks.
  """
  copy = built_copy(block, block_class, **config)
  source = block if block.built else copy  # the parts of a built layer have the names and `trainable` to keep
  swap_attributes(source, copy, norm_act, {**(fused or {}), **dict.fromkeys(affine)})
  if block.built:
    pair_parts(block, copy)  # before the copy is called, which would build its parts with the present dtype policy
  return copy


def swap_attributes(source: Any, copy: Any, norm_act: NormAct, activations: Mapping[str, str | None]) -> None:
  """Swaps the normalizations of `copy` for replacements of those of `source`.

  Args:
    source, copy: layers of one class whose `build` has run.
    norm_act: a factory of norm-activation layers.
    activations: the attribute of each normalization, or list of them -> the attribute of the activation that follows,
      or None.
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
  """Returns a fresh copy of a layer, whose `build` has run.

  Args:
    block, block_class, config: see `swap_norms`.

  Raises:
    ValueError: see `run_build`.
  """
  copy = clone_layer(block, block_class, **config)
  with tf.name_scope(block.name):
    run_build(block, copy)
  return copy


def run_build(block: Layer, copy: Layer) -> None:
  """Runs the `build` of a copy, for the input of the layer if that is known.

  Args:
    block: the layer.
    copy: another of its class.

  Raises:
    ValueError: if `build` needs the shape of the input, and the layer has not been called.
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
