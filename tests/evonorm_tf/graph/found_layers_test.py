"""The layers that searches of this project have found: origins against journals, values against NumPy, names."""

import gzip
import json
import pathlib

import keras
import numpy as np
import pytest
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.graph.found_layers import found_layer_origins
from evonorm_tf.graph.layer_graph import LayerGraph
from search.code_generation.compilation import find_graph
from search.equivalence.known_layers import known_layer
from search.graphs.known_graphs import known_graph

ROOT = pathlib.Path(__file__).parents[3]
NAMES = list(found_graphs())


def test_each_has_a_file_and_a_journal_with_it():
  """The journal's line of the candidate, read as JSON, has the graph of the file."""
  assert NAMES == [f'found_{number}' for number in range(1, len(NAMES) + 1)] and 1 <= len(NAMES) <= 3
  for name, origin in found_layer_origins().items():
    lines = gzip.decompress((ROOT / origin['journal']).read_bytes()).decode().splitlines()
    candidate, = (line for line in map(json.loads, lines)
                  if line.get('stage') == 'evolution' and line['index'] == origin['candidate'])
    assert LayerGraph.from_dict(candidate['graph']).without_dead_nodes() == found_graphs()[name]
    assert origin.keys() == {'journal', 'gin_file', 'commit', 'seed', 'candidate', 'validation', 'test', 'beside'}


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('module', [evonorm_tf, keras3])
def test_values(module, name):
  rng = np.random.default_rng(0)
  x = rng.normal(.5, 2., size=(4, 5, 5, 8)).astype(np.float32)
  layer = module.get_norm_act(name, groups=2)()
  layer.build(x.shape)
  vectors = {}
  for weight in layer.trainable_weights:
    vectors[weight.name.split('/')[-1].partition(':')[0]] = value = rng.uniform(.5, 1.5, 8)
    weight.assign(value)
  v0, v1 = vectors.get('v0', np.zeros(8)), vectors.get('v1', np.ones(8))
  expected = found_graphs()[name].evaluate(x.astype(float), v0, v1, 2) * vectors['gamma'] + vectors['beta']
  np.testing.assert_allclose(np.asarray(layer(x, training=True)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', NAMES)
def test_names(name):
  spelt = name.replace('_', '').title()
  assert evonorm_tf.get_norm_act(spelt) == evonorm_tf.get_norm_act(name)
  assert find_graph(spelt) == known_graph(name) == found_graphs()[name]
  assert name in evonorm_tf.norm_act_names() and name in keras3.norm_act_names()
  assert known_layer(found_graphs()[name]).name == name
  with pytest.raises(ValueError, match='taken'):
    evonorm_tf.register_norm_act(name, evonorm_tf.EvoNormS0)


@pytest.mark.parametrize('module, package, name', [
    pytest.param(module, package, name, marks=[pytest.mark.slow] * ((module, name) != (evonorm_tf, 'found_2')))
    for module, package in ((evonorm_tf, tf_keras), (keras3, keras)) for name in NAMES])
def test_a_network_trains_with_it(module, package, name):
  x, labels = np.random.default_rng(0).normal(size=(32, 8, 8, 3)), np.arange(32) % 2
  x[labels == 1] += .5
  package.utils.set_random_seed(0)
  model = module.build_resnet(module.get_norm_act(name, groups=4), depth=8, num_classes=2, input_shape=(8, 8, 3),
                              width_multiplier=.5)
  model.compile(package.optimizers.SGD(.05, .9), package.losses.SparseCategoricalCrossentropy(from_logits=True))
  losses = model.fit(x, labels, 16, 6, verbose=0).history['loss']
  assert losses[-1] < .5 * losses[0], losses
