"""Simplification by the expressions that come out; that values and gradients stay is tested with `layer_file`."""

import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from search.code_generation.simplification import simplify
from search.graphs import equation
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.known_graphs import ZERO


def simplified(*nodes):
  """y and the moments' values, as SymPy writes them."""
  return [str(value) for value in simplify(LayerGraph(tuple(Node(*node) for node in nodes))).values()]


@pytest.mark.parametrize('nodes, expected', [
    ([('div', (X, X))], ['x/Guarded(x)']),
    ([('div', (X, V1)), ('mul', (4, V1))], ['v1*x/Guarded(v1)']),
    ([('div', (X, V1)), ('div', (V0, V1)), ('add', (4, 5))], ['(v0 + x)/Guarded(v1)']),
    ([('div', (X, ZERO))], ['x/GUARD']),
    ([('sigmoid', (ZERO,)), ('div', (X, 4))], ['2*x']),
    ([('square', (X,)), ('exp', (4,)), ('div', (X, 5))], ['x/Exponential(x**2)']),
    ([('exp', (X,)), ('div', (X, 4))], ['x/Guarded(Exponential(x))']),
    ([('centered_second_moment', (X,), GROUP), ('mul', (X, 4)), ('div', (5, 4))], ['x']),
    ([('centered_second_moment', (X,), GROUP), ('mul', (V1, X)), ('max', (5, 4)), ('div', (X, 6))],
     ['Deviation(x, 3)', 'x/OrderedMaximum(v1*x, moment0)'])])
def test_divisors_are_guarded_unless_they_are_apart_from_zero(nodes, expected):
  assert simplified(*nodes) == expected


@pytest.mark.parametrize('nodes, expected', [
    ([('first_moment', (V1,), BATCH)], ['Mean(v1, 0)', 'moment0']),
    ([('second_moment', (ZERO,), BATCH)], ['RootMeanSquare(0, 0)', 'moment0']),
    ([('first_moment', (V1,), INSTANCE)], ['v1']),
    ([('neg', (X,)), ('first_moment', (4,), BATCH)], ['Mean(x, 0)', '-moment0'])])
def test_batch_moments_stay(nodes, expected):
  assert simplified(*nodes) == expected


@pytest.mark.parametrize('nodes, expected', [
    ([('max', (ZERO, X))], 'OrderedMaximum(0, x)'), ([('max', (X, ZERO))], 'OrderedMaximum(x, 0)'),
    ([('max', (X, V1)), ('max', (4, X))], 'OrderedMaximum(x, v1)'),
    ([('sigmoid', (X,)), ('max', (ZERO, 4))], 'Sigmoid(x)'),
    ([('abs', (X,)), ('max', (V0, 4)), ('max', (ZERO, 5))], 'OrderedMaximum(0, v0, Magnitude(x))')])
def test_a_maximum_keeps_its_order(nodes, expected):
  assert simplified(*nodes) == [expected]


def test_what_occurs_twice_is_named_once():
  *shared, y = simplified(('mul', (V1, X)), ('add', (4, V0)), ('sigmoid', (5,)), ('mul', (5, 6)))
  assert shared == ['v0 + v1*x'] and y == 'shared0*Sigmoid(shared0)'


def test_names_stand_before_their_use_however_deep_the_graph():
  nodes = [Node('exp', (X,))]
  for index in range(5, 60, 2):
    nodes += [Node('tanh', (index - 1,)), Node('mul', (index, index - 1))]
  assignments = simplify(LayerGraph(tuple(nodes)))
  met = {equation.X}
  for name, value in assignments.items():
    assert value.free_symbols <= met
    met.add(name)
  assert name == equation.Y and len(assignments) <= len(nodes)
