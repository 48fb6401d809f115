"""Mutation of the live part: the steps between layers by hand, their frequencies, the bounds of the space."""

import collections

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.live_mutation import mutate_live
from search.graphs.random_graph import filled
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace

SMALL = SearchSpace(4, index_sets=('b,w,h',), primitives=('max', 'tanh'))
S = Node('centered_second_moment', (0,), 'b,w,h')
COUNT = 6000
X_BY_S = LayerGraph((S, Node('div', (0, 4))))  # x / s


def mutants(graph, space, count):
  rng = np.random.default_rng(0)
  return [mutate_live(graph, space, rng) for _ in range(count)]


def share(graphs, *forms):
  """The share of graphs that are one of some forms."""
  return sum(g in forms for g in graphs) / len(graphs)


@pytest.fixture(scope='module')
def mutants_of_x_by_s():
  return [g.without_dead_nodes() for g in mutants(X_BY_S, SMALL, COUNT)]


def test_an_inserted_node(mutants_of_x_by_s):
  """Insert, of 4 changes; the edge from s, of 4; max, of 2 primitives; x as its other predecessor, of 5 nodes."""
  forms = (LayerGraph((S, Node('max', (4, 0)), Node('div', (0, 5)))),
           LayerGraph((S, Node('max', (0, 4)), Node('div', (0, 5)))))
  expected = 1 / 4 * 1 / 4 * 1 / 2 * 1 / 5
  assert share(mutants_of_x_by_s, *forms) == pytest.approx(expected, abs=4 * (expected / COUNT) ** .5)


def test_a_node_inserted_before_the_output(mutants_of_x_by_s):
  form = LayerGraph((S, Node('div', (0, 4)), Node('tanh', (5,))))
  expected = 1 / 4 * 1 / 4 * 1 / 2
  assert share(mutants_of_x_by_s, form) == pytest.approx(expected, abs=4 * (expected / COUNT) ** .5)


def test_a_deleted_node(mutants_of_x_by_s):
  """What reads s reads x instead, or the division is left out; an edge from s to x gives the former as well."""
  expected = 1 / 4 * 1 / 2 + 1 / 4 * 1 / 3 * 1 / 4
  assert share(mutants_of_x_by_s, LayerGraph((Node('div', (0, 0)),))) == pytest.approx(expected, abs=.02)
  assert share(mutants_of_x_by_s, LayerGraph((S,))) == pytest.approx(1 / 4 * 1 / 2, abs=.02)


def test_a_replaced_node_and_a_redirected_edge(mutants_of_x_by_s):
  replaced = LayerGraph((Node('tanh', (0,)), Node('div', (0, 4))))  # of 2 nodes, 2 primitives, 4 predecessors
  redirected = LayerGraph((S, Node('div', (3, 4))))  # of 3 edges; the one from x to the division, to v1, of 4 others
  for form, expected in ((replaced, 1 / 4 * 1 / 2 * 1 / 2 * 1 / 4), (redirected, 1 / 4 * 1 / 3 * 1 / 4)):
    assert share(mutants_of_x_by_s, form) == pytest.approx(expected, abs=4 * (expected / COUNT) ** .5)


def test_an_inserted_node_keeps_what_comes_after_it():
  """tanh(x) is read twice: put into one of the two edges, the new node leaves the other as it is."""
  twice = LayerGraph((Node('tanh', (0,)), Node('abs', (4,)), Node('mul', (4, 5))))
  space = SearchSpace(4, primitives=('neg',))
  form = LayerGraph((Node('tanh', (0,)), Node('neg', (4,)), Node('abs', (5,)), Node('mul', (4, 6))))
  assert any(g.without_dead_nodes() == form for g in mutants(twice, space, 500))


@pytest.mark.parametrize('seed', range(3))
def test_mutants_stay_in_the_space(seed):
  """A chain of mutations of all 15 primitives: always as many nodes as the space has; one to all of them are live."""
  space, rng, sizes = SearchSpace(6), np.random.default_rng(seed), collections.Counter()
  graph = random_graph(space, rng)
  for _ in range(1000):
    graph = mutate_live(graph, space, rng)
    assert len(graph.nodes) == 6
    sizes[len([i for i in graph.live if i >= 4])] += 1
  assert {1, 2, 3, 4} <= set(sizes)


def test_dead_nodes_are_not_kept_and_the_graph_stays_as_it_is():
  parent = filled(X_BY_S, SearchSpace(10), np.random.default_rng(1))
  before = parent.to_dict()
  dead = {mutant.nodes[0] for mutant in mutants(parent, SearchSpace(10), 50)}
  assert len(dead) > 20 and parent.to_dict() == before


def test_a_graph_that_is_too_large_is_refused():
  for call in (mutate_live, filled):
    with pytest.raises(ValueError, match=r"`graph` must have at most the space's 1 .*nodes, received 2"):
      call(X_BY_S, SearchSpace(1), np.random.default_rng(0))
  assert filled(X_BY_S, SearchSpace(2), np.random.default_rng(0)) == X_BY_S


def test_permanence():
  """Update the expected node only where a change of what a seed draws is meant: it ends every search's resumption."""
  mutant = mutate_live(X_BY_S, SearchSpace(3), np.random.default_rng(2004))
  assert mutant.without_dead_nodes() == LayerGraph((S, Node('neg', (4,))))


def test_same_seed_same_mutant():
  found = [mutate_live(X_BY_S, SMALL, np.random.default_rng(seed)) for seed in (1, 1, 2)]
  assert found[0] == found[1] != found[2]
