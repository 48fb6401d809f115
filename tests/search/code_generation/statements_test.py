"""Statements by their text; what they compute is tested with `layer_file`."""

import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.code_generation.simplification import simplify
from search.code_generation.statements import MovingAverage
from search.code_generation.statements import WIDTH
from search.code_generation.statements import write_statements
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.known_graphs import ZERO


def statements(*nodes):
  return write_statements(simplify(LayerGraph(tuple(Node(*node) for node in nodes))))


@pytest.mark.parametrize('nodes, line', [
    ([('mul', (V1, X)), ('sigmoid', (4,)), ('mul', (X, 5))], 'y = x * tf.sigmoid(self.v1 * x)'),
    ([('log', (X,)), ('sqrt', (X,)), ('add', (4, 5))], 'y = _signed(tf.math.log, x) + _signed(tf.sqrt, x)'),
    ([('div', (X, V0))], 'y = x / _guarded(self.v0)'),
    ([('add', (X, V0)), ('div', (V1, 4))], 'y = self.v1 / _guarded(x + self.v0)'),
    ([('square', (X,)), ('mul', (X, 4)), ('neg', (5,))], 'y = -x**3'),
    ([('max', (ZERO, X))], 'y = tf.maximum(tf.constant(0, x.dtype), x)'),
    ([('max', (X, ZERO))], 'y = tf.maximum(x, 0)'),
    ([('max', (X, V0)), ('max', (4, V1))], 'y = tf.maximum(x, tf.maximum(self.v0, self.v1))'),
    ([('tanh', (V1,))], 'y = tf.broadcast_to(tf.tanh(self.v1), tf.shape(x))'),
    ([('sigmoid', (ZERO,))], 'y = tf.broadcast_to(tf.constant(0.5, x.dtype), tf.shape(x))')])
def test_expressions(nodes, line):
  assert statements(*nodes).lines == [line]


@pytest.mark.parametrize('primitive, axes, line', [
    ('first_moment', LAYER, 'layer_mean = _layer_mean(x)'),
    ('second_moment', GROUP, 'group_root_mean_square = tf.sqrt(self._group_mean(tf.square(x)) + self.epsilon)'),
    ('centered_second_moment', INSTANCE,
     'instance_deviation = tf.sqrt(_variance(x, mean_over_positions) + self.epsilon)')])
def test_moments(primitive, axes, line):
  written = statements((primitive, (X,), axes), ('add', (X, 4)))
  assert written.lines[0] == line and written.lines[1].startswith('y = ') and not written.moving_averages
  assert {scope for scope, _ in written.averages} == {axes}


def test_moving_averages_have_the_shape_of_their_moment():
  written = statements(('first_moment', (X,), LAYER), ('second_moment', (4,), BATCH),
                       ('first_moment', (X,), BATCH), ('first_moment', (V1,), BATCH), ('add', (5, 6)), ('add', (8, 7)))
  assert set(written.moving_averages) == {
      MovingAverage('moving_mean_square', 'ones', False), MovingAverage('moving_mean', 'zeros', True),
      MovingAverage('moving_mean_2', 'zeros', True)}


def test_long_expressions_are_split_at_their_middle():
  nodes = [('exp', (X,))]
  for index in range(5, 45, 2):
    nodes += [('tanh', (index - 1,)), ('log', (index,))]
  lines = statements(*nodes).lines
  assert len(lines) > 2 and max(map(len, lines)) <= WIDTH
  names = [line.split(' = ')[0] for line in lines]
  assert len(set(names)) == len(names) and all(name in line for name, line in zip(names, lines[1:]))


def test_shared_parts_have_names_that_tell():
  assert write_statements(simplify(known_graph('gn_silu'))).lines[-2:] == [
      'total = self.v1 * (x - group_mean) / group_deviation + self.v0', 'y = total * tf.sigmoid(total)']
