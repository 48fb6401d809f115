"""Model Garden's blocks, heads and backbones: as BN-ReLU they give their own outputs, as others they keep no BN."""
# ruff: noqa: E402  what needs Model Garden is imported after it is known to be there

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from tests.evonorm_tf.comparison import assert_same_outputs
from tests.evonorm_tf.comparison import images
from tests.evonorm_tf.comparison import randomize

nn_blocks = pytest.importorskip('official.vision.modeling.layers.nn_blocks')
from official.vision.modeling.backbones import efficientnet
from official.vision.modeling.backbones import mobiledet
from official.vision.modeling.backbones import mobilenet
from official.vision.modeling.backbones import resnet
from official.vision.modeling.backbones import resnet_3d
from official.vision.modeling.backbones import resnet_deeplab
from official.vision.modeling.backbones import revnet
from official.vision.modeling.backbones import spinenet
from official.vision.modeling.backbones import spinenet_mobile
from official.vision.modeling.decoders import aspp
from official.vision.modeling.decoders import nasfpn
from official.vision.modeling.heads import dense_prediction_heads
from official.vision.modeling.heads import instance_heads
from official.vision.modeling.heads import segmentation_heads
from official.vision.modeling.layers import nn_blocks_3d

layers = tf_keras.layers

# Name -> the block for inputs of four channels, and the activations that it keeps under its own name.
BLOCKS = {
    'residual': (lambda: nn_blocks.ResidualBlock(4, 1, use_projection=True), ['relu']),
    'residual_tanh': (lambda: nn_blocks.ResidualBlock(4, 1, activation='tanh'), ['tanh']),
    'bottleneck': (lambda: nn_blocks.BottleneckBlock(2, 2, use_projection=True, se_ratio=.5),
                   ['relu', 'relu', 'sigmoid']),  # after the sum, and two of squeeze and excitation
    'inverted': (lambda: nn_blocks.InvertedBottleneckBlock(4, 4, 2, 1), []),
    'universal': (lambda: nn_blocks.UniversalInvertedBottleneckBlock(
        4, 4, 2, 1, start_dw_kernel_size=3, end_dw_kernel_size=3, use_layer_scale=True), []),
    'universal_strided': (lambda: nn_blocks.UniversalInvertedBottleneckBlock(
        4, 6, 2, 2, middle_dw_kernel_size=5, depthwise_activation='tanh'), ['tanh']),
    'tucker': (lambda: nn_blocks.TuckerConvBlock(4, 4, .5, .5, 1), []),
    'depthwise_separable': (lambda: nn_blocks.DepthwiseSeparableConvBlock(
        5, kernel_size=5, dilation_rate=2, activation='relu'), []),
    'attention': (lambda: nn_blocks.MultiHeadSelfAttentionBlock(4, num_heads=2, key_dim=2), ['softmax']),
    'attention_strided': (lambda: nn_blocks.MultiHeadSelfAttentionBlock(
        4, num_heads=2, key_dim=2, value_dim=2, use_multi_query=True, kv_strides=2, query_h_strides=2,
        query_w_strides=2), []),
    'reversible': (lambda: nn_blocks.ReversibleLayer(
        nn_blocks.ResidualInner(2, 1), nn_blocks.ResidualInner(2, 1, batch_norm_first=False)), []),
    'reversible_bottleneck': (lambda: nn_blocks.ReversibleLayer(
        nn_blocks.BottleneckResidualInner(2, 1), nn_blocks.BottleneckResidualInner(2, 1)), []),
    'bottleneck_3d': (lambda: nn_blocks_3d.BottleneckBlock3D(1, 3, 1, 2), ['relu']),
    'aspp': (lambda: aspp.ASPP(3, [2], num_filters=5, use_depthwise_convolution=True), []),
    'aspp_v2': (lambda: aspp.ASPP(3, [2], num_filters=5, use_depthwise_convolution=True, spp_layer_version='v2'), []),
}


def rois(size=4):
  """[2, 3, size, size, 4]"""
  return images(size, 4 * 6).reshape(2, 3, size, size, 4, 4)[..., 0]


def levels():
  return {'2': images(16, 4), '3': images(8, 4), '4': images(4, 4)}


HEADS = {
    'rpn': (lambda: dense_prediction_heads.RPNHead(3, 4, 1, num_convs=2, num_filters=4), levels),
    'retinanet': (lambda: dense_prediction_heads.RetinaNetHead(
        3, 4, 2, 1, num_convs=1, num_filters=4, share_level_convs=False,
        attribute_heads=[{'name': 'depth', 'type': 'regression', 'size': 1, 'prediction_tower_name': ''}]), levels),
    'detection': (lambda: instance_heads.DetectionHead(3, num_convs=1, num_filters=4, fc_dims=5), rois),
    'mask': (lambda: instance_heads.MaskHead(3, num_convs=1, num_filters=4),
             lambda: [rois(), np.ones((2, 3), np.int32)]),
    'segmentation': (lambda: segmentation_heads.SegmentationHead(
        3, 3, num_filters=4, feature_fusion='deeplabv3plus', low_level_num_filters=3), lambda: [levels(), levels()]),
    'mask_scoring': (lambda: segmentation_heads.MaskScoring(
        4, [4, 4], num_convs=1, num_filters=4, num_fcs=1, fc_dims=5), lambda: images(channels=4)),
}


def layer_names(model):
  """Of the layers with kernels."""
  kinds = (layers.Conv2D, layers.Conv3D, layers.Dense)
  return {layer.name for layer in model.submodules if isinstance(layer, kinds)}


def normalizations_left(model):
  return [found for found in evonorm_tf.list_norm_acts(model) if found.kind == 'normalization']


@pytest.mark.parametrize('name', BLOCKS)
def test_blocks(name):
  block, kept = BLOCKS[name]
  x = images(channels=4)
  if name == 'bottleneck_3d':
    x = np.stack([x, x[::-1]], axis=1)
  inputs = tf_keras.Input(x.shape[1:])
  model = tf_keras.Model(inputs, block()(inputs))
  randomize(model)
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  assert_same_outputs(model, converted, x)
  assert layer_names(converted) == layer_names(model)
  assert [found.function for found in evonorm_tf.list_norm_acts(converted)] == kept
  assert not normalizations_left(evonorm_tf.convert_norm_act(model, 'evonorm_s0'))


@pytest.mark.parametrize('name', HEADS)
def test_heads(name):
  head, inputs = HEADS[name][0](), HEADS[name][1]()
  head(inputs)
  randomize(head)
  converted = evonorm_tf.convert_norm_act(head, 'bn_relu')
  assert converted.name == head.name and evonorm_tf.list_norm_acts(converted) == []
  assert_same_outputs(head, converted, inputs)
  assert layer_names(converted) == layer_names(head)


@pytest.mark.parametrize('name', [name for name in HEADS if name != 'mask_scoring'])
def test_heads_that_were_not_called(name):
  converted = evonorm_tf.convert_norm_act(HEADS[name][0](), 'evonorm_s0')
  converted(HEADS[name][1]())
  assert evonorm_tf.list_norm_acts(converted) == []


def test_what_must_have_been_called():
  for layer in (BLOCKS['aspp'][0](), BLOCKS['aspp_v2'][0](), HEADS['mask_scoring'][0]()):
    with pytest.raises(ValueError, match='must be called before it is converted'):
      evonorm_tf.convert_norm_act(layer, 'evonorm_s0')


def test_aspp_takes_images_of_other_sizes():
  decoder = aspp.ASPP(3, [2], num_filters=5)
  decoder({'3': images(8, 4)})
  converted = evonorm_tf.convert_norm_act(decoder, 'bn_relu')
  assert_same_outputs(decoder, converted, {'3': images(12, 4)})


def backbones():
  """Returns name -> a function that builds a backbone, or a decoder, with normalizations."""
  specs, large = (layers.InputSpec(shape=[None, size, size, 3]) for size in (64, 128))
  video = layers.InputSpec(shape=[None, 4, 32, 32, 3])
  builders = {
      'resnet_rs': lambda: resnet.ResNet(50, specs, stem_type='v1', se_ratio=.25, activation='swish'),
      'dilated_resnet': lambda: resnet_deeplab.DilatedResNet(50, 8, specs),
      'resnet_3d': lambda: resnet_3d.ResNet3D(
          50, temporal_strides=[1] * 4, temporal_kernel_sizes=[[3] * 3, [3] * 4, [3] * 6, [3] * 3], input_specs=video),
      'spinenet': lambda: spinenet.SpineNet(large, filter_size_scale=.25),
      'spinenet_mobile': lambda: spinenet_mobile.SpineNetMobile(large),
      'efficientnet': lambda: efficientnet.EfficientNet('b0', specs),
      'revnet': lambda: revnet.RevNet(56, specs),
      'nasfpn': lambda: nasfpn.NASFPN({str(level): tf.TensorShape([None, 128 >> level, 128 >> level, 8])
                                       for level in range(3, 6)}, 3, 7, num_filters=8),
  }
  for name in ('MobileNetV1', 'MobileNetV3Small', 'MobileNetV4ConvSmall', 'MobileNetV4HybridMedium'):
    builders[name] = functools.partial(mobilenet.MobileNet, name, input_specs=specs)
  for name in mobiledet.SUPPORTED_SPECS_MAP:
    builders[name] = functools.partial(mobiledet.MobileDet, name, input_specs=specs)
  return builders


@pytest.mark.slow
@pytest.mark.parametrize('name', backbones())
def test_no_backbone_is_refused(name):
  plan = evonorm_tf.plan_conversion(backbones()[name]())
  assert len(plan.blocks) + len(plan.affine) > 10


@pytest.mark.slow
@pytest.mark.parametrize('name', ['resnet_3d', 'revnet', 'MobileNetV4ConvSmall', 'MobileNetV4HybridMedium'])
def test_backbones(name):
  model = backbones()[name]()
  randomize(model)
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
  for training in (False, True):
    tf.nest.map_structure(
        np.testing.assert_array_equal, model(x, training=training), converted(x, training=training))
  assert not normalizations_left(evonorm_tf.convert_norm_act(model, 'evonorm_s0'))
