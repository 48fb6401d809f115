"""Candidates and the ageing window."""

import dataclasses

import pytest

from search.graphs.known_graphs import known_graph
from search.journal.candidate import Candidate
from search.selection.population import Population


def candidates(count):
  return [Candidate(i, known_graph('bn_relu'), (i / 10,)) for i in range(count)]


def test_the_window_keeps_the_most_recent_in_order():
  population = Population(3)
  sizes = []
  for candidate in candidates(5):
    population.append(candidate)
    sizes.append(len(population))
  assert sizes == [1, 2, 3, 3, 3]
  assert [c.index for c in population] == [2, 3, 4]


def test_the_best_ages_out_too():
  population = Population(2)
  for index, score in enumerate((.9, .1, .2)):
    population.append(Candidate(index, known_graph('bn_relu'), (score,)))
  assert [c.scores for c in population] == [(.1,), (.2,)]


def test_age_is_the_order_of_arrival_and_not_the_index():
  population = Population(2)
  for i in (2, 0, 1):
    population.append(candidates(3)[i])
  assert [c.index for c in population] == [0, 1]


def test_an_empty_population_is_false():
  assert not Population(1) and not list(Population(1))


def test_mean_score():
  assert Candidate(0, known_graph('bn_relu'), (.5, .25, .75)).mean_score == .5


def test_candidates_are_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    candidates(1)[0].scores = (1.,)


def test_errors():
  with pytest.raises(ValueError, match='`window` must be at least 1, received 0'):
    Population(0)
