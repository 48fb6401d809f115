"""Layer graphs as equations: which fit, and their own gradient against TensorFlow's and finite differences."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.measuring.search_runs import read_compressed
from evonorm_tf.equations.elementwise import DERIVATIVES
from evonorm_tf.equations.elementwise import ELEMENTWISE
from evonorm_tf.equations.graph_equation import GraphEquation
from evonorm_tf.equations.graph_plan import fits
from evonorm_tf.equations.graph_plan import Plan
from evonorm_tf.equations.graph_plan import plan
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.graph.primitives import PRIMITIVES
from evonorm_tf.layers.keras2 import GraphLayer
from search.evaluation.kept_tensors import kept
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.journal.records import accepted

ROOT = pathlib.Path(__file__).parents[3]
SHAPE = (4, 3, 2, 6)
X, ZERO, V0, V1 = range(4)
MOMENTS = 'first_moment', 'second_moment', 'centered_second_moment'
# t is the argument of a moment and m the moment; x / m.
ARGUMENTS = {
    'x': [], 'v1·x': [Node('mul', (X, V1))], 'x·v1 + v0': [Node('mul', (V1, X)), Node('add', (V0, 4))],
    '−x/v1': [Node('neg', (X,)), Node('div', (4, V1))], 'x + x': [Node('add', (X, X))],
    'v1': [Node('mul', (V1, V1))], 'μ(x)·v1': [Node('first_moment', (X,), INSTANCE), Node('mul', (4, V1))],
    'x − μ(x)': [Node('first_moment', (X,), GROUP), Node('neg', (4,)), Node('add', (X, 5))],
    's(x)²': [Node('centered_second_moment', (X,), LAYER), Node('square', (4,)), Node('add', (5, V0))]}


class Plain(GraphLayer):
  """The layer whose gradient is TensorFlow's own."""
  _gradient = None


def graph_of(argument, moment, axes):
  """x·σ(x) / (moment of the argument), which reads v1 besides."""
  nodes = [*ARGUMENTS[argument]]
  nodes.append(Node(moment, (3 + len(nodes) if nodes else X,), axes))
  root = 3 + len(nodes)
  return LayerGraph((*nodes, Node('sigmoid', (X,)), Node('mul', (X, root + 1)), Node('add', (root, V1)),
                     Node('div', (root + 2, root + 3)))).without_dead_nodes()


def layers(graph, seed=0, **options):
  """The layer and the plain one, with the same random weights."""
  options = {'groups': 3, 'dtype': 'float64', 'jit_compile': False, **options}
  pair = [layer_class(graph, **options) for layer_class in (GraphLayer, Plain)]
  for layer in pair:
    layer.build(SHAPE)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
      weight.assign(rng.uniform(.5, 1.5, weight.shape))
  return pair


def images(seed=1):
  return tf.constant(np.random.default_rng(seed).normal(.3, 1.2, SHAPE))


def results(layer, x, training):
  """y, its gradients and the moving averages after the call; gradients that are unconnected are 0."""
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=training)
    loss = tf.reduce_sum(tf.cast(y, tf.float64) * np.sin(np.arange(np.prod(SHAPE))).reshape(SHAPE))
  gradients = tape.gradient(loss, [x, *layer.trainable_weights], unconnected_gradients='zero')
  return [y, *gradients, *layer.non_trainable_weights]


def assert_equal(pair, x, training=True, rtol=1e-7):
  for weight, other in zip(pair[0].weights, pair[1].weights, strict=True):
    weight.assign(other)
  expected = results(pair[1], x, training)
  for actual, other in zip(results(pair[0], x, training), expected, strict=True):
    np.testing.assert_allclose(actual, other, rtol, atol=1e-8 * (1 + np.abs(other).max()), err_msg=str(pair[0].graph))


@pytest.mark.parametrize('number, argument', enumerate(ARGUMENTS))
def test_moments_of_affine_functions_and_of_vectors(number, argument):
  for i, axes in enumerate(INDEX_SETS):
    graph = graph_of(argument, MOMENTS[(number + i) % 3], axes)
    assert fits(graph)
    pair = layers(graph)
    for training in (True, False) if axes == BATCH else (True,):
      assert_equal(pair, images(), training)


@pytest.mark.parametrize('graph, expected', [
    *((known_graph(name), True) for name in KNOWN_GRAPHS),
    (LayerGraph((Node('tanh', (X,)), Node('second_moment', (4,), INSTANCE), Node('div', (X, 5)))), False),
    (LayerGraph((Node('mul', (X, X)), Node('first_moment', (4,), INSTANCE), Node('div', (X, 5)))), False),
    (LayerGraph((Node('div', (V1, X)), Node('first_moment', (4,), INSTANCE), Node('div', (X, 5)))), False),
    (LayerGraph((Node('first_moment', (X,), INSTANCE),)), False),  # the output does not vary over positions
    (LayerGraph((Node('first_moment', (X,), LAYER), Node('first_moment', (4,), BATCH), Node('add', (X, 5)))), False),
    (LayerGraph((Node('tanh', (X,)),)), True)])
def test_which_graphs_fit(graph, expected):
  assert fits(graph) == expected


def test_most_layers_that_searches_accepted_fit():
  """The figures of docs/performance.md."""
  graphs = [record.graph.without_dead_nodes() for path in sorted(ROOT.glob('results/exploration/*.jsonl.gz'))
            for record in accepted(read_compressed(path))]
  assert (sum(map(fits, graphs)), len(graphs)) == (180, 195)


def test_the_plan_of_a_graph():
  # max(x·v1 / √μ(·²), x·v1 + v0) / v0, times v1
  graph = LayerGraph((Node('mul', (X, V1)), Node('second_moment', (4,), BATCH), Node('div', (4, 5)),
                      Node('add', (V0, 4)), Node('tanh', (6,)), Node('max', (8, 7)), Node('div', (9, 5)),
                      Node('neg', (10,)), Node('mul', (V1, 11))))
  assert plan(graph) == Plan(core=9, outer=(10, 11, 12), curves=(8, 9), lines=(6, 7), vectors=(),
                             computed_lines=frozenset({4, 6, 7}), shifted=frozenset({7}), batch_moments=1,
                             reads_moments=(True, False), positive=frozenset({5}))
  line = LayerGraph((Node('second_moment', (X,), INSTANCE), Node('div', (X, 4))))
  assert (plan(line).core, plan(line).outer, plan(line).curves) == (5, (), ())


def test_random_graphs_have_tensorflows_gradient():
  fitting = 0
  for seed in range(120):
    graph = random_graph(SearchSpace(10), np.random.default_rng(seed)).without_dead_nodes()
    pair = layers(graph, seed)
    if fits(graph) and np.isfinite(pair[1](images(), training=True)).all():
      fitting += 1
      assert_equal(pair, images(), True, rtol=1e-6)
  assert fitting > 20


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'bn_relu'])
def test_gradients_are_finite_differences(name):
  layer, _ = layers(known_graph(name))
  x, step = images(), 1e-6
  _, by_x, *_ = results(layer, x, True)
  for place in [(0, 0, 0, 0), (2, 1, 1, 3), (3, 2, 0, 5)]:
    shift = np.zeros(SHAPE)
    shift[place] = step
    above, below = (float(tf.reduce_sum(layer(x + s, training=True) * np.sin(np.arange(np.prod(SHAPE))).reshape(SHAPE)))
                    for s in (shift, -shift))
    assert float(by_x[place]) == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s1', 'gn_relu'])
def test_second_derivatives(name):
  def of(layer):
    x = images()
    with tf.GradientTape() as tape:
      tape.watch(x)
      norm = tf.reduce_sum(tf.square(results(layer, x, True)[1]))
    return tape.gradient(norm, [x, *layer.trainable_weights], unconnected_gradients='zero')
  fused, plain = layers(known_graph(name))
  for actual, expected in zip(of(fused), of(plain), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


# Two batch moments; √σ and 1 / σ(x), which σ's rational form would spoil where σ is small; an activation.
GRAPHS = {
    'two moments': LayerGraph((Node('first_moment', (X,), BATCH), Node('second_moment', (X,), BATCH), Node('neg', (4,)),
                               Node('add', (X, 6)), Node('div', (7, 5)), Node('tanh', (8,)))),
    'sqrt': LayerGraph((Node('sigmoid', (X,)), Node('sqrt', (4,)))),
    'divisor': LayerGraph((Node('sigmoid', (X,)), Node('div', (V1, 4)))), 'tanh': LayerGraph((Node('tanh', (X,)),)),
    **{name: known_graph(name) for name in ('evonorm_b0', 'evonorm_s0', 'bn_silu')}}


@pytest.mark.parametrize('name', GRAPHS)
def test_compiled_in_float32(name):
  compiled, plain = (layer_class(GRAPHS[name], groups=3, jit_compile=jit_compile)
                     for layer_class, jit_compile in ((GraphLayer, True), (Plain, None)))
  x = tf.cast(images() * (6. if name in ('sqrt', 'divisor') else 1.), tf.float32)
  for layer in (compiled, plain):
    layer.build(SHAPE)
  for training in (True, False):
    for actual, expected in zip(results_32(compiled, x, training), results_32(plain, x, training), strict=True):
      np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5)


def test_a_moment_of_a_moment_of_a_vector_is_of_all_channels():
  graph = LayerGraph((Node('centered_second_moment', (V1,), INSTANCE), Node('first_moment', (4,), BATCH),
                      Node('second_moment', (X,), BATCH), Node('div', (X, 6)), Node('add', (7, 5))))
  assert fits(graph)
  for training in (True, False):
    assert_equal(layers(graph), images(), training)


@pytest.mark.parametrize('name', ['bn_relu', 'gn_silu', 'evonorm_b0'])
def test_digits_of_a_large_mean_are_not_lost(name):
  """float32 at mean 1000 and deviation 1 against float64."""
  graph, x = known_graph(name), tf.cast(images() + 1000., tf.float32)
  narrow = GraphLayer(graph, groups=3, jit_compile=False)
  wide, _ = layers(graph)
  narrow.build(SHAPE)
  for weight, other in zip(narrow.weights, wide.weights, strict=True):
    weight.assign(tf.cast(other, tf.float32))
  expected = results(wide, tf.cast(x, tf.float64), True)
  actual = results(narrow, x, True)
  for a, e in zip(actual[:-len(narrow.non_trainable_weights) or None], expected):
    np.testing.assert_allclose(a, e, rtol=2e-3, atol=2e-3 * np.abs(e).max())


def test_a_constant_channel_is_its_bias():
  layer = GraphLayer(known_graph('bn_relu'), jit_compile=False)
  np.testing.assert_array_equal(layer(tf.fill([2, 3, 3, 4], 1000.), training=True), 0.)


def test_a_subclass_that_computes_f_itself_is_heard():
  class Doubled(GraphLayer):

    def _normalize_activate(self, x, training, mask=None):
      return 2. * x

  np.testing.assert_array_equal(Doubled(known_graph('evonorm_s0'))(tf.ones([1, 2, 2, 4]), training=True), 2.)


def test_an_activation_needs_no_moments():
  graph = LayerGraph((Node('mul', (X, V1)), Node('sigmoid', (4,)), Node('mul', (X, 5))))
  assert GraphEquation(graph, 1e-5, 4).needs_moments(False) is False
  bn_relu, b0 = (GraphEquation(known_graph(name), 1e-5, 4) for name in ('bn_relu', 'evonorm_b0'))
  assert bn_relu.needs_moments(False) and not bn_relu.needs_moments(True) and b0.needs_moments(True)


def results_32(layer, x, training):
  """`results` in a traced function, in which XLA may compile."""
  @tf.function(autograph=False)
  def step(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=training)
    return y, *tape.gradient(y, [x, *layer.trainable_weights], tf.cast(tf.sin(x), x.dtype), 'zero')
  return step(x)


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_a_layer_keeps_little_more_than_its_input(name):
  layer = GraphLayer(known_graph(name), jit_compile=False)
  layer.build((None, 16, 16, 64))
  assert kept(layer) < 1.1


@pytest.mark.parametrize('primitive', ELEMENTWISE)
def test_derivatives_are_tensorflows(primitive):
  rng = np.random.default_rng(0)
  arguments = [tf.constant([*rng.normal(size=20), 0., 1e-6, -1e-6]) for _ in range(PRIMITIVES[primitive].arity)]
  with tf.GradientTape() as tape:
    tape.watch(arguments)
    y = ELEMENTWISE[primitive](*arguments)
  dy = tf.constant(rng.normal(size=23))
  for actual, expected in zip(DERIVATIVES[primitive](arguments, y, dy), tape.gradient(y, arguments, dy), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-9)
