"""Neighbours of known layers: mutants that are layers of their own, and the table of their verdicts."""

import numpy as np

from benchmarks.studies import neighbours
from search.equivalence.affine_comparison import earlier_twins
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection


def test_mutants_are_different_layers_that_pass_the_filter():
  origin, space = known_graph('evonorm_b0'), SearchSpace(6)
  found = neighbours.mutants(origin, 1, 8, space, seed=0)
  assert len(found) == 8 and earlier_twins([origin, *found]) == [None] * 9
  assert all(static_rejection(graph) is None for graph in found)
  assert all(sum(a != b for a, b in zip(graph.nodes, origin.nodes)) == 1 for graph in found)
  assert found == neighbours.mutants(origin, 1, 8, space, seed=0) != neighbours.mutants(origin, 2, 8, space, seed=0)


def test_few_layers_to_find():
  space = SearchSpace(1)
  found = neighbours.mutants(random_graph(space, np.random.default_rng(0)), 1, 1000, space, seed=0)
  assert 1 < len(found) < 40


def test_table():
  row = lambda origin, mutations, outcome, score: dict(origin=origin, mutations=mutations, outcome=outcome, score=score)
  table = neighbours.table([row('evonorm_b0', '0', 'accepted', '.4'), row('evonorm_b0', '1', 'accepted', '.3'),
                            row('evonorm_b0', '1', 'accepted', '.2'), row('evonorm_b0', '1', 'failed', ''),
                            row('evonorm_s0', '0', 'rejected: quality', '')], [.25, .35, .1])
  assert [list(column.cells) for column in table.columns] == [
      ['evonorm_b0', 'evonorm_b0', 'evonorm_s0'], ['0', '1', '0'], ['1', '3', '1'], ['1', '2', '0'],
      ['0.400', '0.250', '–'], ['0.400', '0.300', '–'], ['3', '2', '–']]
