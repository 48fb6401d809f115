"""Proposals: a function of the arguments alone; what is filtered, seen, random, mutated."""

import dataclasses

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import CONSTANT
from search.graphs.static_filter import INDEPENDENT
from search.graphs.static_filter import static_rejection
from search.journal.candidate import Candidate
from search.selection import proposal as proposal_lib
from search.selection.population import Population
from search.selection.proposal import propose
from search.selection.proposal import RandomSearch
from search.selection.proposal import SEEN_BEFORE
from search.selection.proposal import TournamentEvolution
from search.selection.tournament import average_winner
from search.selection.tournament import pareto_winner

SPACE = SearchSpace(6)
EVOLUTION = TournamentEvolution(initial_candidates=2, fraction=1., random_offspring=0.)


def population(*scores):
  """Candidates 10, 11, ... of these scores, of known graphs."""
  members = Population(10)
  for i, score in enumerate(scores):
    members.append(Candidate(10 + i, known_graph(f'evonorm_s{i}'), score))
  return members


@dataclasses.dataclass(frozen=True)
class Scripted:
  """Draws these graphs one after the other."""
  graphs: list

  def draw(self, space, population, candidates, rng):
    del space, population, candidates, rng
    return self.graphs.pop(0), 7


@pytest.mark.parametrize('strategy', (RandomSearch(), EVOLUTION), ids=lambda s: type(s).__name__)
def test_the_same_arguments_give_the_same_proposal(strategy):
  first = propose(5, strategy, SPACE, population((.5, .2), (.2, .5)), Equivalents(), seed=3)
  np.random.seed(1)
  propose(6, strategy, SPACE, population((.5, .2)), Equivalents(), seed=3)
  assert propose(5, strategy, SPACE, population((.5, .2), (.2, .5)), Equivalents(), seed=3) == first
  others = [propose(6, strategy, SPACE, population((.5, .2), (.2, .5)), Equivalents(), seed=3),
            propose(5, strategy, SPACE, population((.5, .2), (.2, .5)), Equivalents(), seed=4)]
  assert all(other.graph != first.graph for other in others) and others[0].graph != others[1].graph


def test_filtered_draws_are_counted_by_reason():
  independent = LayerGraph((Node('exp', (3,)),))
  constant = LayerGraph((Node('mul', (0, 1)),))
  seen = known_graph('evonorm_s1')
  seen_with_dead_node = LayerGraph((Node('exp', (3,)),) + tuple(
      dataclasses.replace(n, inputs=tuple(i + (i > 3) for i in n.inputs)) for n in seen.nodes))
  seen_otherwise = LayerGraph((
      Node('abs', (0,)), *seen_with_dead_node.nodes[1:3], Node('second_moment', (0,), 'w,h,c/g'), Node('neg', (0,)),
      Node('centered_second_moment', (8,), 'w,h,c/g'), Node('div', (6, 9))))
  good = known_graph('evonorm_s2')
  equivalents = Equivalents()
  equivalents.add(seen, 2)
  graphs = [independent, constant, seen, independent, seen_with_dead_node, seen_otherwise, good]
  drawn = propose(4, Scripted(list(graphs)), SPACE, population(), equivalents, seed=0)
  assert drawn == proposal_lib.Proposal(4, good, 7, {INDEPENDENT: 2, CONSTANT: 1, SEEN_BEFORE: 3})
  reused = propose(4, Scripted(graphs[5:]), SPACE, population(), equivalents, seed=0, redraws=False)
  assert reused == proposal_lib.Proposal(4, seen_otherwise, 7, {}, same_as=2)
  evaluated = propose(4, Scripted(graphs[5:]), SPACE, population(), None, seed=0)
  assert evaluated == proposal_lib.Proposal(4, seen_otherwise, 7, {})


def test_a_function_seen_is_never_proposed():
  space, seen = SearchSpace(2), Equivalents()
  for index in range(40):
    graph = propose(index, RandomSearch(), space, population(), seen, seed=0).graph
    assert static_rejection(graph) is None and seen.find(graph) is None
    seen.add(graph, index)
    assert seen.find(graph) == index


def test_random_graphs_come_first_and_until_one_has_survived(monkeypatch):
  monkeypatch.setattr(proposal_lib, 'static_rejection', lambda graph: None)
  some, none = population((.5, .2), (.2, .5)), population()
  for index, members, is_random in ((0, some, True), (1, some, True), (2, some, False), (2, none, True),
                                    (50, none, True), (50, some, False)):
    drawn = propose(index, EVOLUTION, SPACE, members, Equivalents(), seed=0)
    assert (drawn.parent is None) == is_random
    assert (drawn.graph == random_graph(SPACE, np.random.default_rng([0, index]))) == is_random


def test_random_search_never_mutates():
  drawn = [propose(i, RandomSearch(), SPACE, population((.5,), (.6,)), Equivalents(), seed=0) for i in range(100, 110)]
  assert [d.parent for d in drawn] == [None] * 10 and [d.index for d in drawn] == list(range(100, 110))


@pytest.mark.parametrize('winner, expected', [(pareto_winner, {10, 12}), (average_winner, {12})])
def test_the_parent_is_the_winner_and_the_graph_its_mutation(winner, expected):
  strategy = TournamentEvolution(0, fraction=1., winner=winner, random_offspring=0.)
  members = population((.6, .1), (.3, .1), (.5, .4))
  drawn = [propose(i, strategy, SPACE, members, Equivalents(), seed=0) for i in range(30)]
  assert {d.parent for d in drawn} == expected
  graphs = {c.index: c.graph for c in members}
  for d in drawn:
    differences = [a != b for a, b in zip(d.graph.nodes, graphs[d.parent].nodes, strict=True)]
    assert sum(differences) <= 2


def test_an_objective_decides_who_is_mutated():
  smallest = TournamentEvolution(0, fraction=1., random_offspring=0., objective=lambda candidate: -candidate.scores[0])
  members = population((.6, .1), (.3, .1), (.5, .4))
  assert {propose(i, smallest, SPACE, members, Equivalents(), seed=0).parent for i in range(9)} == {11}
  with pytest.raises(ValueError, match='`winner` must be `pareto_winner`'):
    dataclasses.replace(smallest, winner=average_winner)


def test_the_number_of_mutations_and_the_share_of_random_offspring():
  members, rng = population((.5,)), np.random.default_rng(0)
  parent = next(iter(members)).graph.nodes
  changed = {}
  for mutations in (1, 2, 5):
    strategy = TournamentEvolution(0, 1., mutations=mutations, random_offspring=0.)
    graphs = [strategy.draw(SPACE, members, 9, rng)[0] for _ in range(100)]
    changed[mutations] = [sum(a != b for a, b in zip(g.nodes, parent, strict=True)) for g in graphs]
    assert max(changed[mutations]) == min(mutations, len(parent))
  assert np.mean(changed[1]) < np.mean(changed[2]) < np.mean(changed[5])
  strategy = TournamentEvolution(0, 1., random_offspring=.3)
  parents = [strategy.draw(SPACE, members, 9, rng)[1] for _ in range(1000)]
  assert set(parents) == {None, 10} and 250 < parents.count(None) < 350  # σ = 14
  for wrong, message in (({'mutations': 0}, '`mutations` must be at least 1, received 0'),
                         ({'random_offspring': 1.5}, r'`random_offspring` must lie in \[0, 1\], received 1.5')):
    with pytest.raises(ValueError, match=message):
      TournamentEvolution(3, **wrong)


def test_a_mutation_of_ones_own():
  members, met = population((.5,)), []
  parent = next(iter(members)).graph

  def swap(graph, space, rng):
    met.append((graph, space, rng))
    return LayerGraph(graph.nodes[:-1] + (Node('neg', (4,)),))

  rng = np.random.default_rng(0)
  graph, origin = TournamentEvolution(0, 1., random_offspring=0., mutation=swap).draw(SPACE, members, 9, rng)
  assert graph.nodes == parent.nodes[:-1] + (Node('neg', (4,)),) and origin == 10
  assert met == [(parent, SPACE, rng), (graph, SPACE, rng)]  # the first result is mutated again


def test_the_tournament_is_a_part_of_the_population():
  strategy = TournamentEvolution(0, fraction=.5, winner=average_winner, random_offspring=0.)
  members = population((.1,), (.2,), (.3,))
  parents = {propose(i, strategy, SPACE, members, Equivalents(), seed=0).parent for i in range(40)}
  assert parents == {11, 12}  # two of three, so that the worst never wins


def test_fruitless_draws_end_with_an_error(monkeypatch):
  monkeypatch.setattr(proposal_lib, 'MAX_DRAWS', 50)
  dull = Scripted([LayerGraph((Node('exp', (3,)),))] * 50)
  with pytest.raises(ValueError, match=f"50 draws gave no new graph .*'{INDEPENDENT}': 50"):
    propose(0, dull, SPACE, population(), Equivalents(), seed=0)


def test_where_all_mutants_are_known_random_graphs_take_their_place(monkeypatch):
  monkeypatch.setattr(proposal_lib, 'PATIENCE', 50)
  known = Scripted([known_graph('evonorm_s0')] * 50)
  equivalents = Equivalents()
  equivalents.add(known_graph('evonorm_s0'), 7)
  proposal = propose(9, known, SPACE, population((.3,)), equivalents, seed=0)
  assert proposal.filtered[SEEN_BEFORE] >= 50 and proposal.parent is None
  assert static_rejection(proposal.graph) is None and equivalents.find(proposal.graph) is None


@pytest.mark.parametrize('fraction', (0., 1.5))
def test_a_fraction_out_of_range_fails_at_once(fraction):
  with pytest.raises(ValueError, match=rf'`fraction` must lie in \(0, 1\], received {fraction}'):
    TournamentEvolution(3, fraction)


def test_permanence():
  """Update the expected values only where a change of what a seed draws is meant: it ends every search's resumption."""
  strategy = dataclasses.replace(EVOLUTION, mutations=1)
  space = dataclasses.replace(SPACE, uniform_over='pairs')
  drawn = propose(3, strategy, space, population((.5, .2), (.2, .5)), Equivalents(EXACT), seed=2004)
  assert drawn.parent == 11
  assert [(n.primitive, n.inputs, n.axes) for n in drawn.graph.nodes] == [
      ('sigmoid', (0,), ''), ('mul', (0, 4), ''), ('tanh', (0,), ''), ('div', (5, 6), '')]
