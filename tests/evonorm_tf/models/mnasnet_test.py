"""Tests of MnasNet-B1: the published number of parameters, the table of blocks, places, sizes, arguments."""

import collections
import re
from unittest import mock

import pytest
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import mnasnet

batch_norm_relu = get_norm_act('bn_relu')


def activation(nonlinearity=True, name=None):
  return tf_keras.layers.Activation('relu' if nonlinearity else 'linear', name=name)


def layers(model, kind):
  return [layer for layer in model.layers if isinstance(layer, kind)]


def test_published_number_of_parameters():
  model = mnasnet.build_mnasnet_b1(batch_norm_relu)
  assert sum(v.shape.num_elements() for v in model.trainable_variables) == 4_383_312


def test_blocks_are_those_of_the_published_figure():
  """Figure 7 of the paper: SepConv, then MBConv3 and MBConv6; kernel, stride, expansion and width of each block."""
  table = [(1, 16, 3, 1, 1), (3, 24, 3, 2, 3), (3, 40, 5, 2, 3), (3, 80, 5, 2, 6), (2, 96, 3, 1, 6), (4, 192, 5, 2, 6),
           (1, 320, 3, 1, 6)]
  expected, width = [], 32
  for blocks, channels, kernel_size, stride, expansion in table:
    for block in range(blocks):
      expected.append(((kernel_size,) * 2, (stride if block == 0 else 1,) * 2, expansion * width, channels))
      width = channels
  model = mnasnet.build_mnasnet_b1(activation)
  depthwise = layers(model, tf_keras.layers.DepthwiseConv2D)
  projections = [layer for layer in model.layers if layer.name.endswith('project_conv')]
  assert [(d.kernel_size, d.strides, d.input_shape[-1], p.filters) for d, p in zip(depthwise, projections)] == expected
  assert len(depthwise) == len(projections) == 17
  assert not layers(model, tf_keras.layers.Multiply)  # no squeeze-and-excite


@pytest.mark.parametrize('depth_multiplier, nonlinear, affine', [(1.0, 35, 17), (0.25, 15, 7)])
def test_places(depth_multiplier, nonlinear, affine):
  norm_act = mock.Mock(side_effect=activation)
  mnasnet.build_mnasnet_b1(norm_act, depth_multiplier=depth_multiplier)
  count = collections.Counter(call.kwargs.get('nonlinearity', True) for call in norm_act.call_args_list)
  assert count == {True: nonlinear, False: affine}


@pytest.mark.parametrize('small_images, size, expected', [
    (False, 224, 7), (False, 65, 3), (True, 32, 4), (True, 33, 5)])
def test_last_feature_map(small_images, size, expected):
  model = mnasnet.build_mnasnet_b1(
      activation, depth_multiplier=0.1, small_images=small_images, input_shape=(size, size, 3))
  assert model.get_layer('head_conv').output_shape == (None, expected, expected, 1280)


@pytest.mark.parametrize('width, stem, last', [(0.25, 8, 80), (1.5, 48, 480)])
def test_width_leaves_the_head_as_it_is(width, stem, last):
  model = mnasnet.build_mnasnet_b1(activation, width_multiplier=width, depth_multiplier=0.1, head_channels=64)
  names = ('stem_conv', 'stage7_block1_project_conv', 'head_conv')
  assert [model.get_layer(name).filters for name in names] == [stem, last, 64]


def test_dropout_reaches_the_last_layer():
  model = mnasnet.build_mnasnet_b1(activation, depth_multiplier=0.1, dropout=0.4)
  assert [layer.rate for layer in layers(model, tf_keras.layers.Dropout)] == [0.4]


@pytest.mark.parametrize('arguments, message', [
    ({'width_multiplier': -0.5}, '`width_multiplier` must be positive, received -0.5.'),
    ({'depth_multiplier': 0}, '`depth_multiplier` must be positive, received 0.'),
    ({'head_channels': 0}, '`head_channels` must be positive, received 0.'),
    ({'num_classes': -1}, '`num_classes` must be positive, received -1.'),
    ({'dropout': 1.0}, '`dropout` must be at least 0 and below 1, received 1.0.'),
])
def test_wrong_arguments(arguments, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    mnasnet.build_mnasnet_b1(batch_norm_relu, **arguments)
