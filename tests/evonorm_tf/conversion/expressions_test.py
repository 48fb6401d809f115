"""Activations spelt out in arithmetic: which are seen, which are none, and MobileNetV3's hard swish."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf.layers.baselines import BatchNormAct
from tests.evonorm_tf.comparison import assert_same_outputs
from tests.evonorm_tf.comparison import images
from tests.evonorm_tf.comparison import randomize

layers = tf_keras.layers


def hard_swish(x):
  return x * tf.clip_by_value(x + 3., 0., 6.) / 6.


def mobilenet_v3_hard_swish(x):
  return layers.Multiply()([x, layers.ReLU(6.)(x + 3.) * (1. / 6.)])


def model_of(function, dtype=None):
  """A convolution after a function of a normalization."""
  inputs = tf_keras.Input((8, 8, 3))
  y = function(layers.BatchNormalization(dtype=dtype, name='bn')(inputs))
  return tf_keras.Model(inputs, layers.Conv2D(2, 1, name='conv')(y))


@pytest.mark.parametrize('function, activation', [
    (mobilenet_v3_hard_swish, hard_swish),
    (lambda x: x * tf.nn.relu6(3. + x) / 6., hard_swish),
    (lambda x: tf.math.minimum(tf.maximum(x + 3., 0.), 6.) * .5 * x / 3., hard_swish),
    (lambda x: x * tf.sigmoid(x), tf.nn.silu),
    (lambda x: x / (1. + tf.exp(-x)), tf.nn.silu),
    (lambda x: layers.Multiply()([layers.Activation('sigmoid')(x), x]), tf.nn.silu),
    (lambda x: x * tf.tanh(tf.nn.softplus(x)), lambda x: x * tf.tanh(tf.math.softplus(x)))])
def test_what_is_an_activation(function, activation):
  model = model_of(function)
  randomize(model)
  plan = evonorm_tf.plan_conversion(model)
  assert list(plan.fused) == ['bn'] and plan.left == () and len(plan.fused['bn']) == len(model.layers) - 3
  converted = evonorm_tf.convert_norm_act(model, lambda nonlinearity, **options: BatchNormAct(
      activation, nonlinearity=nonlinearity, momentum=.99, epsilon=1e-3, **options))
  assert [layer.name for layer in converted.layers][1:] == ['bn', 'conv']
  assert_same_outputs(model, converted, images())


@pytest.mark.parametrize('function', [
    lambda x: x * tf.nn.relu6(x + 3.) / 5.,
    lambda x: x * tf.sigmoid(1.702 * x),
    lambda x: x * tf.nn.relu6(x + np.linspace(2., 4., 3, dtype=np.float32)) / 6.,  # not the same in all channels
    lambda x: x * tf.nn.relu6(x + np.linspace(2., 4., 8, dtype=np.float32).reshape(8, 1, 1)) / 6.,  # nor everywhere
    lambda x: x * layers.Conv2D(3, 1, activation='sigmoid')(x),
    lambda x: x * tf.nn.softmax(x)])
def test_what_is_none(function):
  model = model_of(function)
  plan = evonorm_tf.plan_conversion(model)
  assert (plan.fused, plan.affine) == ({}, ('bn',))


def test_a_part_that_is_read_elsewhere():
  def function(x):
    gate = tf.nn.relu6(x + 3.) / 6.
    return layers.Concatenate()([x * gate, gate])
  assert evonorm_tf.plan_conversion(model_of(function)).affine == ('bn',)


def test_consumers_of_one_kind_and_of_different_kinds():
  same = model_of(lambda x: layers.Activation('swish')(x) + tf.sigmoid(x) * x)
  assert len(evonorm_tf.plan_conversion(same).fused['bn']) == 3
  twice = model_of(lambda x: layers.Concatenate()([mobilenet_v3_hard_swish(x), hard_swish(x)]))
  assert len(evonorm_tf.plan_conversion(twice).fused['bn']) == 8
  different = model_of(lambda x: layers.Concatenate()([layers.ReLU(name='relu')(x), mobilenet_v3_hard_swish(x)]))
  with pytest.raises(ValueError, match=r"'bn' is read by consumers of different kinds \(relu, .* \+ multiply.*\)"):
    evonorm_tf.plan_conversion(different)


@pytest.mark.parametrize('dtype', ['mixed_bfloat16', 'mixed_float16', 'float64'])
def test_other_dtypes(dtype):
  policy = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy(dtype)
  try:
    model = model_of(mobilenet_v3_hard_swish, dtype)
  finally:
    tf_keras.mixed_precision.set_global_policy(policy)
  assert list(evonorm_tf.plan_conversion(model).fused) == ['bn']


def test_shared_normalization():
  bn = layers.BatchNormalization(name='bn')
  left, right = tf_keras.Input((8, 8, 3)), tf_keras.Input((8, 8, 3))
  model = tf_keras.Model([left, right], mobilenet_v3_hard_swish(bn(left)) - hard_swish(bn(right)))
  converted = evonorm_tf.convert_norm_act(model, 'evonorm_s0')
  assert [type(layer).__name__ for layer in converted.layers[2:]] == ['EvoNormS0', 'TFOpLambda']
  x, y = images(), 2 * images() + 1
  s0 = converted.get_layer('bn')
  np.testing.assert_allclose(converted([x, y]), s0(x) - s0(y), rtol=1e-6)


@pytest.mark.slow
def test_mobilenet_v3():
  model = tf_keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=3, dropout_rate=0)
  randomize(model)
  fused = evonorm_tf.plan_conversion(model).fused

  def in_its_order(x):
    return x * (tf.nn.relu6(x + 3.) * (1. / 6.))

  def norm_act(nonlinearity, name, dtype):
    activation = in_its_order if len(fused.get(name, ())) > 1 else 'relu'
    return BatchNormAct(activation, nonlinearity=nonlinearity, momentum=.999, epsilon=.001, name=name, dtype=dtype)

  converted = evonorm_tf.convert_norm_act(model, norm_act)
  kinds = [len(activations) for activations in fused.values()]
  assert (kinds.count(4), kinds.count(1)) == (18, 5)  # hard swish; ReLU
  assert len(converted.layers) == len(model.layers) - 18 * 4 - 5
  # What is left: nine gates, a ReLU before each, and the classifier's hard swish, which follows no normalization.
  assert [found.function for found in evonorm_tf.list_norm_acts(converted)] == ['relu', 'relu6'] * 9 + [
      'relu6', 'softmax']
  assert_same_outputs(model, converted, images(32))
