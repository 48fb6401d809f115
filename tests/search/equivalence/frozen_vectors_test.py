"""Graphs without the vectors that never move: what is put in their place, and that the values stay the same.

Which vectors those are is tested by affine_fingerprint_test.
"""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.equivalence.frozen_vectors import without_frozen_vectors
from search.graphs.equation import equation_text
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('nodes, expected', [
    ([('square', (V0,)), ('add', (X, 4)), ('tanh', (5,))], 'tanh(x)'),
    ([('div', (X, V0))], 'x / ε'),
    ([('square', (V0,)), ('mul', (V1, 4)), ('add', (X, V1)), ('add', (5, 6))], '(x + v1)'),
    ([('log', (V1,)), ('square', (4,)), ('mul', (V0, 5)), ('add', (X, 6))], 'x'),
    ([('log', (V1,)), ('square', (4,)), ('add', (X, 5)), ('add', (6, V0))], '(x + v0)'),  # v1 alone, by the number 1
    ([('square', (V0,)), ('exp', (X,)), ('add', (5, V0))], '(exp(x) + v0)'),  # moves
])
def test_worked_by_hand(nodes, expected):
  graph = LayerGraph(tuple(Node(*node) for node in nodes))
  held = without_frozen_vectors(graph)
  assert equation_text(held) == f'y = {expected} · γ + β'
  x, initial = RNG.normal(size=(2, 3, 3, 4)), (np.zeros(4), np.ones(4))
  np.testing.assert_allclose(np.broadcast_to(held.evaluate(x, *initial), x.shape), graph.evaluate(x, *initial), 1e-12)


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_vectors_that_move_stay(name):
  assert without_frozen_vectors(known_graph(name)) == known_graph(name)
