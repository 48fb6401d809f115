"""Tests of the pre-activation ResNets: tf_keras's ResNet50V2 as the reference, order of layers, sizes, arguments."""

import collections
import re
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import resnet

batch_norm_relu = get_norm_act('bn_relu')


def kernel_shapes(model):
  return collections.Counter(tuple(v.shape) for v in model.trainable_variables if v.shape.rank == 4)


def test_resnet50_has_the_kernels_of_resnet50_v2():
  expected = tf_keras.applications.ResNet50V2(weights=None)
  biases = sum(layer.bias.shape[0] for layer in expected.layers
               if isinstance(layer, tf_keras.layers.Conv2D) and layer.use_bias)
  model = resnet.build_resnet(batch_norm_relu)
  assert kernel_shapes(model) == kernel_shapes(expected)
  assert biases > 0 and model.count_params() == expected.count_params() - biases


@pytest.mark.parametrize('depth, places', [(14, 13), (18, 17), (20, 19), (50, 49)])
def test_every_place_has_a_nonlinearity(depth, places):
  norm_act = mock.Mock(side_effect=lambda name: tf_keras.layers.ReLU(name=name))
  model = resnet.build_resnet(norm_act, depth)
  assert [call.kwargs for call in norm_act.call_args_list] == [
      {'name': layer.name} for layer in model.layers if isinstance(layer, tf_keras.layers.ReLU)]
  assert norm_act.call_count == places


@pytest.mark.parametrize('depth, small_images, size, expected', [
    (50, False, 224, [(56, 256), (28, 512), (14, 1024), (7, 2048)]),
    (18, False, 65, [(17, 64), (9, 128), (5, 256), (3, 512)]),
    (18, True, 32, [(32, 64), (16, 128), (8, 256), (4, 512)]),
    (8, False, 33, [(33, 16), (17, 32), (9, 64)]),
    (8, True, 32, [(32, 16), (16, 32), (8, 64)]),
])
def test_feature_maps_of_the_stages(depth, small_images, size, expected):
  model = resnet.build_resnet(
      tf_keras.layers.ReLU, depth, depth_multiplier=0.1, small_images=small_images, input_shape=(size, size, 3))
  shapes = [layer.output_shape for layer in model.layers if isinstance(layer, tf_keras.layers.Add)]
  assert shapes == [(None, size, size, channels) for size, channels in expected]


@pytest.mark.parametrize('depth, levels', [(18, ['2', '3', '4', '5']), (8, ['0', '1', '2'])])
def test_levels_are_logarithms_of_strides(depth, levels):
  endpoints = resnet.resnet_endpoints(tf_keras.Input((64, 64, 3)), tf_keras.layers.ReLU, resnet.get_form(depth))
  assert list(endpoints) == levels
  assert all(x.shape[1] == 64 // 2**int(level) for level, x in endpoints.items())


def test_multipliers_scale_widths_and_blocks():
  form = resnet.scale_form(resnet.get_form(50), 0.25, 0.5)
  assert form.widths == (16, 32, 64, 128)
  assert form.blocks == (2, 2, 3, 2)


def test_blocks_with_zero_residual_are_identities_or_projections():
  model = resnet.build_resnet(batch_norm_relu, 14)
  for layer in model.layers:
    if layer.name.endswith('block2_conv2') or layer.name.endswith('block1_conv2'):
      layer.kernel.assign(tf.zeros_like(layer.kernel))
  names = ['stem_conv', 'stage1_block1_projection', 'stage1_block1_add', 'stage1_block2_add']
  tensors = tf_keras.Model(model.inputs, [model.get_layer(name).output for name in names])
  stem, projection, first, second = tensors(np.random.default_rng(0).normal(size=(2, 8, 8, 3)))
  np.testing.assert_array_equal(second, first)
  np.testing.assert_array_equal(first, projection)
  # At its initial values and at inference, BN-ReLU only divides by the root of 1 + epsilon (1e-5).
  kernel = model.get_layer('stage1_block1_projection').kernel
  expected = tf.nn.conv2d(tf.nn.relu(stem), kernel, 1, 'SAME') / 1.00001**0.5
  np.testing.assert_allclose(projection, expected, rtol=1e-4, atol=1e-5)


def test_strided_convolutions_pad_alike_on_both_sides():
  model = resnet.build_resnet(tf_keras.layers.ReLU, 18, depth_multiplier=0.1)
  stem = model.get_layer('stem_conv')
  stem.kernel.assign(tf.ones_like(stem.kernel))
  for size in (16, 17):
    y = tf_keras.Model(model.inputs, stem.output)(np.ones((1, size, size, 3)))
    assert y[0, 0, 0, 0] == 4 * 4 * 3  # the corner sees 4×4 pixels of 3 channels; with 'same' and 16, 5×5


def test_stride_is_on_the_3x3_convolution_and_no_convolution_has_a_bias():
  model = resnet.build_resnet(tf_keras.layers.ReLU, depth_multiplier=0.5)
  convolutions = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
  strided = [layer.name for layer in convolutions if layer.strides == (2, 2)]
  assert strided == ['stem_conv'] + [f'stage{s}_block1_{c}' for s in (2, 3, 4) for c in ('conv2', 'projection')]
  assert not any(layer.use_bias for layer in convolutions)


@pytest.mark.parametrize('arguments, message', [
    ({'depth': 51}, '`depth` must be one of [18, 34, 50, 101, 152] (ImageNet form) or 6n+2 (CIFAR form: 8, 14, 20'),
    ({'depth': 2}, 'received 2.'),
    ({'depth': 20.}, 'received 20.0.'),
    ({'width_multiplier': 0}, '`width_multiplier` must be positive, received 0.'),
    ({'depth_multiplier': -1.}, '`depth_multiplier` must be positive, received -1.0.'),
    ({'num_classes': 0}, '`num_classes` must be positive, received 0.'),
])
def test_wrong_arguments(arguments, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    resnet.build_resnet(batch_norm_relu, **arguments)
