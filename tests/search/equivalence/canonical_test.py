"""Canonical forms: rules that hold to the last bit, graphs that they keep apart, random graphs in both directions."""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from search.equivalence.canonical import canonical
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace

X, ZERO, V0, V1 = range(4)
IDENTITY = [('add', (X, ZERO))]


def graph(*nodes):
  return LayerGraph(tuple(Node(*node) for node in nodes))


@pytest.mark.parametrize('one, other', [
    ([('exp', (V1,)), ('abs', (X,))], [('abs', (X,))]),  # a dead node
    ([('exp', (X,)), ('exp', (X,)), ('add', (4, 5))], [('exp', (X,)), ('add', (4, 4))]),  # an expression twice
    ([('add', (V0, X))], [('add', (X, V0))]),
    ([('mul', (V0, X))], [('mul', (X, V0))]),
    ([('exp', (X,)), ('max', (4, X))], [('exp', (X,)), ('max', (X, 4))]),
    ([('neg', (X,)), ('neg', (4,))], IDENTITY),
    ([('max', (X, X))], IDENTITY),
    ([('tanh', (ZERO,)), ('add', (4, X))], IDENTITY),
    ([('neg', (X,)), ('tanh', (4,)), ('neg', (5,))], [('tanh', (X,))]),
    ([('neg', (V1,)), ('div', (4, X)), ('neg', (5,))], [('div', (V1, X))]),
    ([('neg', (X,)), ('neg', (V1,)), ('mul', (4, 5))], [('mul', (X, V1))]),
    ([('neg', (X,)), ('add', (V1, 4))], [('neg', (V1,)), ('add', (X, 4)), ('neg', (5,))]),  # v1 − x = −(x − v1)
    ([('mul', (X, X))], [('neg', (X,)), ('abs', (4,)), ('square', (5,))]),
    ([('exp', (X,)), ('abs', (4,))], [('exp', (X,))]),
    ([('neg', (X,)), ('centered_second_moment', (4,), BATCH)], [('centered_second_moment', (X,), BATCH)]),
    ([('neg', (X,)), ('first_moment', (4,), GROUP)], [('first_moment', (X,), GROUP), ('neg', (4,))]),
])
def test_one_form(one, other):
  assert canonical(graph(*one)) == canonical(graph(*other))


@pytest.mark.parametrize('one, other', [
    ([('mul', (X, V0)), ('max', (4, ZERO))], [('mul', (X, V0)), ('max', (ZERO, 4))]),  # v0 learns in the first alone
    ([('div', (X, V0)), ('neg', (4,))], [('neg', (V0,)), ('div', (X, 4))]),  # 0 is a positive divisor
    ([('div', (X, V1))], [('div', (V1, X))]),
    ([('centered_second_moment', (X,), GROUP)], [('centered_second_moment', (X,), BATCH)]),
    ([('abs', (X,)), ('centered_second_moment', (4,), GROUP)], [('centered_second_moment', (X,), GROUP)]),
    ([('neg', (X,)), ('sigmoid', (4,))], [('sigmoid', (X,))]),
    ([('mul', (X, ZERO))], [('tanh', (ZERO,))]),  # ∞·0
    ([('add', (X, X))], IDENTITY),
])
def test_two_forms(one, other):
  assert canonical(graph(*one)) != canonical(graph(*other))


def test_random_graphs_keep_their_values_to_the_last_bit():
  rng, shorter = np.random.default_rng(0), 0
  x, (v0, v1) = rng.normal(size=(2, 3, 3, 8)), rng.normal(size=(2, 8))
  x[0, 0] = 0.
  for _ in range(400):
    drawn = random_graph(SearchSpace(), rng)
    form = canonical(drawn)
    with np.errstate(all='ignore'):
      np.testing.assert_array_equal(form.evaluate(x, v0, v1, 4), drawn.evaluate(x, v0, v1, 4), str(drawn))
    shorter += len(form.nodes) < len(drawn.without_dead_nodes().nodes)
    assert canonical(form) == form == form.without_dead_nodes()
  assert shorter > 20


def test_known_graphs_are_told_apart():
  assert len({canonical(known_graph(name)) for name in KNOWN_GRAPHS}) == len(KNOWN_GRAPHS)


def test_a_shared_expression_does_not_grow():
  doubled = graph(('exp', (X,)), *(('add', (i, i)) for i in range(4, 60)))
  assert len(canonical(doubled).nodes) == 57
