"""GraphLayer: known graphs equal the hand-written layers, random graphs their NumPy form; moving averages; guards."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import LayerGraphError
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import get_norm_act
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace

CHANNELS, GROUPS = 6, 3
SPACE = SearchSpace(10, uniform_over='pairs')  # each index set as often as a primitive
X, ZERO, V0, V1 = range(4)
# Where a known layer has its gain and bias inside the activation, the graph has v1 and v0.
INNER_AFFINE = {'gamma': 'v1', 'beta': 'v0'}


def images(shape=(4, 3, 2, CHANNELS), seed=0):
  return np.random.default_rng(seed).normal(.3, 1.2, shape)


def name_of(variable):
  return variable.name.split('/')[-1].split(':')[0]


def pair_of_layers(name):
  """The hand-written layer and its graph's, with the same random weights, and the graph's names of them.

  In float64 BatchNormalization does not use its fused kernel, which would keep the unbiased variance in the moving
  average, where the graph keeps the biased one.
  """
  rng = np.random.default_rng(0)
  options = {'groups': GROUPS} if name.startswith(('gn', 'evonorm_s')) else {}
  hand_written = get_norm_act(name, dtype='float64', **options)()
  graph_layer = GraphLayer(known_graph(name), groups=GROUPS, dtype='float64', jit_compile=False)
  for layer in (hand_written, graph_layer):
    layer.build([None, None, None, CHANNELS])
  renamed = {} if name.startswith('evonorm') else INNER_AFFINE
  names = [renamed.get(name_of(v), name_of(v)) for v in hand_written.trainable_variables]
  for variable, own_name in zip(hand_written.trainable_variables, names):
    variable.assign(rng.uniform(.5, 1.5, CHANNELS))
    getattr(graph_layer, own_name).assign(variable)
  return hand_written, graph_layer, names


def value_and_gradients(layer, x, variables, training):
  x = tf.convert_to_tensor(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=training)
    loss = tf.reduce_sum(y * np.random.default_rng(1).normal(size=y.shape))
  return [y] + tape.gradient(loss, [x] + variables)


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_known_graphs_equal_the_hand_written_layers(name):
  hand_written, graph_layer, names = pair_of_layers(name)
  assert names and set(names) | {'gamma', 'beta'} == {name_of(v) for v in graph_layer.trainable_variables}
  for step, training in enumerate((True, False, True, False)):
    x = images(seed=step)
    expected = value_and_gradients(hand_written, x, hand_written.trainable_variables, training)
    actual = value_and_gradients(graph_layer, x, [getattr(graph_layer, n) for n in names], training)
    for a, e, what in zip(actual, expected, ['y', 'x'] + names):
      # Not closer, for BatchNormalization rounds its decay to float32.
      np.testing.assert_allclose(a, e, rtol=1e-6, atol=1e-8, err_msg=f'{what} at step {step}')
  assert len(graph_layer.non_trainable_variables) == len(hand_written.non_trainable_variables)
  for a, e in zip(graph_layer.non_trainable_variables, hand_written.non_trainable_variables):
    np.testing.assert_allclose(a, e, rtol=1e-7, atol=1e-9)


def random_case(seed, shape):
  """A random graph, its layer with random weights, an input, and the graph's NumPy value (which may not be finite)."""
  rng = np.random.default_rng(seed)
  graph = random_graph(SPACE, rng)
  layer = GraphLayer(graph, groups=4, dtype='float64', center=False, scale=False, jit_compile=False)
  x, v0, v1 = rng.normal(.2, 1., shape), rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
  layer.build(shape)
  for variable, value in ((layer.v0, v0), (layer.v1, v1)):
    if variable is not None:
      variable.assign(value)
  with np.errstate(all='ignore'):
    return layer, x, np.broadcast_to(graph.evaluate(x, v0, v1, groups=4), shape)


@pytest.mark.parametrize('shape', [(5, 6), (3, 4, 6), (2, 3, 4, 6), (2, 2, 3, 2, 8)])
def test_random_graphs_equal_their_numpy_form(shape):
  seen, finite = set(), 0
  for seed in range(60):
    layer, x, expected = random_case(seed, shape)
    if not np.isfinite(expected).all():
      continue
    y = layer(x, training=True)
    assert y.shape == shape
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-9, err_msg=f'seed {seed}: {layer.graph}')
    seen |= {(node.primitive, node.axes) for node in layer.graph.nodes}
    finite += 1
  assert finite >= 40 and seen == {(primitive.name, axes) for primitive, axes in SPACE.operations}


# Every moment of a tensor that does not have x's shape, by hand. E is the ε inside the root.
E = primitives.EPSILON
V = np.array([1., 2., 3., 6.])


@pytest.mark.parametrize('nodes,expected', [
    ([Node('second_moment', (V1,), BATCH)], np.sqrt(V**2 + E)),
    ([Node('first_moment', (V1,), INSTANCE)], V),
    ([Node('centered_second_moment', (V1,), LAYER)], np.sqrt(3.5 + E)),  # the variance of 1, 2, 3, 6
    ([Node('first_moment', (V1,), GROUP)], [1.5, 1.5, 4.5, 4.5]),
    ([Node('centered_second_moment', (V1,), BATCH)], np.sqrt(E)),
    ([Node('second_moment', (ZERO,), BATCH)], np.sqrt(E)),
    ([Node('second_moment', (ZERO,), GROUP)], np.sqrt(E)),
    ([Node('first_moment', (X,), LAYER), Node('second_moment', (4,), BATCH)], np.sqrt(1. + E)),
    ([Node('first_moment', (X,), BATCH), Node('first_moment', (4,), LAYER)], 1.),
    ([Node('first_moment', (ZERO,), LAYER), Node('first_moment', (4,), GROUP), Node('add', (5, V1))], V),
])
def test_moments_of_tensors_that_broadcast(nodes, expected):
  layer = GraphLayer(LayerGraph(tuple(nodes)), groups=2, v1_initializer=lambda shape, dtype: tf.constant(V, dtype))
  x = tf.constant([[[0.], [2.]], [[1.], [1.]], [[3.], [-1.]]]) * tf.ones(4)  # each sample's mean is 1
  y = layer(x, training=True)
  np.testing.assert_allclose(y, np.broadcast_to(expected, x.shape), rtol=1e-5)
  assert layer(x, training=False).shape == x.shape


def test_moving_averages_are_of_each_nodes_average():
  """Of μ (from 0), μ(x²) and s² (from 1), not of their roots; of a layer moment one number."""
  graph = LayerGraph((
      Node('first_moment', (X,), BATCH), Node('second_moment', (X,), BATCH),
      Node('centered_second_moment', (X,), BATCH), Node('first_moment', (X,), LAYER), Node('first_moment', (7,), BATCH),
      Node('add', (4, 5)), Node('add', (9, 6)), Node('add', (10, 8))))
  layer = GraphLayer(graph, epsilon=1.)
  x = tf.reshape([-1., 1., 7., 9.], [2, 2, 1]) * [1., 0.]  # the second channel halves the layer moments
  layer(x, training=True)
  moving = {name_of(v): v.numpy().tolist() for v in layer.non_trainable_variables}
  expected = {'moving_average_4': [.4, 0.], 'moving_average_5': [.9 + 3.3, .9], 'moving_average_6': [.9 + 1.7, .9],
              'moving_average_8': [.2]}
  assert moving.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(moving[name], value, rtol=1e-6)
  first = .4 + np.sqrt(4.2 + 1.) + np.sqrt(2.6 + 1.) + .2
  np.testing.assert_allclose(layer(x, training=False)[..., 0], np.full((2, 2), first), rtol=1e-6)


@pytest.mark.parametrize('value', [0., 1e-30, -1e-30, 1e-7, -1e-7])
@pytest.mark.parametrize('primitive', ['div', 'log', 'sqrt'])
def test_guard_rule(primitive, value):
  node = Node('div', (V1, X)) if primitive == 'div' else Node(primitive, (X,))
  layer = GraphLayer(LayerGraph((node,)))
  x = tf.fill([2, 3], value)
  y, by_x = value_and_gradients(layer, x, [], training=True)
  sign = -1. if value < 0 else 1.
  clamped = {'div': sign / E, 'log': np.sign(value) * np.log(E), 'sqrt': np.sign(value) * np.sqrt(E)}[primitive]
  np.testing.assert_allclose(y, np.full((2, 3), clamped), rtol=1e-5)
  np.testing.assert_array_equal(by_x, np.zeros((2, 3)))


@pytest.mark.parametrize('constant', [False, True])
@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_second_derivatives_are_finite(name, constant):
  layer = GraphLayer(known_graph(name), groups=GROUPS, jit_compile=False)
  x = tf.ones([2, 2, 2, CHANNELS]) if constant else tf.constant(images((2, 2, 2, CHANNELS)), tf.float32)
  with tf.GradientTape() as outer:
    outer.watch(x)
    _, by_x = value_and_gradients(layer, x, [], training=True)
    norm = tf.reduce_sum(tf.square(by_x))
  second = outer.gradient(norm, x)
  assert np.isfinite(second).all() and (constant or np.abs(second).max() > 0.)


@pytest.mark.parametrize('nodes,weights', [
    ([Node('add', (V0, V1)), Node('second_moment', (X,), BATCH), Node('tanh', (X,))], {'gamma', 'beta'}),
    ([Node('mul', (V0, X)), Node('mul', (V1, X)), Node('neg', (4,))], {'gamma', 'beta', 'v0'}),
    ([Node('mul', (V1, X)), Node('first_moment', (4,), BATCH), Node('neg', (4,)), Node('add', (5, 6))],
     {'gamma', 'beta', 'v1', 'moving_average_5'}),
])
def test_dead_nodes_have_no_weights(nodes, weights):
  layer = GraphLayer(LayerGraph(tuple(nodes)))
  y = layer(tf.ones([2, 3]), training=True)
  assert {name_of(v) for v in layer.weights} == weights
  assert y.shape == [2, 3]


@pytest.mark.parametrize('dtype,noise,tolerance', [('float16', 1., 2e-3), ('mixed_bfloat16', 3., 2e-2)])
@pytest.mark.parametrize('name', ['bn_silu', 'gn_silu'])
def test_runs_in_float32_at_low_precision(name, dtype, noise, tolerance):
  layer = GraphLayer(known_graph(name), groups=GROUPS, dtype=dtype, jit_compile=False)
  x = tf.cast(np.random.default_rng(2).normal(100., noise, (4, 5, 5, CHANNELS)), dtype.removeprefix('mixed_'))
  y = layer(x, training=True)
  expected = known_graph(name).evaluate(x.numpy().astype(np.float64), np.zeros(CHANNELS), np.ones(CHANNELS), GROUPS)
  assert y.dtype == x.dtype and {v.dtype for v in layer.weights} == {tf.float32}
  np.testing.assert_allclose(y.numpy().astype(np.float64), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('name', ['bn_silu', 'gn_relu', 'evonorm_s0'])
def test_xla_equals_eager(name):
  _, layer, _ = pair_of_layers(name)
  x = images()
  function = tf.function(lambda x: value_and_gradients(layer, x, layer.trainable_variables, True), jit_compile=True)
  for actual, expected in zip(function(x), value_and_gradients(layer, x, layer.trainable_variables, True)):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_takes_the_dictionary_of_a_graph_and_no_other():
  graph = known_graph('bn_relu')
  assert GraphLayer(graph.to_dict()).graph == GraphLayer(graph).graph == graph
  with pytest.raises(LayerGraphError, match='`format` must be'):
    GraphLayer({'nodes': []})
