"""Known graphs: against the formulas in float64, their names, what a search can reach.

That GraphLayer makes the known layers of them is tested by graph_layer_test.
"""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import INSTANCE
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import sample_space
from search.graphs.random_graph import SearchSpace

EPSILON = 1e-5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5, 6)) * 2 + 1
V0, V1 = RNG.normal(size=6), RNG.uniform(.5, 2, 6)
SIGMOID = 1 / (1 + np.exp(-X))


def group_root(mean_is_subtracted):
  """√(s²_{w,h,c/g}(x) + ε) over two groups, or with the mean of squares in place of s²."""
  grouped = X.reshape(3, 4, 5, 2, 3)
  moment = grouped.var((1, 2, 4)) if mean_is_subtracted else (grouped**2).mean((1, 2, 4))
  return np.sqrt(np.repeat(moment, 3, -1)[:, None, None] + EPSILON)


def standardized(axes):
  """v1·(x − μ)/√(s² + ε) + v0 over 'batch' or 'group'."""
  if axes == 'batch':
    mean, root = X.mean((0, 1, 2)), np.sqrt(X.var((0, 1, 2)) + EPSILON)
  else:
    mean, root = np.repeat(X.reshape(3, 4, 5, 2, 3).mean((1, 2, 4)), 3, -1)[:, None, None], group_root(True)
  return V1 * (X - mean) / root + V0


def silu(x):
  return x / (1 + np.exp(-x))


BATCH_ROOT = np.sqrt(X.var((0, 1, 2)) + EPSILON)
INSTANCE_SQUARES = np.sqrt((X**2).mean((1, 2), keepdims=True) + EPSILON)
FORMULAS = {
    'bn_relu': np.maximum(standardized('batch'), 0),
    'bn_silu': silu(standardized('batch')),
    'gn_relu': np.maximum(standardized('group'), 0),
    'gn_silu': silu(standardized('group')),
    'evonorm_b0': X / np.maximum(BATCH_ROOT, V1 * X + np.sqrt(X.var((1, 2), keepdims=True) + EPSILON)),
    'evonorm_b1': X / np.maximum(BATCH_ROOT, (X + 1) * INSTANCE_SQUARES),
    'evonorm_b2': X / np.maximum(BATCH_ROOT, INSTANCE_SQUARES - X),
    'evonorm_s0': X / (1 + np.exp(-V1 * X)) / group_root(True),
    'evonorm_s1': X * SIGMOID / group_root(True),
    'evonorm_s2': X * SIGMOID / group_root(False),
}


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_formula(name):
  np.testing.assert_allclose(known_graph(name).evaluate(X, V0, V1, groups=2), FORMULAS[name], rtol=1e-9, atol=1e-12)


def test_all_are_there_and_differ():
  assert set(KNOWN_GRAPHS) == set(FORMULAS)
  assert len({known_graph(name) for name in KNOWN_GRAPHS}) == 10


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_a_search_can_reach_them(name):
  nodes = known_graph(name).nodes
  uses_batch = any(n.axes == BATCH for n in nodes)
  assert uses_batch == name.startswith(('bn', 'evonorm_b'))
  space = SearchSpace() if uses_batch else sample_space()
  assert len(nodes) <= space.nodes
  assert {(n.primitive, n.axes) for n in nodes} <= {(p.name, axes) for p, axes in space.operations}


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_no_node_is_dead(name):
  assert known_graph(name).without_dead_nodes() == known_graph(name)


def test_frn_tlu_is_in_the_search_space():
  """As the head of the module says; τ is the graph's β."""
  root, gamma, beta, tau = INSTANCE_SQUARES, V1, V0, RNG.normal(size=6)
  graph = LayerGraph((Node('second_moment', (0,), INSTANCE), Node('div', (0, 4)), Node('mul', (3, 5)),
                      Node('add', (6, 2)), Node('max', (7, 1))))
  np.testing.assert_allclose(graph.evaluate(X, beta - tau, gamma, groups=2) + tau,
                             np.maximum(gamma * X / root + beta, tau), rtol=1e-9, atol=1e-12)
  assert {(n.primitive, n.axes) for n in graph.nodes} <= {(p.name, axes) for p, axes in sample_space().operations}
  assert 'frn_tlu' not in KNOWN_GRAPHS


def test_unknown_names():
  with pytest.raises(ValueError, match="`name` must be one of .*'bn_relu', .* received 'bn_rlu'"):
    known_graph('bn_rlu')
