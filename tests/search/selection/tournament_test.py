"""Tournaments: size, uniformity, hand-worked Pareto frontiers, winners."""

import collections
import dataclasses

import numpy as np
import pytest

from search.graphs.known_graphs import known_graph
from search.journal.candidate import Candidate
from search.selection.population import Population
from search.selection.tournament import average_winner
from search.selection.tournament import dominates
from search.selection.tournament import draw_tournament
from search.selection.tournament import objectives_of
from search.selection.tournament import pareto_frontier
from search.selection.tournament import pareto_winner
from search.selection.tournament import pareto_winner_with_cost
from search.selection.tournament import scores_and_cost


def make(*scores):
  """Candidates of these scores, numbered in order."""
  return [Candidate(i, known_graph('bn_relu'), s) for i, s in enumerate(scores)]


def population(size):
  members = Population(size)
  for candidate in make(*[(.5,)] * size):
    members.append(candidate)
  return members


def indices(candidates):
  return [c.index for c in candidates]


# Over two scores: 0 and 1 trade off, 2 is below 0, 3 equals 1, 4 ties 0 in one score and is below it in the other.
HAND_WORKED = make((.6, .3), (.4, .5), (.5, .2), (.4, .5), (.6, .1))


@pytest.mark.parametrize('size, fraction, expected', [
    (20, .05, 1), (21, .05, 2), (100, .05, 5), (3, .05, 1), (20, .3, 6), (20, 1, 20), (1, .01, 1)])
def test_size_is_rounded_up(size, fraction, expected):
  drawn = draw_tournament(population(size), fraction, np.random.default_rng(0))
  assert len(drawn) == expected == len(set(indices(drawn)))


def test_every_member_is_drawn_equally_often():
  rng, members = np.random.default_rng(0), population(10)
  counts = collections.Counter(i for _ in range(5000) for i in indices(draw_tournament(members, .3, rng)))
  assert set(counts) == set(range(10))
  assert sum((count - 1500)**2 / 1500 for count in counts.values()) < 30  # chi², 9 degrees: mean 9, 99.9% below 28


def test_dominance():
  assert dominates((.6, .3), (.5, .3)) and dominates((.6, .3), (.5, .2))
  assert not dominates((.6, .3), (.6, .3))
  assert not dominates((.6, .3), (.5, .4)) and not dominates((.5, .4), (.6, .3))
  with pytest.raises(ValueError, match='zip'):
    dominates((.5,), (.5, .5))


def test_pareto_frontier_by_hand():
  assert indices(pareto_frontier(HAND_WORKED)) == [0, 1, 3]
  assert indices(pareto_frontier(make((.1, .2, .3), (.3, .1, .2), (.2, .3, .1), (.1, .1, .3)))) == [0, 1, 2]
  assert indices(pareto_frontier(make((.1,), (.3,), (.2,), (.3,)))) == [1, 3]
  assert pareto_frontier([]) == []


@pytest.mark.parametrize('networks', [1, 2, 3, 4])
def test_the_frontier_is_what_nobody_dominates(networks):
  rng = np.random.default_rng(networks)
  for size in (1, 2, 7, 40):
    members = make(*map(tuple, rng.integers(0, 6, (size, networks)) / 8))
    undominated = [c.index for c in members if not any(dominates(other.scores, c.scores) for other in members)]
    assert indices(pareto_frontier(members)) == undominated


def test_pareto_winner_is_uniform_over_the_frontier():
  rng = np.random.default_rng(0)
  counts = collections.Counter(pareto_winner(HAND_WORKED, rng).index for _ in range(3000))
  assert set(counts) == {0, 1, 3}
  assert all(900 < count < 1100 for count in counts.values())  # 1,000 each, σ = 26


def with_costs(candidates, *costs):
  return [dataclasses.replace(c, cost=cost) for c, cost in zip(candidates, costs, strict=True)]


def test_pareto_frontier_with_the_cost_by_hand():
  frontier = lambda *costs: indices(pareto_frontier(with_costs(HAND_WORKED, *costs), scores_and_cost))
  assert frontier(2., 2., 2., 2., 2.) == frontier(None, None, None, None, None) == [0, 1, 3]
  assert frontier(2., 2., 1.9, 2., 2.) == [0, 1, 2, 3]  # worse, but cheaper
  assert frontier(2., 2., 2.1, 2.1, 1.) == [0, 1, 4]
  assert frontier(2., 2., None, None, None) == [0, 1]  # without a cost: as if dearer than all others


def test_pareto_winner_with_cost_is_uniform_over_its_frontier():
  rng, members = np.random.default_rng(0), with_costs(HAND_WORKED, None, 1., 2., 3., 9.)
  counts = collections.Counter(pareto_winner_with_cost(members, rng).index for _ in range(4000))
  assert set(counts) == {0, 1, 2, 4}
  assert all(870 < count < 1130 for count in counts.values())  # 1,000 each, σ = 27
  assert {pareto_winner(members, rng).index for _ in range(100)} == {0, 1, 3}  # as ever


def test_average_winner():
  rng = np.random.default_rng(0)
  members = make((.9, .0, .0), (.4, .4, .4), (.5, .3, .3))
  assert {average_winner(members, rng).index for _ in range(20)} == {1}
  tied = make((.25, .5), (.1, .1), (.5, .25))
  counts = collections.Counter(average_winner(tied, rng).index for _ in range(1000))
  assert set(counts) == {0, 2} and all(400 < count < 600 for count in counts.values())


def test_errors():
  rng = np.random.default_rng(0)
  for fraction in (0, -.1, 1.01):
    with pytest.raises(ValueError, match=r'`fraction` must lie in \(0, 1\], received'):
      draw_tournament(population(3), fraction, rng)
  with pytest.raises(ValueError, match='`population` must have members .* received an empty one'):
    draw_tournament(Population(3), .5, rng)


def test_the_winner_by_a_users_objective():
  rng = np.random.default_rng(0)
  winners = {pareto_winner(HAND_WORKED, rng, objectives_of(lambda c: min(c.scores))).index for _ in range(100)}
  assert winners == {1, 3}  # min .4, before .3, .2 and .1
  pairs = {pareto_winner(HAND_WORKED, rng, objectives_of(lambda c: (c.scores[0], -c.index))).index for _ in range(99)}
  assert pairs == {0}
  nan = {pareto_winner(HAND_WORKED, rng, objectives_of(lambda c: float('nan') if c.index else 0.)).index
         for _ in range(99)}
  assert nan == {0}
