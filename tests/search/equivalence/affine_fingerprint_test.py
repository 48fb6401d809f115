"""One layer up to γ and β: what merges, what does not, and how the starts of training are told apart."""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.equivalence.affine_comparison import are_one_layer
from search.equivalence.affine_comparison import earlier_twins
from search.equivalence.affine_comparison import make_histories
from search.equivalence.affine_fingerprint import affine_fingerprint
from search.equivalence.affine_fingerprint import Start
from search.equivalence.equivalents import Equivalents
from search.equivalence.frozen_vectors import frozen_vectors
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

X, ZERO, V0, V1 = range(4)
TANH = [('tanh', (X,))]
SWISH = [('mul', (V1, X)), ('sigmoid', (4,)), ('mul', (X, 5))]
HISTORIES = make_histories(3)


def graph(*nodes):
  return LayerGraph(tuple(Node(*node) for node in nodes))


def are_one(one, other):
  """Whether the cache merges the two, in both orders, and that the independent route says the same."""
  found = []
  for a, b in ((one, other), (other, one)):
    equivalents = Equivalents()
    equivalents.add(graph(*a), 17)
    found.append(equivalents.find(graph(*b)) == 17)
  assert found[0] == found[1] == are_one_layer(graph(*one), graph(*other), HISTORIES)
  return found[0]


@pytest.mark.parametrize('one, other', [
    # a term
    (TANH, [*TANH, ('add', (4, V0))]), (TANH, [*TANH, ('second_moment', (V0,), INSTANCE), ('add', (4, 5))]),
    (TANH, [*TANH, ('mul', (V0, V1)), ('add', (4, 5))]), (TANH, [*TANH, ('sqrt', (ZERO,)), ('add', (4, 5))]),
    # a batch moment of v0: in inference the moving average of what v0 was
    (TANH, [*TANH, ('second_moment', (V0,), BATCH), ('add', (4, 5))]),
    # a factor
    (TANH, [*TANH, ('neg', (4,))]), (TANH, [*TANH, ('mul', (4, V1))]), (TANH, [*TANH, ('add', (4, 4))]),
    (TANH, [*TANH, ('exp', (V0,)), ('mul', (4, 5))]), (TANH, [*TANH, ('exp', (ZERO,)), ('exp', (5,)), ('mul', (4, 6))]),
    (SWISH, [*SWISH, ('div', (6, V1)), ('add', (7, V0))]),
    # the sign of v0
    ([('add', (X, V0)), ('tanh', (4,))], [('neg', (V0,)), ('add', (X, 4)), ('tanh', (5,))]),
    # v0 that never moves
    (TANH, [('square', (V0,)), ('add', (X, 4)), ('tanh', (5,))]),
    (TANH, [('abs', (V0,)), ('add', (X, 4)), ('tanh', (5,))]),
    (TANH, [('max', (ZERO, V0)), ('add', (X, 4)), ('tanh', (5,))]),  # the gradient is that of 0
    (TANH, [('log', (V1,)), ('mul', (4, V0)), ('add', (X, 5)), ('tanh', (6,))]),  # neither moves while the other rests
    (TANH, [('log', (V1,)), ('square', (4,)), ('add', (X, 5)), ('tanh', (6,))]),
    # the initial value of a moving average
    ([('second_moment', (X,), BATCH), ('div', (X, 4))],
     [('second_moment', (X,), BATCH), ('first_moment', (4,), INSTANCE), ('div', (X, 5))]),
])
def test_one_layer(one, other):
  assert are_one(one, other)


@pytest.mark.parametrize('one, other', [
    (TANH, [('add', (X, V0)), ('tanh', (4,))]), (TANH, [('mul', (X, V1)), ('tanh', (4,))]), (TANH, [('sigmoid', (X,))]),
    # a factor or a term that depends on the batch, the sample or the place
    *[(TANH, [*TANH, ('second_moment', (X,), axes), ('div', (4, 5))]) for axes in (BATCH, INSTANCE, GROUP, LAYER)],
    *[(TANH, [*TANH, ('first_moment', (X,), axes), ('add', (4, 5))]) for axes in (BATCH, INSTANCE, GROUP, LAYER)],
    (TANH, [*TANH, ('mul', (X, V0)), ('add', (4, 5))]),
    ([('second_moment', (X,), BATCH), ('div', (X, 4))], [('centered_second_moment', (X,), BATCH), ('div', (X, 4))]),
    # another start: a factor of four, a term of e, a vector that is dead
    (TANH, [*TANH, ('add', (4, 4)), ('add', (5, 5))]), (TANH, [*TANH, ('exp', (V1,)), ('add', (4, 5))]),
    (TANH, [*TANH, ('mul', (4, V0))]),
    # the sign of v1, which starts at 1
    (SWISH, [('neg', (V1,)), ('mul', (4, X)), ('sigmoid', (5,)), ('mul', (X, 6))]),
    ([('max', (X, V1))], [('neg', (V1,)), ('max', (X, 4))]),
    # v0 that moves by another way
    ([('add', (X, V0)), ('tanh', (4,))], [('square', (V0,)), ('add', (4, X)), ('add', (5, V0)), ('tanh', (6,))]),
    (TANH, [('max', (V0, ZERO)), ('add', (X, 4)), ('tanh', (5,))]),  # the gradient is that of v0
])
def test_two_layers(one, other):
  assert not are_one(one, other)


def test_known_layers_are_ten():
  equivalents = Equivalents()
  for index, name in enumerate(KNOWN_GRAPHS):
    assert equivalents.find(known_graph(name)) is None
    equivalents.add(known_graph(name), index)


def test_a_class_has_a_key_for_each_start():
  equivalents = Equivalents()
  doubled = [graph(*TANH)]
  for _ in range(4):  # 1, 2, 4, 8, 16 times tanh(x)
    last = doubled[-1]
    doubled.append(LayerGraph((*last.nodes, Node('add', (last.output, last.output)))))
  keys = []
  for key, layer in enumerate(doubled):
    found = equivalents.find(layer)
    if found is None:
      equivalents.add(layer, key)
    keys.append(key if found is None else found)
  assert keys == [0, 0, 2, 2, 4]  # within three times of the first that is not


def test_start():
  assert Start(1., 0.).is_near(Start(-2.9, 0.)) and not Start(1., 0.).is_near(Start(3.1, 0.))
  assert not Start(1., 0.).is_near(Start(.3, 0.)) and Start(1., 0.).is_near(Start(1., 2.9))
  assert not Start(1., 0.).is_near(Start(1., 3.1)) and not Start(1., 3.1).is_near(Start(1., 0.))
  assert Start(2., 6.).is_near(Start(1., 3.)) and not Start(2., 6.).is_near(Start(-1., 3.))
  assert Start(0., 0.).is_near(Start(0., 0.)) and not Start(0., 0.).is_near(Start(1., 0.))
  rng = np.random.default_rng(0)
  starts = [Start(*rng.normal(size=2)) for _ in range(100)]
  assert all(a.is_near(b) == b.is_near(a) for a in starts for b in starts)


@pytest.mark.parametrize('nodes, frozen', [
    ([('square', (V0,)), ('add', (X, 4))], {'v0'}), ([('square', (V1,)), ('mul', (X, 4))], set()),
    ([('mul', (V0, V1)), ('add', (X, 4))], set()), ([('div', (X, V0))], {'v0'}), ([('tanh', (X,))], set()),
    ([('log', (V1,)), ('square', (4,)), ('mul', (V0, 5)), ('add', (X, 6))], {'v0', 'v1'}),
    ([('log', (V1,)), ('mul', (V0, 4)), ('add', (V1, 5)), ('mul', (X, 6))], set()),  # v1 moves, and then v0
    ([('square', (V0,)), ('mul', (V1, 4)), ('add', (X, V1)), ('add', (5, 6))], {'v0'}),
])
def test_frozen_vectors(nodes, frozen):
  assert frozen_vectors(graph(*nodes)) == frozen


def test_values_that_are_not_finite():
  overflowing = [('exp', (X,)), ('exp', (4,)), ('exp', (5,))]
  assert are_one(overflowing, [*overflowing, ('neg', (6,))])
  assert not are_one(overflowing, [('exp', (X,)), ('exp', (4,))])
  assert affine_fingerprint(graph(*overflowing)).start == Start(0., 0.)


def test_twins_among_graphs_are_found_by_the_independent_route():
  overflowing = ('exp', (X,)), ('exp', (4,)), ('exp', (5,))
  layers = [graph(*TANH), graph(*SWISH), graph(*TANH, ('add', (4, V0))), graph(*overflowing),
            graph(('add', (X, V0)), ('tanh', (4,))), graph(*SWISH, ('neg', (6,))), graph(*TANH, ('add', (4, X)))]
  assert earlier_twins(layers) == [None, None, 0, None, None, 1, None]
  assert earlier_twins([]) == []


def test_random_graphs_agree_with_the_independent_route():
  rng, graphs = np.random.default_rng(5), []
  while len(graphs) < 24:
    drawn = random_graph(SearchSpace(4), rng)
    if static_rejection(drawn) is None and drawn.without_dead_nodes() not in graphs:
      graphs.append(drawn.without_dead_nodes())
  prints = [affine_fingerprint(g) for g in graphs]
  verdicts = [(prints[i].agrees(prints[j]), are_one_layer(graphs[i], graphs[j], HISTORIES))
              for i in range(24) for j in range(i)]
  assert {found for found, _ in verdicts} == {True, False}
  assert all(found == independent for found, independent in verdicts if independent is not None)
