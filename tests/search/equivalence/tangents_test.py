"""Directional derivatives: against differences in extended precision, and ties and guards by hand."""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import PRIMITIVES
from search.equivalence.tangents import tangent

NODES = [Node(p.name, tuple(range(p.arity)), axes) for p in PRIMITIVES.values()
         for axes in (INDEX_SETS if p.is_moment else ('',))]


def evaluate(node, arguments, groups=2):
  return PRIMITIVES[node.primitive].numpy_form(*arguments, *((node.axes, groups) if node.axes else ()))


@pytest.mark.parametrize('node', NODES, ids=lambda n: f'{n.primitive} {n.axes}')
def test_against_differences(node):
  rng = np.random.default_rng(0)
  arguments, tangents = (list(rng.normal(size=(len(node.inputs), 2, 3, 2, 6)).astype(np.longdouble)) for _ in range(2))
  step = np.longdouble(1e-7)
  ahead, behind = (evaluate(node, [a + s * t for a, t in zip(arguments, tangents)]) for s in (step, -step))
  result = evaluate(node, arguments)
  derivative = tangent(node, 2, EPSILON, result, arguments, tangents)
  np.testing.assert_allclose(*np.broadcast_arrays(derivative, (ahead - behind) / (2 * step)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('primitive, arguments, tangents, expected', [
    ('max', (0., 0.), (2., 3.), 2.), ('max', (0., 1.), (2., 3.), 3.), ('abs', (0.,), (2.,), 0.),
    ('sqrt', (0.,), (2.,), 0.), ('sqrt', (EPSILON / 2,), (2.,), 0.), ('log', (0.,), (2.,), 0.),
    ('log', (-.5,), (2.,), 4.), ('div', (3., 0.), (2., 5.), 2. / EPSILON), ('square', (0.,), (2.,), 0.)])
def test_ties_and_guards(primitive, arguments, tangents, expected):
  node = Node(primitive, tuple(range(len(arguments))))
  arguments, tangents = ([np.array(v) for v in values] for values in (arguments, tangents))
  assert tangent(node, 1, EPSILON, evaluate(node, arguments), arguments, tangents) == expected
