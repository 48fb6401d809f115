"""Files that `compile_layer --keras=3` writes: the layer computes what `GraphLayer` computes, in training and after."""

import types

import keras
import numpy as np
import pytest

from backend_tests.gradients import values_and_gradients
from evonorm_tf import keras3
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

pytest.importorskip('sympy')
from search.code_generation.layer_file import write_layer
from search.code_generation.targets import KERAS_3

SHAPE, GROUPS = (4, 3, 2, 6), 3
VECTORS = ('gamma', 'beta', 'v0', 'v1')


def compiled(graph, class_name):
  """The class that the file of this graph defines."""
  module = types.ModuleType('compiled_layer')
  exec(compile(write_layer(graph, class_name, KERAS_3), 'compiled_layer.py', 'exec'), module.__dict__)
  return getattr(module, class_name)


def pair_of_layers(graph, class_name):
  """The compiled layer and GraphLayer, with the same random weights."""
  layer_class, rng = compiled(graph, class_name), np.random.default_rng(0)
  has_groups = 'groups' in layer_class().get_config()
  pair = layer_class(**({'groups': GROUPS} if has_groups else {})), keras3.GraphLayer(graph, groups=GROUPS)
  for layer in pair:
    layer.build(SHAPE)
  for name in VECTORS:
    value = rng.normal(.4, 1., SHAPE[-1])
    for layer in pair:
      if getattr(layer, name, None) is not None:
        getattr(layer, name).assign(value)
  return pair


def check(graph, class_name):
  """Compares the layers; returns False where the values are too large to be compared in float32."""
  layer, expected = pair_of_layers(graph, class_name)
  x = np.random.default_rng(1).normal(.3, 1.2, SHAPE).astype('float32')
  cotangent = np.random.default_rng(2).normal(size=SHAPE).astype('float32')
  names = [{v.name: n for n, v in enumerate(each.trainable_variables, 2)} for each in (layer, expected)]
  for training in (True, False):
    wanted = values_and_gradients(expected, x, cotangent, training)
    if not all(np.isfinite(w).all() and np.abs(w).max() < 1e3 for w in wanted):
      return False
    actual = values_and_gradients(layer, x, cotangent, training)
    pairs = [(0, 0), (1, 1), *((names[0][n], names[1][n]) for n in names[0].keys() & names[1].keys())]
    for a, e in pairs:
      np.testing.assert_allclose(actual[a], wanted[e], rtol=2e-3, atol=2e-3 * max(1., np.abs(wanted[e]).max()))
    if training:
      layer(x, training=True)
      expected(x, training=True)
  return True


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_known_graphs(name):
  assert check(known_graph(name), f'Known{name.title().replace("_", "")}')


@pytest.mark.parametrize('arguments', [('zero', 'product'), ('product', 'zero'), ('product', 'product')])
def test_the_first_of_equal_arguments_of_a_maximum_has_the_gradient(arguments):
  """v0 = 0, as where training begins, so that v0·x is 0 everywhere."""
  nodes = {'zero': 1, 'product': 4}
  graph = LayerGraph((Node('mul', (2, 0)), Node('max', tuple(nodes[a] for a in arguments)), Node('add', (0, 5))))
  layer, expected = pair_of_layers(graph, f'Ties{"".join(map(str.title, arguments))}')
  for each in (layer, expected):
    each.v0.assign(np.zeros(SHAPE[-1]))
  x, cotangent = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype('float32')
  to_v0 = []
  for each in (layer, expected):
    gradients = values_and_gradients(each, x, cotangent, True)
    to_v0.append(gradients[2 + [v.name for v in each.trainable_variables].index('v0')])
  gamma = keras.ops.convert_to_numpy(layer.gamma)
  wanted = 0. if arguments[0] == 'zero' else (x * cotangent).sum((0, 1, 2)) * gamma
  for gradient in to_v0:
    np.testing.assert_allclose(gradient, wanted + np.zeros_like(gamma), rtol=1e-4, atol=1e-5)


def test_random_graphs():
  rng, compared = np.random.default_rng(3), 0
  for number in range(200):
    graph = random_graph(SearchSpace(8), rng)
    if static_rejection(graph) is None:
      compared += check(graph, f'Random{number}')
    if compared == 10:
      return
  raise AssertionError(f'{compared} graphs could be compared')


def test_a_model_with_it_is_saved(tmp_path):
  layer_class = compiled(known_graph('evonorm_b0'), 'SavedNormAct')
  model = keras.Sequential([keras.Input((5, 5, 2)), keras.layers.Conv2D(4, 3), layer_class(momentum=.5, name='found')])
  x = np.random.default_rng(0).normal(size=(3, 5, 5, 2)).astype('float32')
  model(x, training=True)
  model.save(tmp_path / 'model.keras')
  again = keras.models.load_model(tmp_path / 'model.keras')
  assert again.get_layer('found').get_config() == model.get_layer('found').get_config()
  np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
