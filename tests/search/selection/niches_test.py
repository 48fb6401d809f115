"""Niches: the kinds of known layers and of formulas, what is not finite, draws from niches."""

import collections

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import SearchSpace
from search.journal.candidate import Candidate
from search.selection.niches import kind_of_layer
from search.selection.population import Population
from search.selection.proposal import TournamentEvolution

X, ZERO, V0, V1 = range(4)
S_BATCH, S_IMAGE = (Node('centered_second_moment', (X,), axes) for axes in ('b,w,h', 'w,h'))


def kind(*nodes):
  return kind_of_layer(Candidate(0, LayerGraph(nodes), (.5,)))


@pytest.mark.parametrize('name, expected', [
    ('bn_relu', ('batch', 'invariant', 'neither')), ('gn_relu', ('sample', 'invariant', 'neither')),
    ('evonorm_b0', ('batch', 'invariant', 'neither')), ('evonorm_b1', ('batch', 'other', 'neither')),
    ('evonorm_b2', ('batch', 'invariant', 'neither')), ('evonorm_s0', ('sample', 'other', 'neither'))])
def test_known_layers(name, expected):
  assert kind(*known_graph(name).nodes) == expected


@pytest.mark.parametrize('nodes, expected', [
    ((Node('tanh', (X,)),), ('pointwise', 'other', 'odd')),
    ((Node('max', (X, ZERO)),), ('pointwise', 'proportional', 'neither')),
    ((Node('abs', (X,)),), ('pointwise', 'proportional', 'even')),
    ((Node('add', (X, V1)),), ('pointwise', 'proportional', 'odd')),  # up to a term
    ((S_BATCH, Node('div', (X, 4))), ('batch', 'invariant', 'odd')),
    ((S_IMAGE, Node('div', (X, 4))), ('sample', 'invariant', 'odd')),
    ((Node('first_moment', (V1,), 'b,w,h'), Node('mul', (X, 4))), ('pointwise', 'proportional', 'odd')),
    ((Node('square', (X,)), Node('first_moment', (4,), 'w,h,c'), Node('div', (X, 5))), ('sample', 'other', 'odd'))])
def test_formulas(nodes, expected):
  assert kind(*nodes) == expected


def test_what_is_not_finite_has_a_niche():
  assert kind(Node('exp', (X,)), Node('exp', (4,)), Node('exp', (5,)), Node('exp', (6,)))[1:] == ('other', 'neither')


def population(*graphs):
  members = Population(10)
  for index, graph in enumerate(graphs):
    members.append(Candidate(index, graph, (index / 10,)))
  return members


def test_the_groups_of_a_population():
  members = population(*[known_graph('bn_relu')] * 3)
  calls = []

  def parity(candidate):
    calls.append(candidate.index)
    return candidate.index % 2

  for _ in range(2):
    assert [[c.index for c in group] for group in members.groups(parity)] == [[0, 2], [1]]
  assert calls == [0, 1, 2]  # not computed again
  members.append(Candidate(3, known_graph('bn_relu'), (.5,)))
  assert [[c.index for c in group] for group in members.groups(parity)] == [[0, 2], [1, 3]]


def test_a_small_output_is_seen_to_depend_on_the_batch():
  assert kind(S_BATCH, Node('div', (X, 4)), Node('exp', (V1,)), Node('exp', (6,)), Node('exp', (7,)),
              Node('div', (5, 8)))[0] == 'batch'


def test_a_niche_that_cannot_be_hashed_is_refused():
  with pytest.raises(ValueError, match=r"`niche` must return what can be hashed.*received \['odd'\]"):
    population(known_graph('bn_relu')).groups(lambda candidate: ['odd'])


def test_each_niche_has_the_same_chance_and_its_best_wins():
  """Eight layers that are odd, of which the last is best, and one that is not: each kind has half of the offspring."""
  tanh, rng = LayerGraph((Node('tanh', (X,)),)), np.random.default_rng(0)
  members = population(known_graph('evonorm_s0'), *[tanh] * 8)
  strategy = TournamentEvolution(0, fraction=1., random_offspring=0., niche=kind_of_layer)
  drawn = collections.Counter(strategy.draw(SearchSpace(), members, 9, rng)[1] for _ in range(400))
  assert set(drawn) == {0, 8} and 160 < drawn[0] < 240  # σ = 10
