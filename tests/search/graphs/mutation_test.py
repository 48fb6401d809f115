"""Mutation: one node at most, every node and operation, a new graph, permanence."""

import collections

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.mutation import mutate
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import sample_space
from search.graphs.random_graph import SearchSpace

SPACE = SearchSpace(5, uniform_over='pairs')
PARENT = random_graph(SPACE, np.random.default_rng(0))


@pytest.fixture(scope='module')
def children():
  rng = np.random.default_rng(0)
  return [mutate(PARENT, SPACE, rng) for _ in range(20_000)]


def changed(child, parent=PARENT):
  """The positions at which the nodes differ."""
  return [i for i, (a, b) in enumerate(zip(child.nodes, parent.nodes, strict=True)) if a != b]


def test_permanence():
  """Update the expected node only where a change of what a seed draws is meant: it ends every search's resumption."""
  child = mutate(PARENT, SPACE, np.random.default_rng(2004))
  position, = changed(child)
  node = child.nodes[position]
  assert (position, node.primitive, node.inputs, node.axes) == (3, 'tanh', (6,), '')


def test_at_most_one_node_changes(children):
  counts = collections.Counter(len(changed(child)) for child in children)
  assert set(counts) == {0, 1}
  assert counts[0] < .02 * len(children)  # the draw repeats what was there


def test_every_node_is_changed_equally_often(children):
  positions = collections.Counter(position for child in children for position in changed(child))
  assert set(positions) == set(range(5))
  assert all(3700 < count < 4200 for count in positions.values())  # 4,000 less the repetitions, σ = 57


def test_every_operation_and_predecessor_is_drawn_and_no_other(children):
  for position in range(5):
    nodes = [child.nodes[position] for child in children if position in changed(child)]
    assert {(n.primitive, n.axes) for n in nodes} == {(p.name, axes) for p, axes in SPACE.operations}
    assert {i for n in nodes for i in n.inputs} == set(range(4 + position))


def test_a_new_graph_is_returned():
  before = PARENT.to_dict()
  child = mutate(PARENT, SPACE, np.random.default_rng(0))
  assert isinstance(child, LayerGraph) and child is not PARENT and len(child.nodes) == 5
  assert PARENT.to_dict() == before
  assert child.live is not PARENT.live  # what is cached stays with its graph


def test_the_space_binds_the_new_node_alone():
  rng = np.random.default_rng(0)
  space = sample_space(5)
  new = {node.axes for child in (mutate(PARENT, space, rng) for _ in range(2000))
         for position in changed(child) for node in [child.nodes[position]]}
  assert new == {'', 'w,h,c', 'w,h', 'w,h,c/g'}


def test_same_seed_same_child():
  children = [mutate(PARENT, SPACE, np.random.default_rng(seed)) for seed in (1, 1, 2)]
  assert children[0] == children[1] != children[2]
