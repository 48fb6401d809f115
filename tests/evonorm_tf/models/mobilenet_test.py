"""Tests of MobileNetV2: the published number of parameters, tf_keras's kernels, places, sizes, arguments."""

import collections
import re
from unittest import mock

import pytest
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import mobilenet

batch_norm_relu = get_norm_act('bn_relu')


def activation(nonlinearity=True, name=None):
  return tf_keras.layers.Activation('relu' if nonlinearity else 'linear', name=name)


def kernel_shapes(model):
  return collections.Counter(tuple(v.shape) for v in model.trainable_variables if v.shape.rank == 4)


@pytest.mark.slow  # tests/gin/classification_test.py counts those of the configuration
def test_published_number_of_parameters_and_kernels_of_tf_keras():
  model = mobilenet.build_mobilenet_v2(batch_norm_relu)
  assert sum(v.shape.num_elements() for v in model.trainable_variables) == 3_504_872
  assert kernel_shapes(model) == kernel_shapes(tf_keras.applications.MobileNetV2(weights=None))


def test_kernels_of_a_narrow_network_are_those_of_tf_keras():
  expected = tf_keras.applications.MobileNetV2(weights=None, alpha=0.35)
  assert kernel_shapes(mobilenet.build_mobilenet_v2(activation, width_multiplier=0.35)) == kernel_shapes(expected)


@pytest.mark.parametrize('depth_multiplier, nonlinear, affine', [(1.0, 35, 17), (0.25, 15, 7)])
def test_places(depth_multiplier, nonlinear, affine):
  norm_act = mock.Mock(side_effect=activation)
  mobilenet.build_mobilenet_v2(norm_act, depth_multiplier=depth_multiplier)
  count = collections.Counter(call.kwargs.get('nonlinearity', True) for call in norm_act.call_args_list)
  assert count == {True: nonlinear, False: affine}


@pytest.mark.parametrize('small_images, size, expected', [
    (False, 224, 7), (False, 65, 3), (True, 32, 4), (True, 33, 5)])
def test_last_feature_map(small_images, size, expected):
  model = mobilenet.build_mobilenet_v2(
      activation, depth_multiplier=0.1, small_images=small_images, input_shape=(size, size, 3))
  assert model.get_layer('head_conv').output_shape == (None, expected, expected, 1280)


@pytest.mark.parametrize('width, head_channels, expected', [(0.25, 1280, 1280), (0.25, 64, 64), (1.5, 64, 96)])
def test_width_only_widens_the_head(width, head_channels, expected):
  model = mobilenet.build_mobilenet_v2(
      activation, width_multiplier=width, depth_multiplier=0.1, head_channels=head_channels)
  assert model.get_layer('head_conv').filters == expected


def test_dropout_reaches_the_last_layer():
  model = mobilenet.build_mobilenet_v2(activation, depth_multiplier=0.1, dropout=0.4)
  assert [layer.rate for layer in model.layers if isinstance(layer, tf_keras.layers.Dropout)] == [0.4]


@pytest.mark.parametrize('arguments, message', [
    ({'width_multiplier': -0.5}, '`width_multiplier` must be positive, received -0.5.'),
    ({'depth_multiplier': 0}, '`depth_multiplier` must be positive, received 0.'),
    ({'head_channels': 0}, '`head_channels` must be positive, received 0.'),
    ({'num_classes': -1}, '`num_classes` must be positive, received -1.'),
    ({'dropout': 1.0}, '`dropout` must be at least 0 and below 1, received 1.0.'),
])
def test_wrong_arguments(arguments, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    mobilenet.build_mobilenet_v2(batch_norm_relu, **arguments)
