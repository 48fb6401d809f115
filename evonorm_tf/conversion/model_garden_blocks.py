"""Registration of the TF Model Garden's blocks, heads, decoders and detectors with the converter.

Importing this module adds the entries to `block_registry`. They have dotted names, so that Model Garden itself is not
imported.
"""
# ruff: noqa: SLF001  Model Garden's blocks hold their parts in private attributes and have no public access to them

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.activations import FUSIBLE_FUNCTIONS
from evonorm_tf.conversion.block_registry import Convert
from evonorm_tf.conversion.block_registry import register_assembly
from evonorm_tf.conversion.block_registry import register_block
from evonorm_tf.conversion.block_swapping import built_copy
from evonorm_tf.conversion.block_swapping import Layer
from evonorm_tf.conversion.block_swapping import run_build
from evonorm_tf.conversion.block_swapping import swap_attributes
from evonorm_tf.conversion.block_swapping import swap_norms
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.layers.norm_act import NormAct


def _register_parts(dotted_name: str, fused: Mapping[str, str], affine: Iterable[str] = (), lacking: Iterable[str] = ()
                    ) -> None:
  """Registers a class of Model Garden whose replacement differs only in its normalizations and activations.

  Args:
    dotted_name: the name of the class within official.vision.modeling.
    fused: the attribute of each normalization that an activation follows -> the attribute of that activation.
    affine: the attributes of the normalizations that no activation follows (default: none).
    lacking: constructor arguments that the class's configuration lacks; an attribute of the same name with a leading
      underscore holds each (default: none).
  """
  @register_block(f'official.vision.modeling.{dotted_name}')
  def _(block: Layer, norm_act: NormAct) -> Layer:
    return swap_norms(block, norm_act, fused, affine, **{name: getattr(block, f'_{name}') for name in lacking})


_register_parts('layers.nn_blocks.BottleneckBlock', {'_norm1': '_activation1', '_norm2': '_activation2'},
                ('_norm0', '_norm3'))
_register_parts('layers.nn_blocks.InvertedBottleneckBlock',
                {'_norm0': '_activation_layer', '_norm1': '_depthwise_activation_layer'}, ('_norm2',))
_register_parts('layers.nn_blocks.UniversalInvertedBottleneckBlock',
                {'_expand_norm': '_expand_act', '_middle_dw_norm': '_middle_dw_act'},
                ('_start_dw_norm', '_proj_norm', '_end_dw_norm'))
_register_parts('layers.nn_blocks.TuckerConvBlock',
                {'_norm0': '_activation_layer0', '_norm1': '_activation_layer1'}, ('_norm2',))
_register_parts('layers.nn_blocks.DepthwiseSeparableConvBlock', dict.fromkeys(('_norm0', '_norm1'), '_activation_fn'),
                lacking=('kernel_size', 'dilation_rate'))
_register_parts('layers.nn_layers.SpatialPyramidPooling',
                dict.fromkeys(('aspp_layers', '_projection'), '_activation_fn'), lacking=('use_depthwise_convolution',))
_register_parts('backbones.mobilenet.Conv2DBNBlock', {'_norm0': '_activation_layer'})
_register_parts('heads.dense_prediction_heads.RPNHead', {'_norms': '_activation'})
_register_parts('heads.dense_prediction_heads.RetinaNetHead',
                dict.fromkeys(('_cls_norms', '_box_norms', '_att_norms'), '_activation'))
_register_parts('heads.instance_heads.DetectionHead', dict.fromkeys(('_conv_norms', '_fc_norms'), '_activation'))
_register_parts('heads.instance_heads.MaskHead', dict.fromkeys(('_conv_norms', '_deconv_bn'), '_activation'))
_register_parts('heads.segmentation_heads.MaskScoring', dict.fromkeys(('_conv_norms', '_fc_norms'), '_activation'))
_register_parts('heads.segmentation_heads.SegmentationHead',
                dict.fromkeys(('_norms', '_dlv3p_norm'), '_activation'))


class _LastActivation:
  """Mixin of a block that applies one function twice: after normalizations, where it is fused, and after the sum."""

  def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    return self._last_activation(super().call(inputs, training=training))


def _register_residual_block(dotted_name: str, fused: Iterable[str], affine: Iterable[str]) -> None:
  """Registers a block that applies its activation after the normalizations in `fused`, and once more to its output."""
  @register_block(f'official.vision.modeling.{dotted_name}')
  def _(block: Layer, norm_act: NormAct) -> Layer:
    if function_name(block._activation_fn) not in FUSIBLE_FUNCTIONS:
      return swap_norms(block, norm_act, affine=(*fused, *affine))
    block_class = type(type(block).__name__, (_LastActivation, type(block)), {})
    replacement = swap_norms(block, norm_act, dict.fromkeys(fused, '_activation_fn'), affine, block_class)
    replacement._last_activation = block._activation_fn
    return replacement


_register_residual_block('layers.nn_blocks.ResidualBlock', ('_norm1',), ('_norm0', '_norm2'))
_register_residual_block('layers.nn_blocks_3d.BottleneckBlock3D', ('_norm1', '_norm2'), ('_norm0', '_norm3'))


@register_block('official.vision.modeling.layers.nn_blocks.ResidualInner')
@register_block('official.vision.modeling.layers.nn_blocks.BottleneckResidualInner')
def _replace_residual_inner(block: Layer, norm_act: NormAct) -> Layer:
  """Replaces the normalizations of a reversible block's inner part, each followed by an activation."""
  replacement = swap_norms(
      block, norm_act, dict.fromkeys(('_batch_norm_0', '_batch_norm_1', '_batch_norm_2'), '_activation_fn'))
  replacement._activation = replacement._activation_fn  # the block has its function in two attributes, and calls this
  return replacement


@register_block('official.vision.modeling.layers.nn_blocks.MultiHeadSelfAttentionBlock')
def _replace_attention_block(block: Layer, norm_act: NormAct) -> Layer:
  """Replaces all normalizations of an attention block by affine forms, because no activation follows them.

  Those inside its multi-query attention are included. That layer cannot be cloned on its own, so its copy is changed.
  """
  replacement = swap_norms(block, norm_act, affine=('_input_norm',))
  if hasattr(replacement, '_multi_query_attention'):
    copy = replacement._multi_query_attention
    attention = block._multi_query_attention if block.built else copy
    run_build(attention, copy)
    swap_attributes(attention, copy, norm_act, dict.fromkeys(
        ('_query_downsampling_norm', '_key_dw_norm', '_value_dw_norm')))
  elif block.built:
    # tf_keras's attention makes its weights at the first call, or from a configuration with its shapes.
    replacement._multi_head_attention = clone_layer(block._multi_head_attention)
  return replacement


@register_assembly('official.vision.modeling.layers.nn_blocks.ReversibleLayer')
@register_assembly('official.vision.modeling.maskrcnn_model.MaskRCNNModel')
@register_assembly('official.vision.modeling.segmentation_model.SegmentationModel')
def _reassemble(assembly: Layer, convert: Convert, **lacking) -> Layer:
  """Assembles converted parts, which the configuration holds; `lacking` holds constructor arguments that it lacks."""
  def convert_part(value: Any) -> Any:
    return convert(value) if isinstance(value, tf_keras.layers.Layer) else value

  config = {**assembly.get_config(), **lacking}
  copy = clone_layer(assembly, **{key: tf.nest.map_structure(convert_part, value) for key, value in config.items()})
  copy.built = assembly.built  # there is nothing to build but the parts, which are built if the old ones are
  return copy


@register_assembly('official.vision.modeling.retinanet_model.RetinaNetModel')
def _reassemble_retinanet(model: Layer, convert: Convert) -> Layer:
  return _reassemble(model, convert, anchor_boxes=model.anchor_boxes)


@register_assembly('official.vision.modeling.decoders.aspp.ASPP')
def _reassemble_aspp(decoder: Layer, convert: Convert) -> Layer:
  copy = built_copy(decoder)
  copy.aspp = convert(decoder.aspp if decoder.built else copy.aspp)
  return copy


@register_assembly('official.vision.modeling.layers.deeplab.SpatialPyramidPooling')
def _reassemble_pooling(pooling: Layer, convert: Convert) -> Layer:
  copy = built_copy(pooling, use_depthwise_convolution=pooling.use_depthwise_convolution)
  copy.aspp_layers = [convert(branch) for branch in pooling.aspp_layers]
  copy.projection = convert(pooling.projection)
  return copy
