"""What layers compute where training begins, against formulas; how different they are, against correlations."""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.graphs.start_values import difference_at_start
from search.graphs.start_values import probe
from search.graphs.start_values import values_at_start

X, ZERO, V0, V1 = range(4)
TANH = LayerGraph((Node('tanh', (X,)),))
SILU = LayerGraph((Node('sigmoid', (X,)), Node('mul', (X, 4))))
RMS = Node('second_moment', (X,), 'b,w,h')
TWIN = (LayerGraph((RMS, Node('div', (X, 4)))), LayerGraph((RMS, Node('max', (4, V0)), Node('div', (X, 5)))))


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def difference(y, other):
  """The root mean square of the difference of standardized channels, turned to the same sign."""
  y, other = ((v - v.mean((0, 1, 2))) / v.std((0, 1, 2)) for v in (y, other))
  sign = np.sign((y * other).mean((0, 1, 2)))
  return np.sqrt(((y - sign * other)**2).mean())


def test_values():
  x = probe()
  np.testing.assert_allclose(values_at_start(SILU, x), x * sigmoid(x), rtol=1e-12)
  np.testing.assert_array_equal(values_at_start(LayerGraph((Node('mul', (V0, V1)),)), x), np.zeros_like(x))
  deviations = x.std((0, 1, 2))
  assert deviations.max() > 2 * deviations.min() and np.ptp(np.sign(x.mean((0, 1, 2)))) == 2


def test_differences_of_formulas():
  x = probe()
  expected = difference(np.tanh(x), x * sigmoid(x))
  assert expected > .3
  assert difference_at_start(TANH, SILU) == difference_at_start(SILU, TANH) == pytest.approx(expected)


@pytest.mark.parametrize('graph, other', [
    (TANH, LayerGraph((Node('tanh', (X,)), Node('neg', (4,)), Node('add', (V1, 5))))),  # 1 − tanh(x)
    (TANH, LayerGraph((Node('add', (X, V0)), Node('tanh', (4,))))), TWIN])
def test_no_difference_up_to_factor_and_term(graph, other):
  assert difference_at_start(graph, other) < 1e-6


def test_what_is_constant_or_not_finite_differs_from_all():
  infinite = LayerGraph(tuple(Node('exp', (p,)) for p in (X, 4, 5, 6, 7)))
  constant = LayerGraph((Node('sigmoid', (V1,)),))
  for graph in (infinite, constant):
    assert difference_at_start(graph, TANH) == difference_at_start(TANH, graph) == pytest.approx(np.sqrt(2))


def test_known_layers_differ():
  names = 'bn_relu', 'evonorm_b0', 'evonorm_s0'
  assert min(difference_at_start(known_graph(a), known_graph(b)) for a in names for b in names if a < b) > .1
