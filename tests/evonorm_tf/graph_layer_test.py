"""GraphLayer: the known graphs equal the hand-written layers; moving averages; the NumPy forms; saving."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf import primitives
from evonorm_tf.graph_layer import GraphLayer
from evonorm_tf.layer_graph import LayerGraph
from evonorm_tf.layer_graph import Node
from evonorm_tf.norm_act import get_norm_act
from search.known_graphs import KNOWN_GRAPHS
from search.known_graphs import known_graph

CHANNELS, GROUPS = 6, 3
# Where a known layer has its gain and bias inside the activation, the graph has v1 and v0.
INNER_AFFINE = {'gamma': 'v1', 'beta': 'v0'}


def pair_of_layers(name):
  """The hand-written layer and its graph, with the same random weights."""
  rng = np.random.default_rng(0)
  options = {'groups': GROUPS} if name.startswith(('gn', 'evonorm_s')) else {}
  hand_written = get_norm_act(name, dtype='float64', **options)()
  graph_layer = GraphLayer(known_graph(name), groups=GROUPS, dtype='float64')
  for layer in (hand_written, graph_layer):
    layer.build([None, None, None, CHANNELS])
  renamed = {} if name.startswith('evonorm') else INNER_AFFINE
  for variable in hand_written.trainable_variables:
    weight = variable.name.split('/')[-1].split(':')[0]
    value = rng.uniform(.5, 1.5, CHANNELS)
    variable.assign(value)
    getattr(graph_layer, renamed.get(weight, weight)).assign(value)
  return hand_written, graph_layer


def value_and_gradients(layer, x, training):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=training)
    loss = tf.reduce_sum(y * tf.cos(tf.range(tf.size(y, tf.int64), dtype=tf.int64) // 3 + 0 * 1).numpy().reshape(y.shape)
                         if False else y * weights_like(y))
  gradients = tape.gradient(loss, [x] + layer.trainable_variables)
  names = ['x'] + [v.name.split('/')[-1].split(':')[0] for v in layer.trainable_variables]
  return y, dict(zip(names, gradients))


def weights_like(y):
  return np.random.default_rng(1).normal(size=y.shape)
