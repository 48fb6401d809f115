"""Layers of generated files: they compute their graphs, and Keras does not keep their classes."""

import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.measuring.generated_layers import generated_layer
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.keras2 import GraphLayer
from search.code_generation.layer_file import write_layer
from search.graphs.known_graphs import known_graph

SHAPE = (4, 8, 8, 16)
TANH = LayerGraph((Node('tanh', (0,)),))


def test_a_generated_layer_computes_its_graph():
  graph = known_graph('evonorm_s0')
  x = tf.random.stateless_normal(SHAPE, [0, 1])
  np.testing.assert_allclose(generated_layer(graph)(x), GraphLayer(graph)(x), rtol=1e-5, atol=1e-6)


def test_generated_layers_are_not_registered():
  before = dict(tf_keras.saving.get_custom_objects())
  generated_layer(TANH)
  assert 'register_keras_serializable' in write_layer(TANH, 'Generated')
  assert tf_keras.saving.get_custom_objects() == before
