"""What a layer keeps for its backward pass: layers counted by hand, and the generated form of layer graphs."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import get_norm_act
from search.code_generation.layer_file import write_layer
from search.evaluation.kept_tensors import generated_layer
from search.evaluation.kept_tensors import kept
from search.graphs.known_graphs import known_graph

SHAPE = (4, 8, 8, 16)
TANH = LayerGraph((Node('tanh', (0,)),))


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


def test_a_generated_layer_computes_its_graph():
  graph = known_graph('evonorm_s0')
  x = tf.random.stateless_normal(SHAPE, [0, 1])
  np.testing.assert_allclose(generated_layer(graph)(x), GraphLayer(graph)(x), rtol=1e-5, atol=1e-6)
  assert kept(built(generated_layer(TANH)), SHAPE) == pytest.approx(1, abs=.01)


def test_generated_layers_are_not_registered():
  before = dict(tf_keras.saving.get_custom_objects())
  generated_layer(TANH)
  assert 'register_keras_serializable' in write_layer(TANH, 'Generated')
  assert tf_keras.saving.get_custom_objects() == before
