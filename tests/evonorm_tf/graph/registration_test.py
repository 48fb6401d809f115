"""Primitives and index sets that users register: in graphs, layers, equations, equivalence and generated files."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.equations.graph_plan import fits
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives
from evonorm_tf.graph import registration
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import LayerGraphError
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.registration import register_index_set
from evonorm_tf.graph.registration import register_primitive
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.output.model_dir import ModelDirError
from search.code_generation.layer_file import write_layer
from search.code_generation.targets import KERAS_3
from search.code_generation.targets import TF_KERAS
from search.equivalence.canonical import canonical
from search.equivalence.equivalents import Equivalents
from search.evaluation.registered_forms import check_forms
from search.graphs.affine_equation import affine_equation_text
from search.graphs.drawing import draw_graph
from search.graphs.equation import equation_latex
from search.graphs.equation import equation_text
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal.journal import Journal
from search.journal.journal import read
from search.journal.registrations import registrations

SOFTSIGN = dict(numpy=lambda x: x / (1. + np.abs(x)), tensorflow=tf.nn.softsign,
                derivative=lambda x: (1. + np.abs(x))**-2.)
LOGADD = dict(numpy=np.logaddexp, tensorflow=lambda x, y: tf.maximum(x, y) + tf.nn.softplus(-tf.abs(x - y)),
              derivative=lambda x, y: (1. / (1. + np.exp(y - x)), 1. / (1. + np.exp(x - y))))
ROWS = dict(numpy=lambda x, groups: x.mean(1, keepdims=True),
            tensorflow=lambda x, groups: tf.reduce_mean(x, 1, keepdims=True))
# softsign(v1·x) / logadd(s[h](x), |x|)
GRAPH = (Node('mul', (3, 0)), Node('softsign', (4,)), Node('centered_second_moment', (0,), 'h'), Node('abs', (0,)),
         Node('logadd', (6, 7)), Node('div', (5, 8)))
X = np.random.default_rng(0).normal(size=(3, 5, 4, 8)) * 2. + 1.


@pytest.fixture(autouse=True)
def clean():
  """What a test registers goes with it."""
  yield
  for name in set(primitives.PRIMITIVES) - set(primitives.BUILT_IN):
    del primitives.PRIMITIVES[name]
  primitives.REGISTERED_INDEX_SETS.clear()


@pytest.fixture
def graph():
  register_primitive('softsign', code='tf.nn.softsign({})', **SOFTSIGN)
  register_primitive('logadd', 2, equation=('ln(e^, e^){}', r'\mathrm{logadd}{}'),
                     code={'tf_keras': 'tf.experimental.numpy.logaddexp({})', 'keras': 'keras.ops.logaddexp({})'},
                     **LOGADD)
  register_index_set('h', code='tf.reduce_mean({}, 1, keepdims=True)', **ROWS)
  return LayerGraph(GRAPH)


def formula(x, v1):
  """The graph's output in float64, without any of the package's code."""
  deviation = np.sqrt(x.var(1, keepdims=True) + 1e-5)
  return v1 * x / (1. + np.abs(v1 * x)) / np.logaddexp(deviation, np.abs(x))


def test_a_layer_computes_what_the_formula_says(graph):
  v1 = np.random.default_rng(1).normal(size=8)
  np.testing.assert_allclose(graph.evaluate(X, np.zeros(8), v1), formula(X, v1), rtol=1e-12)
  layer = GraphLayer(graph, dtype='float64')
  layer.build(X.shape)
  layer.v1.assign(v1)
  for training in (True, False):
    np.testing.assert_allclose(layer(X, training=training), formula(X, v1), rtol=1e-10)
  assert not fits(graph)  # its gradient is TensorFlow's


def test_the_gradient_is_that_of_the_formula(graph):
  layer, dy = GraphLayer(graph, dtype='float64'), np.random.default_rng(2).normal(size=X.shape)
  x = tf.constant(X)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = tf.reduce_sum(layer(x, training=True) * dy)
  by_x, by_v1 = tape.gradient(y, [x, layer.v1])
  ones, h = np.ones(8), 1e-6
  numeric = [(np.sum(formula(X, ones + h * e) * dy) - np.sum(formula(X, ones - h * e) * dy)) / (2 * h)
             for e in np.eye(8)]
  np.testing.assert_allclose(by_v1, numeric, rtol=1e-6, atol=1e-8)
  direction = np.random.default_rng(3).normal(size=X.shape)
  numeric = (np.sum(formula(X + h * direction, ones) * dy) - np.sum(formula(X - h * direction, ones) * dy)) / (2 * h)
  np.testing.assert_allclose(np.sum(by_x * direction), numeric, rtol=1e-6)


def test_equation_drawing_and_canonical_form(graph):
  assert affine_equation_text(graph) == equation_text(graph)
  assert equation_text(graph) == 'y = softsign(v1·x) / ln(e^, e^)(s[h](x), |x|) · γ + β'
  assert r'\mathrm{softsign}(v_{1} \, x)' in equation_latex(graph) and r's_{h}(x)' in equation_latex(graph)
  assert draw_graph(graph).axes
  assert canonical(graph).evaluate(X, np.zeros(8), np.ones(8)) == pytest.approx(formula(X, np.ones(8)))


def test_equal_layers_are_recognized_and_others_are_not(graph):
  cache = Equivalents()
  cache.add(graph, 0)
  twin = LayerGraph(GRAPH + (Node('neg', (9,)),))
  other = LayerGraph((*GRAPH[:2], Node('centered_second_moment', (0,), 'w,h'), *GRAPH[3:]))
  swapped = LayerGraph((*GRAPH[:4], Node('logadd', (7, 6)), GRAPH[5]))
  assert cache.find(twin) == 0 and cache.find(swapped) == 0 and cache.find(other) is None
  assert cache.find(LayerGraph((*GRAPH[:1], Node('tanh', (4,)), *GRAPH[2:]))) is None


def test_a_file_needs_the_code_of_all_parts(graph):
  primitives.REGISTERED_INDEX_SETS.clear()
  register_index_set('h', **ROWS)
  for target in (TF_KERAS, KERAS_3):
    with pytest.raises(ArgumentError, match="'h' of your own was registered without `code`"):
      write_layer(graph, 'Own', target)


@pytest.mark.parametrize('target', [TF_KERAS, KERAS_3])
def test_generated_files(graph, tmp_path, target):
  primitives.PRIMITIVES.pop('softsign')
  primitives.REGISTERED_INDEX_SETS.clear()
  register_primitive('softsign', code={'tf_keras': 'tf.nn.softsign({})', 'keras': 'keras.ops.softsign({})'}, **SOFTSIGN)
  register_index_set('h', code={'tf_keras': 'tf.reduce_mean({}, 1, keepdims=True)',
                                'keras': 'keras.ops.mean({}, 1, keepdims=True)'}, **ROWS)
  (tmp_path / 'own.py').write_text(write_layer(graph, 'OwnOfTest', target))
  spec = importlib.util.spec_from_file_location('own', tmp_path / 'own.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  np.testing.assert_allclose(module.OwnOfTest(dtype='float64')(X), formula(X, np.ones(8)), rtol=1e-10)


def test_a_space_draws_them_only_if_it_names_them(graph):
  rng = np.random.default_rng(0)
  names = lambda space: {name for _ in range(300) for node in random_graph(space, rng).nodes
                         for name in (node.primitive, node.axes)}
  assert not {'softsign', 'logadd', 'h'} & names(SearchSpace())
  space = SearchSpace(primitives=('softsign', 'add', 'first_moment'), index_sets=('h',))
  assert names(space) == {'softsign', 'add', 'first_moment', 'h', ''}
  check_forms(space)
  assert static_rejection(LayerGraph((Node('softsign', (0,)),))) is None
  with pytest.raises(ArgumentError, match=r"`primitives` must be some of .*received \('softplus',\)"):
    SearchSpace(primitives=('softplus',))


def test_the_papers_space_draws_the_same_graphs_as_before():
  named = SearchSpace(primitives=primitives.BUILT_IN)
  a, b = (random_graph(space, np.random.default_rng(5)) for space in (SearchSpace(), named))
  assert a == b


def test_json_names_them_and_says_what_is_missing(graph):
  data = graph.to_dict()
  assert LayerGraph.from_dict(data) == graph
  del primitives.PRIMITIVES['softsign']
  with pytest.raises(LayerGraphError, match="unknown primitive 'softsign'.*must be registered first"):
    LayerGraph.from_dict(data)


def test_a_journal_names_them_and_says_what_is_missing(graph, tmp_path):
  space = SearchSpace(primitives=('softsign', 'add'), index_sets=('h',))
  config = {'window': 3} | registrations(space)
  assert registrations(SearchSpace()) == {}
  Journal(tmp_path / 'journal.jsonl', config).close()
  assert read(tmp_path / 'journal.jsonl')[0]['registered'].keys() == {'softsign', 'h'}
  del primitives.PRIMITIVES['softsign']
  with pytest.raises(ModelDirError, match="needs 'softsign', not registered"):
    read(tmp_path / 'journal.jsonl')
  register_primitive('softsign', numpy=np.tanh, tensorflow=tf.tanh, derivative=lambda x: 1. - np.tanh(x)**2)
  with pytest.raises(ModelDirError, match="another 'softsign'"):
    read(tmp_path / 'journal.jsonl')


def test_the_same_again_is_allowed_and_another_is_not(graph):
  register_primitive('softsign', **SOFTSIGN)
  register_index_set('h', **ROWS)
  with pytest.raises(ArgumentError, match="'softsign' is taken by another primitive"):
    register_primitive('softsign', numpy=np.tanh, tensorflow=tf.tanh, derivative=lambda x: 1. - np.tanh(x)**2)
  with pytest.raises(ArgumentError, match="'h' is taken by another index set"):
    register_index_set('h', numpy=lambda x, groups: x.mean(2, keepdims=True), tensorflow=None)


def test_another_process_can_restore_them(graph):
  entries = registration.registered()
  assert entries.keys() == {'softsign', 'logadd', 'h'}
  for name in ('softsign', 'logadd'):
    del primitives.PRIMITIVES[name]
  primitives.REGISTERED_INDEX_SETS.clear()
  registration.restore(entries)
  assert LayerGraph(GRAPH) == graph


@pytest.mark.parametrize('changes, message', [
    ({'name': 'tanh'}, 'is a primitive of the paper'), ({'name': 'a b'}, 'Python identifier'),
    ({'arity': 3}, '`arity` must be 1 or 2'), ({'numpy': lambda x: x.sum()}, "`numpy` must return finite values"),
    ({'numpy': lambda x: np.log(x - 9.)}, '`numpy` must return finite values'),
    ({'numpy': lambda x, y: x}, '`numpy` fails on 1 arguments: TypeError'),
    ({'derivative': lambda x: 1. / (1. + np.abs(x))}, r'`derivative` with respect to argument 0 is .* at \(.*finite'),
    ({'derivative': None}, '`derivative` must be a function'),
    ({'equation': 'softsign'}, '`equation` must be a text with {}'),
    ({'code': 'f({}, {})'}, '`code` must be a text with {}')])
@pytest.mark.filterwarnings('ignore:invalid value')
def test_wrong_primitives(changes, message):
  with pytest.raises(ArgumentError, match=message):
    register_primitive(**{'name': 'softsign', **SOFTSIGN, **changes})
  assert 'softsign' not in primitives.PRIMITIVES


@pytest.mark.parametrize('changes, message', [
    ({'name': 'w,h'}, 'is an index set of the paper'), ({'name': ''}, '`name` must be a text'),
    ({'numpy': lambda x, groups: x.mean(1)}, '`numpy` must return an array that broadcasts'),
    ({'numpy': lambda x, groups: x.mean((0, 1), keepdims=True)}, 'mixes samples'),
    ({'numpy': lambda x, groups: x.max(1, keepdims=True)}, 'that of a sum the sum of the means'),
    ({'numpy': lambda x, groups: x.reshape(*x.shape[:-1], groups, -1).mean(-1).repeat(x.shape[-1] // groups, -1)},
     r'`numpy` fails|must also average'),
    ({'numpy': lambda x, groups: x.sum(1, keepdims=True)}, 'that of an array of threes is 3'),
    ({'over_channels': True}, '`over_channels` is True, but')])
def test_wrong_index_sets(changes, message):
  with pytest.raises(ArgumentError, match=message):
    register_index_set(**{'name': 'h', **ROWS, **changes})
  assert not primitives.REGISTERED_INDEX_SETS


def test_forms_that_differ_are_refused_before_a_search():
  register_primitive('softsign', **SOFTSIGN | {'tensorflow': tf.tanh})
  with pytest.raises(ArgumentError, match="`tensorflow` of 'softsign' is .* where `numpy` is"):
    check_forms(SearchSpace(primitives=('softsign',)))


def test_a_mask_is_refused(graph):
  with pytest.raises(ValueError, match="index set 'h' of your own does not take one"):
    GraphLayer(graph)(tf.constant(X, tf.float32), mask=tf.ones(X.shape[:-1], tf.bool))
