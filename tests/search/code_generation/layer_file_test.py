"""Compiled layers against GraphLayer: values, gradients and moving averages; options; saving."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.layers.keras2 import GraphLayer
from search.code_generation.layer_file import WIDTH
from search.code_generation.layer_file import write_layer
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.known_graphs import ZERO
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

SHAPE, GROUPS = (4, 3, 2, 6), 3
WEIGHTS = ('gamma', 'beta', 'v0', 'v1')
NUDGE = 1. + 1e-15


def compiled(graph, class_name='Compiled'):
  """The class that the file of this graph defines."""
  module = types.ModuleType('compiled_layer')
  exec(compile(write_layer(graph, class_name), 'compiled_layer.py', 'exec'), module.__dict__)
  return getattr(module, class_name)


def pair_of_layers(graph, dtype='float64', shape=SHAPE, **options):
  """The compiled layer and GraphLayer, with the same random weights."""
  rng = np.random.default_rng(0)
  layer_class = compiled(graph)
  has_groups = 'groups' in layer_class(**options).get_config()
  layer = layer_class(dtype=dtype, **options, **({'groups': GROUPS} if has_groups else {}))
  graph_layer = GraphLayer(graph, groups=GROUPS, dtype=dtype, jit_compile=False, **options)
  for each in (layer, graph_layer):
    each.build(shape)
  for name in WEIGHTS:
    value = rng.normal(.4, 1., shape[-1])
    for each in (layer, graph_layer):
      if getattr(each, name, None) is not None:
        getattr(each, name).assign(value)
  return layer, graph_layer


def step(layer, seed, training, shape=SHAPE, nudge=1.):
  """y, and the gradients of x, here times `nudge`, and the weights by name; those that are not there are 0."""
  rng = np.random.default_rng(seed)
  x, weights = tf.constant(nudge * rng.normal(.3, 1.2, shape), layer.compute_dtype), rng.normal(size=shape)
  variables = {n: getattr(layer, n) for n in WEIGHTS if getattr(layer, n, None) is not None}
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=training)
    loss = tf.reduce_sum(y * tf.cast(weights, y.dtype))
  zeros = dict.fromkeys(WEIGHTS, np.zeros(shape[-1]))
  gradients = tape.gradient(loss, {'x': x, **variables}, unconnected_gradients=tf.UnconnectedGradients.ZERO)
  return {'y': y.numpy(), **zeros, **{n: g.numpy() for n, g in gradients.items()}}


def differences(layer, graph_layer, shape=SHAPE, nudge=1.):
  """The largest difference relative to the largest magnitude of each value; None where GraphLayer overflows."""
  largest = 0.
  for number, training in enumerate((True, True, False)):
    actual, expected = step(layer, number, training, shape, nudge), step(graph_layer, number, training, shape)
    if not all(np.isfinite(e).all() for e in expected.values()):
      return None
    largest = max([largest, *(np.abs(actual[n] - e).max() / max(np.abs(e).max(), 1e-3) for n, e in expected.items())])
  return largest


def rounding(graph):
  """The difference that GraphLayer has from itself where weights and inputs differ in their last digits."""
  (_, layer), (_, nudged) = pair_of_layers(graph), pair_of_layers(graph)
  for variable in nudged.trainable_variables:
    variable.assign(variable * NUDGE)
  return differences(nudged, layer, nudge=NUDGE)


def random_graphs(count, nodes=10, filtered=False):
  rng = np.random.default_rng(1)
  while count:
    graph = random_graph(SearchSpace(nodes), rng)
    if not filtered or static_rejection(graph) is None:
      count -= 1
      yield graph


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_known_graphs(name):
  layer, graph_layer = pair_of_layers(known_graph(name))
  assert differences(layer, graph_layer) < 1e-9
  moving = [sorted(v.numpy().tolist() for v in each.non_trainable_variables) for each in (layer, graph_layer)]
  np.testing.assert_allclose(*moving, rtol=1e-9)
  # In float32 as close as float32 is; half of the digits of GraphLayer's gradients are rounding.
  assert differences(*pair_of_layers(known_graph(name), dtype='float32')) < 1e-4


@pytest.mark.parametrize('nodes, filtered', [(10, True), (20, False)])
def test_random_graphs(nodes, filtered):
  found, seen = [], set()
  for graph in random_graphs(25, nodes, filtered):
    layer, graph_layer = pair_of_layers(graph)
    found.append(differences(layer, graph_layer))
    seen |= {node.primitive for node in graph_layer.graph.nodes}
  finite = [f for f in found if f is not None]
  assert len(finite) >= 20 and len(seen) >= 13
  np.testing.assert_array_less(finite, 1e-6)


@pytest.mark.slow
def test_many_random_graphs():
  rough = 0
  for nodes, filtered in ((10, True), (10, False), (25, True), (60, False)):
    for number, graph in enumerate(random_graphs(500, nodes, filtered)):
      found = differences(*pair_of_layers(graph))
      if found is not None and found >= 1e-6:  # such as the gradient of a large constant's deviation, which is 0
        assert found < 10 * rounding(graph), f'{number}: {graph}'
        rough += 1
      assert max(map(len, write_layer(graph, 'Compiled').splitlines())) <= WIDTH
  assert rough <= 4  # of 2000


def graph_of(*nodes):
  return LayerGraph(tuple(Node(*node) for node in nodes))


# What a simplification that forgets guards, moving averages or the order of a maximum would get wrong; from node 4 on.
DELICATE = {
    'x / x': graph_of(('div', (X, X))),
    'x / relu(x)': graph_of(('max', (X, ZERO)), ('div', (X, 4))),
    'x / −relu(x)': graph_of(('max', (X, ZERO)), ('neg', (4,)), ('div', (X, 5))),
    'x·v0 / v0': graph_of(('mul', (X, V0)), ('div', (4, V0))),
    'x / 0': graph_of(('div', (X, ZERO))),
    'x / −s': graph_of(('centered_second_moment', (X,), GROUP), ('neg', (4,)), ('div', (X, 5))),
    'x·s / s': graph_of(('centered_second_moment', (X,), BATCH), ('mul', (X, 4)), ('div', (5, 4))),
    'x / σ(−exp(x²))': graph_of(('square', (X,)), ('exp', (4,)), ('neg', (5,)), ('sigmoid', (6,)), ('div', (X, 7))),
    'ln and root of relu(x)': graph_of(('max', (X, ZERO)), ('log', (4,)), ('sqrt', (4,)), ('add', (5, 6))),
    'ln of v0': graph_of(('log', (V0,)), ('add', (X, 4))),
    'max(0, v0·x)': graph_of(('mul', (V0, X)), ('max', (ZERO, 4))),
    'max(v0·x, 0)': graph_of(('mul', (V0, X)), ('max', (4, ZERO))),
    'max(0, max(v0·x, |v0·x|))': graph_of(('mul', (V0, X)), ('abs', (4,)), ('max', (4, 5)), ('max', (ZERO, 6))),
    'max(v0·x, v0)': graph_of(('mul', (V0, X)), ('max', (4, V0)), ('max', (5, 4))),
    'batch mean of v1': graph_of(('first_moment', (V1,), BATCH), ('add', (X, 4))),
    'batch deviation of v1': graph_of(('centered_second_moment', (V1,), BATCH), ('div', (X, 4))),
    'batch moment of 0': graph_of(('second_moment', (ZERO,), BATCH), ('div', (X, 4))),
    'batch mean of −x': graph_of(('neg', (X,)), ('first_moment', (4,), BATCH), ('add', (X, 5))),
    'batch moment of a layer moment': graph_of(('first_moment', (X,), LAYER), ('second_moment', (4,), BATCH)),
    'deviation of v1': graph_of(('centered_second_moment', (V1,), GROUP), ('mul', (X, 4))),
    'deviation of √ε': graph_of(('second_moment', (ZERO,), INSTANCE), ('sigmoid', (4,)),
                                ('centered_second_moment', (5,), LAYER), ('mul', (X, 6))),
    'x − x': graph_of(('neg', (X,)), ('add', (X, 4))),
    'x³': graph_of(('square', (X,)), ('mul', (X, 4))),
    'means of a sum and of its opposite': graph_of(
        ('tanh', (X,)), ('neg', (4,)), ('add', (X, 5)), ('neg', (6,)), ('first_moment', (6,), INSTANCE),
        ('first_moment', (7,), INSTANCE), ('exp', (9,)), ('mul', (8, 10))),
    'batch means of a sum and of its opposite': graph_of(
        ('tanh', (X,)), ('neg', (4,)), ('add', (X, 5)), ('neg', (6,)), ('first_moment', (6,), BATCH),
        ('first_moment', (7,), BATCH), ('exp', (9,)), ('mul', (8, 10)), ('add', (X, 11))),
    'σ(0) first in a maximum': graph_of(('sigmoid', (ZERO,)), ('max', (4, X))),
}


@pytest.mark.parametrize('graph', DELICATE.values(), ids=DELICATE)
@pytest.mark.parametrize('v0', (0., None), ids=('v0 = 0', ''))
def test_delicate_graphs(graph, v0):
  layer, graph_layer = pair_of_layers(graph)
  if v0 is not None:
    for each in (layer, graph_layer):
      if getattr(each, 'v0', None) is not None:
        each.v0.assign(tf.zeros_like(each.v0))
  assert differences(layer, graph_layer) < 1e-9


@pytest.mark.parametrize('shape', [(5, 6), (3, 4, 6), (2, 2, 3, 2, 8)])
def test_other_ranks(shape):
  for graph in [known_graph('evonorm_b0'), known_graph('gn_silu'), known_graph('evonorm_s2'), *random_graphs(10)]:
    found = differences(*pair_of_layers(graph, shape=shape), shape)
    assert found is None or found < 1e-6


def test_options():
  for options in ({'epsilon': .1}, {'center': False}, {'scale': False, 'momentum': .5}):
    assert differences(*pair_of_layers(known_graph('evonorm_b1'), **options)) < 1e-9
  layer_class = compiled(known_graph('bn_relu'))
  assert list(layer_class().get_config())[-5:] == ['momentum', 'synchronized', 'epsilon', 'center', 'scale']
  assert 'groups' in compiled(known_graph('evonorm_s0'))().get_config()
  assert not {'groups', 'momentum', 'epsilon'} & compiled(DELICATE['x / x'])().get_config().keys()


def test_mixed_precision_computes_in_float32():
  layer, graph_layer = pair_of_layers(known_graph('evonorm_b0'), dtype=tf_keras.mixed_precision.Policy('mixed_float16'))
  x = tf.constant(np.random.default_rng(0).normal(100., .1, SHAPE), tf.float16)
  y = layer(x, training=True)
  assert y.dtype == tf.float16 and {w.dtype for w in layer.weights} == {tf.float32}
  np.testing.assert_allclose(y, graph_layer(x, training=True), rtol=2e-3)


def test_two_replicas_share_statistics_if_asked():
  strategy = get_strategy('mirrored')
  x = np.random.default_rng(0).normal(size=SHAPE)
  shares = strategy.experimental_distribute_values_from_function(
      lambda context: tf.constant(np.split(x, [1] if context.num_replicas_in_sync == 2 else [])[
          context.replica_id_in_sync_group]))
  with strategy.scope():
    layer = compiled(known_graph('evonorm_b0'))(dtype='float64', synchronized=True)
    layer.build(SHAPE)
  y = tf.concat(strategy.experimental_local_results(
      strategy.run(tf.function(lambda t: layer(t, training=True)), (shares,))), 0)
  alone = compiled(known_graph('evonorm_b0'))(dtype='float64')
  np.testing.assert_allclose(y, alone(x, training=True), rtol=1e-9)
  np.testing.assert_allclose(layer.moving_variance.numpy(), alone.moving_variance, rtol=1e-9)


def test_frozen_and_tensor_valued_training():
  layer, _ = pair_of_layers(known_graph('evonorm_b0'))
  x = tf.constant(np.random.default_rng(0).normal(size=SHAPE))
  call = tf.function(lambda training: layer(x, training=training))
  before = layer.moving_variance.numpy()
  np.testing.assert_array_equal(call(tf.constant(False)), layer(x))
  np.testing.assert_array_equal(layer.moving_variance, before)
  expected = layer(x, training=True)
  np.testing.assert_allclose(call(tf.constant(True)), expected)
  assert not np.allclose(layer.moving_variance, before)
  layer.trainable = False
  np.testing.assert_array_equal(layer(x, training=True), layer(x))


@pytest.mark.parametrize('options, message', [
    ({'groups': 0}, '`groups` must be a positive integer, received 0'),
    ({'momentum': 1.5}, r'`momentum` must lie in \[0, 1\], received 1.5'),
    ({'epsilon': 1e-11}, '`epsilon` must be at least 1e-10, received 1e-11')])
def test_argument_errors(options, message):
  layer_class = compiled(known_graph('evonorm_s0' if 'groups' in options else 'evonorm_b0'))
  with pytest.raises(ValueError, match=message):
    layer_class(**options)
  with pytest.raises(TypeError, match='gropus'):
    layer_class(gropus=3)
  for shape in ((3,), (2, None), (1,) * 6):
    with pytest.raises(ValueError, match=r'\[N, ..., C\] of rank 2 to 5 with C known'):
      layer_class().build(shape)


def test_saved_and_reloaded(tmp_path):
  layer_class = compiled(known_graph('evonorm_b0'), 'SavedNormAct')
  layer = layer_class(momentum=.5, epsilon=1e-3, scale=False, name='found')
  copy = tf_keras.layers.deserialize(tf_keras.layers.serialize(layer))
  assert type(copy) is layer_class and copy.get_config() == layer.get_config()
  model = tf_keras.Sequential([tf_keras.layers.Conv2D(4, 3, input_shape=(5, 5, 2)), layer])
  x = np.random.default_rng(0).normal(size=(3, 5, 5, 2)).astype('float32')
  model(x, training=True)
  model.save(tmp_path / 'saved')
  model.save(tmp_path / 'model.keras')
  for path in ('saved', 'model.keras'):
    np.testing.assert_allclose(tf_keras.models.load_model(tmp_path / path)(x), model(x), rtol=1e-6)
  np.testing.assert_allclose(tf.saved_model.load(str(tmp_path / 'saved'))(x), model(x), rtol=1e-6)
