"""Functions of a layer graph: values, moments and gradients against GraphLayer's; what makes a signature."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.keras2 import GraphLayer
from search.evaluation.layer_functions import BACKWARD
from search.evaluation.layer_functions import FORWARD
from search.evaluation.layer_functions import INFERENCE
from search.evaluation.layer_functions import LayerFunctions
from search.graphs.known_graphs import known_graph

SHAPE = (4, 3, 3, 8)
RNG = np.random.default_rng(0)
X, DY = (tf.constant(RNG.normal(size=SHAPE), tf.float32) for _ in range(2))
# The mean over the batch of the mean over a sample: a moving average of size 1.
SCALAR = LayerGraph((Node('second_moment', (0,), 'w,h,c'), Node('first_moment', (4,), 'b,w,h'), Node('div', (0, 5))))
SPECS = {'bn_silu': known_graph('bn_silu'), 'B0': known_graph('evonorm_b0'), 'S0': known_graph('evonorm_s0'),
         'scalar': SCALAR}


@pytest.mark.parametrize('graph', SPECS.values(), ids=SPECS)
def test_functions_do_what_the_layer_does(graph):
  layer = GraphLayer(graph, groups=4, momentum=0., center=False, scale=False, jit_compile=False)
  layer.build(SHAPE)
  for w in layer.weights:
    w.assign(RNG.uniform(.5, 1.5, w.shape))
  vectors = [tf.ones(SHAPE[-1]) if v is None else v for v in (layer.v0, layer.v1)]
  weights = vectors + [w for w in layer.weights if 'moving' in w.name]
  functions = LayerFunctions(graph, groups=4)
  call = lambda kind, *inputs: functions.function(kind, SHAPE)(*map(tf.convert_to_tensor, inputs))
  np.testing.assert_allclose(call(INFERENCE, X, *weights)[0], layer(X, training=False), rtol=1e-5, atol=1e-5)
  with tf.GradientTape() as tape:
    tape.watch(X)
    expected = layer(X, training=True)
  y, *moments = call(FORWARD, X, *weights)
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
  for moment, average in zip(moments, layer.non_trainable_weights, strict=True):
    np.testing.assert_allclose(moment, average, rtol=1e-5)  # of momentum 0: the moment itself
  gradients = tape.gradient(expected, [X, *vectors], DY, unconnected_gradients='zero')
  for g, e in zip(call(BACKWARD, X, *weights, DY), gradients, strict=True):
    np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-4)


def test_signatures_tell_apart_what_layers_need():
  signatures = {name: LayerFunctions(graph).signature for name, graph in SPECS.items()}
  vectors = ('v0', (8,)), ('v1', (8,))
  assert signatures['S0'] == vectors == LayerFunctions(LayerGraph((Node('tanh', (0,)),))).signature
  assert signatures['B0'] == (*vectors, ('ones', (8,)))
  assert signatures['scalar'] == (*vectors, ('zeros', (1,)))
  assert {name for name, _ in signatures['bn_silu']} == {'v0', 'v1', 'zeros', 'ones'}


def test_a_function_is_made_once_and_has_a_name():
  functions = LayerFunctions(known_graph('evonorm_s0'), groups=4)
  name = functions.name((FORWARD, SHAPE))
  assert functions.name((FORWARD, SHAPE)) == name and functions.name((INFERENCE, SHAPE)) != name
  assert functions.names[name] == (FORWARD, SHAPE) and len(functions.names) == 2
  assert LayerFunctions(known_graph('evonorm_s0'), groups=4).name((FORWARD, SHAPE)) != name
