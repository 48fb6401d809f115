"""Tests of EfficientNet: the published number of parameters, tf_keras's kernels, places, sizes, arguments."""

import collections
import re
from unittest import mock

import pytest
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import efficientnet

MINI = {'width_multiplier': 0.25, 'depth_multiplier': 0.25}


batch_norm_silu = get_norm_act('bn_silu')


def activation(nonlinearity=True, name=None):
  return tf_keras.layers.Activation('swish' if nonlinearity else 'linear', name=name)


def kernel_shapes(model):
  return collections.Counter(tuple(v.shape) for v in model.trainable_variables if v.shape.rank == 4)


@pytest.mark.slow  # tests/gin/classification_test.py counts those of the configuration
def test_published_number_of_parameters():
  model = efficientnet.build_efficientnet(batch_norm_silu)
  assert sum(v.shape.num_elements() for v in model.trainable_variables) == 5_288_548


# B2 differs from B0 in width, depth and dropout.
@pytest.mark.slow
@pytest.mark.parametrize('variant', ['b0', 'b2'])
def test_kernels_and_rates_are_those_of_tf_keras(variant):
  expected = getattr(tf_keras.applications, f'EfficientNet{variant.upper()}')(weights=None)
  model = efficientnet.build_efficientnet(activation, variant)
  assert kernel_shapes(model) == kernel_shapes(expected)
  rates = [[layer.rate for layer in m.layers if isinstance(layer, tf_keras.layers.Dropout)] for m in (model, expected)]
  assert rates[0] == pytest.approx(rates[1])


@pytest.mark.parametrize('depth_multiplier, nonlinear, affine', [(None, 33, 16), (0.25, 15, 7)])
def test_places(depth_multiplier, nonlinear, affine):
  norm_act = mock.Mock(side_effect=activation)
  efficientnet.build_efficientnet(norm_act, depth_multiplier=depth_multiplier)
  count = collections.Counter(call.kwargs.get('nonlinearity', True) for call in norm_act.call_args_list)
  assert count == {True: nonlinear, False: affine}


@pytest.mark.parametrize('small_images, size, expected', [
    (False, 224, 7), (False, 65, 3), (True, 32, 4), (True, 33, 5)])
def test_last_feature_map(small_images, size, expected):
  model = efficientnet.build_efficientnet(activation, small_images=small_images, input_shape=(size, size, 3), **MINI)
  assert model.get_layer('head_conv').output_shape == (None, expected, expected, 320)


def test_multipliers_override_the_variant():
  mini, b7 = (efficientnet.build_efficientnet(activation, variant, **MINI) for variant in ('b0', 'b7'))
  assert kernel_shapes(mini) == kernel_shapes(b7)
  assert (mini.get_layer('dropout').rate, b7.get_layer('dropout').rate) == (0.2, 0.5)


@pytest.mark.parametrize('arguments, expected', [
    ({'dropout': 0.4, 'drop_connect': 0.}, [0.4]),
    # The blocks 2 and 3 of three have a shortcut.
    ({'dropout': 0., 'drop_connect': 0.3}, [0.1, 0.2, 0.]),
])
def test_rates(arguments, expected, monkeypatch):
  stages = (efficientnet.STAGES[0], efficientnet.Stage(2, 16, 1, 6))
  monkeypatch.setattr(efficientnet, 'STAGES', stages)
  model = efficientnet.build_efficientnet(activation, **arguments)
  assert [layer.rate for layer in model.layers if isinstance(layer, tf_keras.layers.Dropout)] == pytest.approx(expected)


@pytest.mark.parametrize('arguments, message', [
    ({'variant': 'b8'}, "`variant` must be one of ['b0', 'b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7'], received 'b8'."),
    ({'width_multiplier': 0}, '`width_multiplier` must be positive, received 0.'),
    ({'depth_multiplier': -2}, '`depth_multiplier` must be positive, received -2.'),
    ({'num_classes': 0}, '`num_classes` must be positive, received 0.'),
    ({'dropout': -0.1}, '`dropout` must be at least 0 and below 1, received -0.1.'),
    ({'drop_connect': 1}, '`drop_connect` must be at least 0 and below 1, received 1.'),
])
def test_wrong_arguments(arguments, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    efficientnet.build_efficientnet(batch_norm_silu, **arguments)
