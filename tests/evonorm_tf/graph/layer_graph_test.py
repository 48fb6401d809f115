"""LayerGraph: validity, JSON and its errors, dead nodes, immutability."""

import copy
import dataclasses
import json
import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from evonorm_tf.graph import layer_graph
from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import LayerGraphError
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace

# Node 5 is dead; its removal renumbers 6 and 7.
WITH_DEAD_NODE = LayerGraph((
    Node('second_moment', (0,), BATCH), Node('exp', (4,)), Node('neg', (0,)), Node('div', (6, 4))))


@pytest.mark.parametrize('node,message', [
    (Node('relu', (0,)), "Node 5: unknown primitive 'relu'; known are add, mul, .*centered_second_moment"),
    (Node('add', (0,)), 'Node 5: add takes 2 `inputs`, received 1'),
    (Node('neg', (0, 1)), 'Node 5: neg takes 1 `inputs`, received 2'),
    (Node('neg', (5,)), 'Node 5: `inputs` must be earlier nodes, 0 to 4, received 5'),
    (Node('neg', (-1,)), 'Node 5: `inputs` must be earlier nodes, 0 to 4, received -1'),
    (Node('neg', (0.,)), r'Node 5: `inputs` must be earlier nodes, 0 to 4, received 0\.0'),
    (Node('neg', (True,)), 'Node 5: `inputs` must be earlier nodes, 0 to 4, received True'),
    (Node('first_moment', (0,)), "Node 5: `axes` of first_moment must be one of .*, received ''"),
    (Node('first_moment', (0,), 'c'), "Node 5: `axes` of first_moment must be one of .*, received 'c'"),
    (Node('neg', (0,), BATCH), "Node 5: neg takes no `axes`, received 'b,w,h'"),
])
def test_invalid_nodes(node, message):
  with pytest.raises(LayerGraphError, match=message):
    LayerGraph((Node('tanh', (0,)), node))


def test_inputs_are_several():
  with pytest.raises(LayerGraphError, match='`inputs` of a node must be a tuple of integers, received 0'):
    Node('neg', 0)
  graph = LayerGraph((Node('neg', [np.int64(0)]),))
  assert graph == LayerGraph((Node('neg', (0,)),)) and json.dumps(graph.to_dict())


def test_is_frozen_data():
  with pytest.raises(LayerGraphError, match='at least one intermediate node'):
    LayerGraph(())
  graph = known_graph('bn_relu')
  with pytest.raises(dataclasses.FrozenInstanceError):
    graph.nodes = ()
  with pytest.raises(dataclasses.FrozenInstanceError):
    graph.nodes[0].axes = GROUP
  twin = known_graph('bn_relu')
  assert twin == graph and hash(twin) == hash(graph) and len({graph, twin, known_graph('gn_relu')}) == 2
  graph.live  # a cached value, which equality, hash and pickle leave alone
  assert twin == graph and hash(twin) == hash(graph) and pickle.loads(pickle.dumps(graph)) == graph


def test_output_node_and_live():
  assert WITH_DEAD_NODE.output == 7
  assert WITH_DEAD_NODE.node(4) == Node('second_moment', (0,), BATCH)
  assert WITH_DEAD_NODE.node(7) == Node('div', (6, 4))
  assert WITH_DEAD_NODE.live == {0, 4, 6, 7}


def test_without_dead_nodes():
  expected = (Node('second_moment', (0,), BATCH), Node('neg', (0,)), Node('div', (5, 4)))
  assert WITH_DEAD_NODE.without_dead_nodes().nodes == expected
  assert known_graph('bn_silu').without_dead_nodes() == known_graph('bn_silu')


def test_without_dead_nodes_keeps_the_function():
  rng = np.random.default_rng(0)
  x, v0, v1 = rng.normal(size=(3, 2, 2, 6)), rng.normal(size=6), rng.normal(size=6)
  shorter = 0
  for _ in range(200):
    graph = random_graph(SearchSpace(10), rng)
    alive = graph.without_dead_nodes()
    assert alive.live >= set(range(4, alive.output + 1))
    with np.errstate(all='ignore'):
      np.testing.assert_array_equal(alive.evaluate(x, v0, v1, 3), graph.evaluate(x, v0, v1, 3))
    shorter += len(alive.nodes) < len(graph.nodes)
  assert shorter > 100


def test_evaluate_by_hand():
  x = np.array([[[3., 0.]], [[-4., 0.]]])
  root = np.sqrt(12.5 + primitives.EPSILON)
  expected = [[[-3. / root, 0.]], [[4. / root, 0.]]]
  np.testing.assert_allclose(WITH_DEAD_NODE.evaluate(x, np.zeros(2), np.ones(2)), expected, rtol=1e-12)
  affine = LayerGraph((Node('mul', (0, 3)), Node('add', (4, 2)), Node('max', (5, 1))))
  np.testing.assert_allclose(
      affine.evaluate(x, np.array([1., 2.]), np.array([2., 5.])), [[[7., 2.]], [[0., 2.]]], rtol=1e-12)


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_json_round_trip(name, tmp_path):
  graph = known_graph(name)
  graph.save(tmp_path / 'graph.json')
  assert LayerGraph.load(tmp_path / 'graph.json') == graph
  assert LayerGraph.load(str(tmp_path / 'graph.json')) == graph
  assert LayerGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
  lines = (tmp_path / 'graph.json').read_text().splitlines()
  assert len([line for line in lines if '"primitive"' in line]) == len(graph.nodes)


def edited(**changes):
  return {**WITH_DEAD_NODE.to_dict(), **changes}


NEG = {'primitive': 'neg', 'inputs': [0]}


@pytest.mark.parametrize('data,message', [
    ([], 'must be a JSON object, received list'),
    ({}, "`format` must be 'evonorm_tf.layer_graph', received None"),
    (edited(version=2), '`version` must be 1, received 2'),
    (edited(initial_nodes=['x']), "`initial_nodes` must be .*, received \\['x'\\]"),
    (edited(comment=''), r"Unknown keys \['comment'\]"),
    (edited(nodes={}), '`nodes` must be a list, received dict'),
    (edited(nodes=[]), 'at least one intermediate node'),
    (edited(nodes=[NEG] * 1001), 'holds 1001 nodes; at most 1000'),
    (edited(nodes=[NEG, 3]), 'Node 5: must be a JSON object, received int'),
    (edited(nodes=[NEG, {**NEG, 'input': 1}]), r"Node 5: unknown keys \['input'\]"),
    (edited(nodes=[NEG, {'inputs': [0]}]), 'Node 5: `primitive` must be a string, received None'),
    (edited(nodes=[NEG, {'primitive': 'neg'}]), 'Node 5: `inputs` must be a list of integers, received None'),
    (edited(nodes=[NEG, {'primitive': 'neg', 'inputs': [True]}]), r'Node 5: `inputs` must be .*, received \[True\]'),
    (edited(nodes=[NEG, {'primitive': 'neg', 'inputs': [0.]}]), r'Node 5: `inputs` must be .*, received \[0\.0\]'),
    (edited(nodes=[NEG, {**NEG, 'axes': None}]), 'Node 5: `axes` must be a string, received None'),
    (edited(nodes=[NEG, {**NEG, 'inputs': [5]}]), 'Node 5: `inputs` must be earlier nodes, 0 to 4, received 5'),
])
def test_file_errors(data, message, tmp_path):
  path = tmp_path / 'broken.json'
  path.write_text(json.dumps(data))
  with pytest.raises(LayerGraphError, match=f'broken.json: .*{message}'):
    LayerGraph.load(path)


@pytest.mark.parametrize(
    'content', [b'', b'{', b'\xff\xfe\x00', b'[' * 100_000, b'{"version": ' + b'9' * 10_000 + b'}'])
def test_files_that_are_no_json(content, tmp_path):
  path = tmp_path / 'broken.json'
  path.write_bytes(content)
  with pytest.raises(LayerGraphError, match='broken.json: not JSON'):
    LayerGraph.load(path)
  with pytest.raises(LayerGraphError, match='missing.json: cannot be read: No such file'):
    LayerGraph.load(tmp_path / 'missing.json')


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5)
# Often legal at one place or another, so that both outcomes appear.
PLAUSIBLE_VALUES = st.integers(0, 8) | st.sampled_from([*primitives.PRIMITIVES, BATCH, GROUP, INSTANCE])


def paths_of(data, path=()):
  """The path to every value in JSON data, the whole included."""
  yield path
  items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
  for key, value in items:
    yield from paths_of(value, path + (key,))


def mutated(data, path, value, delete):
  """A copy of the data with the value at the path replaced, or deleted."""
  if not path:
    return value
  data = copy.deepcopy(data)
  parent = data
  for key in path[:-1]:
    parent = parent[key]
  if delete:
    del parent[path[-1]]
  else:
    parent[path[-1]] = value
  return data


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_json_gives_an_error_or_a_valid_graph(data):
  mutation = known_graph(data.draw(st.sampled_from(sorted(KNOWN_GRAPHS)))).to_dict()
  for _ in range(data.draw(st.integers(1, 3))):
    paths = list(paths_of(mutation))
    inputs = [path for path in paths if len(path) == 4] or paths  # the integers in `inputs`
    path = data.draw(st.sampled_from(paths) | st.sampled_from(inputs))
    value = data.draw(st.one_of(PLAUSIBLE_VALUES, PLAUSIBLE_VALUES, JSON_VALUES))
    mutation = mutated(mutation, path, value, delete=data.draw(st.integers(0, 5)) == 5)
  try:
    graph = LayerGraph.from_dict(json.loads(json.dumps(mutation)))
  except LayerGraphError:
    return
  assert LayerGraph.from_dict(graph.to_dict()) == graph
  with np.errstate(all='ignore'):
    y = graph.evaluate(np.ones((2, 2, 2, 4)), np.zeros(4), np.ones(4), 2)
  assert np.broadcast_to(y, (2, 2, 2, 4)).dtype == np.float64
  assert len(graph.nodes) <= layer_graph.MAX_NODES
