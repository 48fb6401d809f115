"""What a layer keeps for its backward pass: layers counted by hand."""

import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation.kept_tensors import kept

SHAPE = (4, 8, 8, 16)


def built(layer):
  layer(tf.zeros(SHAPE), training=False)
  return layer


def of_function(function):
  return built(tf_keras.layers.Lambda(function))


@pytest.mark.parametrize('function, units', [
    (tf.nn.relu, 1),  # its output
    (tf.square, 1),  # its input
    (lambda x: 3. * x + 1., 0),  # nothing but constants
    (lambda x: x * tf.sigmoid(x), 2),
    (lambda x: tf.tanh(tf.exp(x)), 2),  # the outputs of both
    (lambda x: tf.square(tf.reshape(x, [-1])), 1),
    (lambda x: x * tf.reduce_mean(tf.tanh(x), [1, 2], keepdims=True), 2 + 1 / 64)],  # x, the tanh and its mean
                         ids=['relu', 'square', 'affine', 'silu', 'chain', 'reshaped', 'mean'])
def test_layers_counted_by_hand(function, units):
  layer = of_function(lambda x: tf.reshape(function(x), tf.shape(x)))
  assert kept(layer, SHAPE) == pytest.approx(units, abs=1e-3)


def test_bn_relu_keeps_its_input_and_its_output():
  assert kept(built(get_norm_act('bn_relu')()), SHAPE) == pytest.approx(2, abs=.05)


def test_the_unit_is_the_size_of_x():
  layer = of_function(lambda x: x * tf.sigmoid(x))
  assert kept(layer, (256, 8, 8, 16)) == kept(layer, SHAPE) == kept(layer) == 2
