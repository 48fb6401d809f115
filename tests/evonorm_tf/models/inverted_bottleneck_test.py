"""Tests of the inverted bottleneck: the SE formula in NumPy, shortcut, stochastic depth, initial values."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import inverted_bottleneck
from evonorm_tf.models.inverted_bottleneck import Stage

batch_norm_relu = get_norm_act('bn_relu')


def images(*shape):
  return np.random.default_rng(0).normal(size=shape).astype('float32')


def block_model(stage, stride=1, drop_connect=0., channels=4):
  x = tf_keras.Input((6, 6, channels))
  y = inverted_bottleneck.inverted_bottleneck(x, batch_norm_relu, stage, stride, drop_connect, 'block')
  return tf_keras.Model(x, y)


def test_squeeze_and_excite_agrees_with_numpy():
  x = tf_keras.Input((3, 5, 4))
  model = tf_keras.Model(x, inverted_bottleneck.squeeze_and_excite(x, 2, 'se'))
  values = images(2, 3, 5, 4)
  w1, b1, w2, b2 = (v.astype('float64') for v in model.get_weights())
  b1, b2 = b1 + 0.3, b2 - 0.2
  model.set_weights([w1, b1, w2, b2])
  sigmoid = lambda t: 1. / (1. + np.exp(-t))
  hidden = values.mean((1, 2), dtype='float64') @ w1[0, 0] + b1
  gate = sigmoid(hidden * sigmoid(hidden) @ w2[0, 0] + b2)
  assert w1.shape == (1, 1, 4, 2)
  np.testing.assert_allclose(model(values), values * gate[:, None, None, :], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('stride, channels, has_shortcut', [(1, 4, True), (2, 4, False), (1, 8, False)])
def test_shortcut_where_the_shapes_agree(stride, channels, has_shortcut):
  model = block_model(Stage(1, channels, 2, 6), stride)
  model.get_layer('block_project_conv').kernel.assign(tf.zeros((1, 1, 24, channels)))
  values = images(2, 6, 6, 4)
  expected = values if has_shortcut else np.zeros((2, 6 // stride, 6 // stride, channels))
  np.testing.assert_array_equal(model(values), expected)


def test_norm_act_follows_expansion_and_depthwise_only():
  model = block_model(Stage(1, 4, 1, 2, squeeze_ratio=0.5))
  assert [layer.name for layer in model.layers[1:]] == [
      'block_expand_conv', 'block_expand_norm_act', 'block_depthwise_conv', 'block_depthwise_norm_act',
      'block_se_squeeze', 'block_se_reduce', 'block_se_gate', 'block_se_excite',
      'block_project_conv', 'block_project_norm', 'block_add']
  assert model.get_layer('block_se_reduce').filters == 2  # half of the block's 4 channels, not of the 8 expanded
  outputs = tf_keras.Model(model.inputs, [model.get_layer(f'block_{name}').output for name in (
      'expand_norm_act', 'depthwise_norm_act', 'project_norm')])(images(2, 6, 6, 4))
  assert [float(tf.reduce_min(y)) < 0. for y in outputs] == [False, False, True]
  assert 'block_expand_conv' not in [layer.name for layer in block_model(Stage(1, 4, 1, 1)).layers]


def test_drop_connect_leaves_out_whole_residuals_in_training_only():
  model = block_model(Stage(1, 4, 1, 1), drop_connect=0.75)
  # Norm layers apart, so that training differs from inference by drop connect alone.
  for layer in model.layers:
    layer.trainable = 'norm' not in layer.name
  values = images(64, 6, 6, 4)
  residual = model(values) - values
  np.testing.assert_array_equal(model(values), model(values))
  found = model(values, training=True) - values
  dropped = np.all(found.numpy() == 0., axis=(1, 2, 3))
  assert 0 < dropped.sum() < 64
  np.testing.assert_allclose(found[~dropped], 4. * residual[~dropped], rtol=1e-3, atol=1e-5)


def test_initial_deviation_is_that_of_the_fan_out():
  model = block_model(Stage(1, 64, 1, 2, kernel_size=5), channels=64)
  deviation = lambda name: float(tf.math.reduce_std(model.get_layer(name).weights[0]))
  assert deviation('block_depthwise_conv') == pytest.approx((2 / 25)**0.5, rel=0.1)
  assert deviation('block_project_conv') == pytest.approx((2 / 64)**0.5, rel=0.05)


def test_levels_and_drop_connect_grow_with_depth(monkeypatch):
  rates = []
  real = inverted_bottleneck.inverted_bottleneck
  monkeypatch.setattr(inverted_bottleneck, 'inverted_bottleneck',
                      lambda x, norm_act, stage, stride, rate, name: rates.append(rate) or real(
                          x, norm_act, stage, stride, rate, name))
  stages = (Stage(1, 8, 1, 1), Stage(2, 16, 2, 1), Stage(1, 24, 1, 1), Stage(1, 32, 2, 1))
  endpoints = inverted_bottleneck.inverted_bottleneck_endpoints(
      tf_keras.Input((32, 32, 3)), batch_norm_relu, stages, stem_channels=8, stem_stride=2, drop_connect=0.5)
  assert {level: tuple(x.shape[1:]) for level, x in endpoints.items()} == {
      '1': (16, 16, 8), '2': (8, 8, 24), '3': (4, 4, 32)}
  assert rates == pytest.approx([0., 0.1, 0.2, 0.3, 0.4])
