"""Random graphs: permanence, coverage both ways, uniformity, the search space's checks."""

import collections

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import random_node
from search.graphs.random_graph import sample_space
from search.graphs.random_graph import SearchSpace

BINARY = ('add', 'mul', 'div', 'max')
UNARY = ('neg', 'sigmoid', 'tanh', 'exp', 'abs', 'square', 'log', 'sqrt')
MOMENTS = ('first_moment', 'second_moment', 'centered_second_moment')


def draw_nodes(space, index, count, seed=0):
  rng = np.random.default_rng(seed)
  return [random_node(index, space, rng) for _ in range(count)]


def test_permanence():
  """Update the expected graph only where a change of what a seed draws is meant: it ends every search's resumption."""
  graph = random_graph(SearchSpace(6, uniform_over='pairs'), np.random.default_rng(2004))
  assert [(n.primitive, n.inputs, n.axes) for n in graph.nodes] == [
      ('first_moment', (1,), 'w,h,c/g'), ('centered_second_moment', (3,), 'w,h,c'), ('first_moment', (0,), 'w,h,c'),
      ('first_moment', (3,), 'w,h,c'), ('neg', (3,), ''), ('first_moment', (6,), 'w,h')]


def test_every_pair_is_drawn_uniformly_and_no_other():
  nodes = draw_nodes(SearchSpace(uniform_over='pairs'), 4, 24_000)
  counts = collections.Counter((n.primitive, n.axes) for n in nodes)
  assert set(counts) == {(p, '') for p in BINARY + UNARY} | {(m, axes) for m in MOMENTS for axes in INDEX_SETS}
  assert len(counts) == 24 and all(850 < count < 1150 for count in counts.values())  # 1,000 each, σ = 31


@pytest.mark.parametrize('index_sets', (INDEX_SETS, (GROUP, INSTANCE)))
def test_every_primitive_is_drawn_uniformly_and_then_its_index_set(index_sets):
  nodes = draw_nodes(SearchSpace(index_sets=index_sets), 4, 15_000)
  counts = collections.Counter(n.primitive for n in nodes)
  assert set(counts) == set(BINARY + UNARY + MOMENTS)
  assert all(850 < count < 1150 for count in counts.values())  # 1,000 each, σ = 31
  axes = collections.Counter(n.axes for n in nodes if n.primitive in MOMENTS)
  expected = 3000 / len(index_sets)
  assert set(axes) == set(index_sets) and all(abs(count - expected) < 150 for count in axes.values())


@pytest.mark.parametrize('index', (4, 9))
def test_every_earlier_node_is_a_predecessor_uniformly_and_no_other(index):
  nodes = [n for n in draw_nodes(SearchSpace(), index, 24_000) if n.primitive in BINARY]
  pairs = collections.Counter(n.inputs for n in nodes)
  assert set(pairs) == {(i, j) for i in range(index) for j in range(index)}
  expected = len(nodes) / index**2
  assert all(abs(count - expected) < 6 * expected**.5 for count in pairs.values())
  assert {len(n.inputs) for n in nodes} == {2}


def test_unary_nodes_and_moments_have_one_predecessor():
  nodes = [n for n in draw_nodes(SearchSpace(), 5, 3000) if n.primitive not in BINARY]
  assert {n.inputs for n in nodes} == {(i,) for i in range(5)}


def test_graphs_are_valid_and_of_the_space_size():
  rng = np.random.default_rng(0)
  graphs = [random_graph(SearchSpace(10), rng) for _ in range(500)]
  assert all(isinstance(g, LayerGraph) and len(g.nodes) == 10 for g in graphs)
  assert len(set(graphs)) == 500
  predecessors = collections.Counter(max(n.inputs) for g in graphs for n in g.nodes[-1:])
  assert set(predecessors) == set(range(13))  # of the last node: the initial ones and all nine before it


def test_sample_space_has_no_batch_moments():
  space = sample_space(nodes=7)
  axes = {n.axes for n in draw_nodes(space, 4, 5000)}
  assert axes == {'', LAYER, INSTANCE, GROUP} and BATCH not in axes
  assert space.nodes == 7 and len(space.operations) == 21
  assert sample_space().nodes == 10


def test_same_seed_same_graph_and_no_global_generator():
  np.random.seed(0)
  first = random_graph(SearchSpace(), np.random.default_rng(1))
  np.random.seed(1)
  assert random_graph(SearchSpace(), np.random.default_rng(1)) == first
  assert random_graph(SearchSpace(), np.random.default_rng(2)) != first


def test_errors():
  with pytest.raises(ValueError, match='`nodes` must be at least 1, received 0'):
    SearchSpace(0)
  with pytest.raises(ValueError, match=r"`index_sets` must be some of .*'b,w,h'.* received \('b',\)"):
    SearchSpace(index_sets=('b',))
  with pytest.raises(ValueError, match='`index_sets` must be some of'):
    SearchSpace(index_sets=())
  with pytest.raises(ValueError, match="`uniform_over` must be 'primitives' or 'pairs', received 'nodes'"):
    SearchSpace(uniform_over='nodes')
