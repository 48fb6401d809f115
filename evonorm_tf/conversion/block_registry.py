"""The converter's registry of layer classes that contain batch normalizations, of tf_keras and of Keras 3.

`register_block` and `register_assembly` add entries; `convert_norm_act` uses them. `block_swapping` helps to write
them; those for the TF Model Garden are in `model_garden_blocks`.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import TypeVar

from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.conversion.replacement import has_batch_norm
from evonorm_tf.conversion.replacement import Layer
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.registry import NormAct

Convert = Callable[[Layer], Layer]
_Function = TypeVar('_Function', bound=Callable[..., Layer])

# A class or its dotted name -> the function that replaces the layers of that class.
_BLOCKS: dict[type | str, Callable[[Layer, NormAct], Layer]] = {}
_ASSEMBLIES: dict[type | str, Callable[[Layer, Convert], Layer]] = {}


def register_block(block_class: type[Layer] | str) -> Callable[[_Function], _Function]:
  """Returns a decorator that registers how the converter replaces the layers of a class.

  The decorated function is called as `function(block, norm_act)`, with a layer of the model and a factory of
  norm-activation layers. It returns a new layer of the same name without batch normalizations, and leaves `block`
  unchanged. `swap_norms` makes most such layers of tf_keras. Afterwards the converter copies the weights of all other
  parts. It finds these by attribute, so they must be in the same attributes in both layers.

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
    # a head has a list of normalizations for each level
    internals_of(replacement).list_parts_in_attribute(replacement)
  return replacement


def _entry(registry: Mapping[type | str, Callable[..., Layer]], layer: Layer) -> Callable[..., Layer] | None:
  """Returns the function that is registered for the layer's class or its dotted name, or None."""
  layer_class = type(layer)
  return registry.get(layer_class) or registry.get(f'{layer_class.__module__}.{layer_class.__qualname__}')
