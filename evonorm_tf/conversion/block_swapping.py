"""Functions that help to write entries of the converter's registry: copies of tf_keras layers with other
normalizations.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.conversion.replacement import is_batch_norm
from evonorm_tf.conversion.replacement import pair_parts
from evonorm_tf.conversion.replacement import replace_norm
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.layers.which_keras import KERAS_3
from evonorm_tf.layers.which_keras import keras_name

Layer = tf_keras.layers.Layer


def swap_norms(block: Layer, norm_act: NormAct, fused: Mapping[str, str] | None = None, affine: Iterable[str] = (),
               block_class: type[Layer] | None = None, **config) -> Layer:
  """Returns a copy of a layer in which norm-activation layers replace the batch normalizations.

  It is for layers of tf_keras whose `build` makes the normalizations and keeps them in attributes. The weights are not
  copied: the converter does that after the registered function has returned.

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
      normalize the last axis, or if `block` is of Keras 3.
  """
  if keras_name(block) == KERAS_3:
    raise ArgumentError(f'`block` must be a layer of tf_keras, received {block.name!r} of Keras 3: make its '
                        'replacement in the registered function yourself.')
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
    return replace_norm(part, norm_act, nonlinearity=fuse) if is_batch_norm(part) else copied

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
