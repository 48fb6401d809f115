"""Layers that hide their batch normalizations: a registry for the converter, with the blocks of the TF Model Garden.

The built-in entries are known by their dotted names, so that Model Garden is not imported where it is not used.
"""

import tensorflow as tf

from evonorm_tf.replacement import clone_layer
from evonorm_tf.replacement import FUSIBLE_FUNCTIONS
from evonorm_tf.replacement import function_name
from evonorm_tf.replacement import has_batch_norm
from evonorm_tf.replacement import replace_norm

_BLOCKS = {}  # class, or its dotted name -> the function that replaces a layer of that class


def register_block(block_class):
  """Returns a decorator that registers how the converter replaces the layers of a class.

  The decorated `function(block, norm_act)` gets the model's layer and a factory, leaves the layer as it is, and
  returns a new one without batch normalizations; `swap_norms` makes most of them. The parts that it did not replace
  must lie in the attributes where the layer has them, for by these the converter carries their weights.

  Args:
    block_class: the layer's class, exactly (a subclass may compute something else, and needs its own entry), or its
      dotted name.
  """
  def register(function):
    _BLOCKS[block_class] = function
    return function
  return register


def is_registered(block) -> bool:
  """Whether the converter knows how to replace this layer."""
  return _entry(block) is not None


def replace_block(block, norm_act):
  """Returns the replacement of a layer of a registered class, its weights not yet carried over.

  Raises:
    ValueError: if the replacement still has batch normalizations, or another name.
  """
  replacement = _entry(block)(block, norm_act)
  if has_batch_norm(replacement):
    raise ValueError(f'The registered replacement of {block.name!r} ({type(block).__name__}) still has a batch '
                     'normalization.')
  if replacement.name != block.name:
    raise ValueError(f'The registered replacement of {block.name!r} ({type(block).__name__}) must keep its name, '
                     f'received {replacement.name!r}.')
  return replacement


def _entry(block):
  block_class = type(block)
  return _BLOCKS.get(block_class) or _BLOCKS.get(f'{block_class.__module__}.{block_class.__qualname__}')


def swap_norms(block, norm_act, fused=None, affine=(), block_class=None):
  """Returns a fresh copy of a layer whose normalizations, made in its `build`, are swapped before they are built.

  Args:
    block: the layer, called before or not.
    norm_act: a factory of norm-activation layers.
    fused: attribute of a normalization, or of a list of them -> attribute of the activation that follows it, a
      function or a layer. The activation becomes the identity. An activation that is not one of
      `FUSIBLE_FUNCTIONS` stays, and the normalization takes its affine form. Attributes that the layer lacks are
      skipped.
    affine: attributes of the normalizations that no activation follows.
    block_class: the class of the copy (default: the layer's own).
  """
  copy = clone_layer(block, block_class)
  with tf.name_scope(block.name):
    copy.build_from_config(block.get_build_config() or {'input_shape': None})
  source = block if block.built else copy  # a built layer's parts have the names and `trainable` to keep
  pairs = {**(fused or {}), **dict.fromkeys(affine)}
  functions = {norm: activation and function_name(getattr(source, activation, None))
               for norm, activation in pairs.items()}
  for norm, function in functions.items():
    if not hasattr(source, norm):
      continue
    fuse = function in FUSIBLE_FUNCTIONS
    setattr(copy, norm, tf.nest.map_structure(
        lambda bn, fuse=fuse: replace_norm(bn, norm_act, nonlinearity=fuse), getattr(source, norm)))
    if fuse:
      setattr(copy, pairs[norm], tf.identity)
  return copy


def _register_parts(dotted_name: str, fused: dict, affine=()) -> None:
  """Registers a class of Model Garden whose replacement differs in its parts only."""
  register_block(f'official.vision.modeling.{dotted_name}')(
      lambda block, norm_act: swap_norms(block, norm_act, fused, affine))


_register_parts('layers.nn_blocks.BottleneckBlock', {'_norm1': '_activation1', '_norm2': '_activation2'},
                ('_norm0', '_norm3'))
_register_parts('layers.nn_blocks.InvertedBottleneckBlock',
                {'_norm0': '_activation_layer', '_norm1': '_depthwise_activation_layer'}, ('_norm2',))
_register_parts('backbones.mobilenet.Conv2DBNBlock', {'_norm0': '_activation_layer'})
_register_parts('heads.dense_prediction_heads.RPNHead', {'_norms': '_activation'})
_register_parts('heads.dense_prediction_heads.RetinaNetHead',
                dict.fromkeys(('_cls_norms', '_box_norms', '_att_norms'), '_activation'))
_register_parts('heads.instance_heads.DetectionHead', dict.fromkeys(('_conv_norms', '_fc_norms'), '_activation'))
_register_parts('heads.instance_heads.MaskHead', dict.fromkeys(('_conv_norms', '_deconv_bn'), '_activation'))
_register_parts('heads.segmentation_heads.SegmentationHead',
                dict.fromkeys(('_norms', '_dlv3p_norm'), '_activation'))


@register_block('official.vision.modeling.layers.nn_blocks.ResidualBlock')
def _replace_residual_block(block, norm_act):
  """The block applies one function twice: after its first normalization, where it is fused, and after the sum."""
  if function_name(block._activation_fn) not in FUSIBLE_FUNCTIONS:
    return swap_norms(block, norm_act, affine=('_norm0', '_norm1', '_norm2'))

  class ResidualBlock(type(block)):
    """The block without its first activation."""

    def call(self, inputs, training=None):
      return self._last_activation(super().call(inputs, training=training))

  replacement = swap_norms(block, norm_act, {'_norm1': '_activation_fn'}, ('_norm0', '_norm2'), ResidualBlock)
  replacement._last_activation = block._activation_fn
  return replacement
