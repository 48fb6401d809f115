"""Equations modulo γ and β: worked by hand; and the graph's values are theirs but for a factor and a term a channel."""

from matplotlib.mathtext import MathTextParser
import numpy as np
import pytest

from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from search.graphs import equation
from search.graphs.affine_equation import affine_equation_latex
from search.graphs.affine_equation import affine_equation_text
from search.graphs.affine_equation import affine_equations
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.known_graphs import ZERO
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from tests.search.graphs.equation_test import graph_of
from tests.search.graphs.equation_test import run_equations
from tests.search.graphs.equation_test import run_graph

TANH = [('tanh', (X,))]
GROUPS, CHANNELS, BATCHES = 2, 4, 2
SIMPLIFIED = {
    'a factor': ([*TANH, ('mul', (4, V1))], 'tanh(x)'),
    'a divisor': ([*TANH, ('div', (4, V0))], 'tanh(x)'),
    'a term': ([*TANH, ('add', (4, V0))], 'tanh(x)'),
    'a sign': ([*TANH, ('neg', (4,))], 'tanh(x)'),
    'the sign of a sum': ([*TANH, ('add', (X, 4)), ('neg', (5,))], 'x + tanh(x)'),
    'a number': ([*TANH, ('add', (4, 4)), ('add', (5, 5))], 'tanh(x)'),
    'a number of all terms': ([*TANH, ('add', (4, X)), ('add', (5, 5))], 'x + tanh(x)'),
    'ε': ([*TANH, ('div', (4, ZERO)), ('second_moment', (ZERO,), GROUP), ('add', (5, 6))], 'tanh(x)'),
    'a term, a factor, a term': ([*TANH, ('add', (4, V1)), ('mul', (5, V1)), ('add', (6, V0))], 'tanh(x)'),
    'a factor of all terms but one': (
        [*TANH, ('mul', (4, V1)), ('mul', (X, V1)), ('add', (5, V0)), ('add', (6, 7))], 'x + tanh(x)'),
    'functions of vectors': (
        [*TANH, ('sigmoid', (V0,)), ('mul', (4, 5)), ('second_moment', (V1,), GROUP), ('add', (6, 7))], 'tanh(x)'),
    'a term in exp': ([('add', (X, V0)), ('exp', (4,))], 'exp(x)'),
    'a factor in an absolute value': ([('mul', (X, V1)), ('abs', (4,)), ('div', (4, 5))], 'x / |x|'),
    'a factor of a square': ([('mul', (X, V1)), ('square', (4,))], 'x²'),
    'a factor that is 0 for one v0 alone': ([*TANH, ('add', (V0, V1)), ('mul', (4, 5))], 'tanh(x)'),
    'a kink that is 0 for one v1 alone': ([*TANH, ('sqrt', (V1,)), ('mul', (4, 5))], 'tanh(x)'),
    'a maximum that is positive': ([*TANH, ('exp', (V0,)), ('max', (5, V1)), ('mul', (4, 6))], 'tanh(x)'),
    'a sum that is positive': (
        [*TANH, ('abs', (V0,)), ('sigmoid', (V1,)), ('add', (5, 6)), ('mul', (4, 7))], 'tanh(x)'),
    'a divisor that is ε for many v0': ([*TANH, ('max', (V0, ZERO)), ('div', (4, 5))], 'tanh(x)'),
    'nothing but constants': ([('add', (V0, V1))], '0'),
    # what stays
    'a factor that is 0 at first': ([*TANH, ('mul', (4, V0)), ('mul', (5, V1))], 'v0·tanh(x)'),
    'a function that is 0 at first': ([*TANH, ('log', (V1,)), ('mul', (4, 5))], 'ln±(v1)·tanh(x)'),
    'a factor that is 0 for many v1': ([*TANH, ('max', (V1, ZERO)), ('mul', (4, 5))], 'max(v1, 0)·tanh(x)'),
    'a sum that is 0 for many v1': (
        [*TANH, ('abs', (V1,)), ('add', (5, V1)), ('mul', (4, 6))], '(v1 + |v1|)·tanh(x)'),
    'a shift before tanh': ([('add', (X, V0)), ('tanh', (4,))], 'tanh(x + v0)'),
    'a slope before tanh': ([('mul', (X, V1)), ('tanh', (4,))], 'tanh(v1·x)'),
    'a factor of one term': ([*TANH, ('mul', (4, V1)), ('add', (X, 5))], 'x + v1·tanh(x)'),
    'a moment': ([*TANH, ('second_moment', (X,), BATCH), ('div', (4, 5))], 'tanh(x) / √μ[b,w,h](x²)'),
    'a mean': ([*TANH, ('first_moment', (X,), INSTANCE), ('add', (4, 5))], 'tanh(x) + μ[w,h](x)'),
}


def values_of(graph, seed, at_start=False):
  """The graph's values on two batches with the same v0 and v1, those of the equations, and whether a guard decides."""
  rng = np.random.default_rng(seed)
  v0, v1 = (rng.uniform(.2, 2., (1, 1, 1, CHANNELS)) * rng.choice((-1, 1), CHANNELS) for _ in range(2))
  if at_start:
    v0, v1 = np.zeros_like(v0), np.ones_like(v1)
  pairs, shape, expected, received, guarded = affine_equations(graph), (3, 4, 3, CHANNELS), [], [], False
  for scale in rng.uniform(.5, 2., BATCHES):
    arrays = scale * rng.normal(size=shape), np.zeros((1, 1, 1, 1)), v0, v1
    with np.errstate(all='ignore'):
      y, is_guarded = run_graph(graph, arrays, GROUPS)
      guarded |= is_guarded
      expected.append(np.broadcast_to(y, shape))
      received.append(np.broadcast_to(run_equations(pairs, arrays, GROUPS), shape))
  return np.concatenate(expected), np.concatenate(received), guarded


def are_affine(expected, received):
  """Whether each channel of the one is that of the other times a factor that is not 0, plus a term."""
  for channel in range(CHANNELS):
    y, f = expected[..., channel].ravel(), received[..., channel].ravel()
    y, f = y - y.mean(), f - f.mean()
    if not np.allclose(y, f * (f @ y) / max(f @ f, 1e-300), rtol=0., atol=1e-7 * np.abs(y).max() + 1e-12):
      return False
    if (y.std() > 1e-9) != (f.std() > 1e-9):
      return False
  return True


@pytest.mark.parametrize('nodes, expected', SIMPLIFIED.values(), ids=SIMPLIFIED)
def test_worked_by_hand(nodes, expected):
  graph = graph_of(nodes)
  assert affine_equation_text(graph) in (f'y = {expected} · γ + β', f'y = ({expected}) · γ + β')
  for at_start in (False, True):
    assert are_affine(*values_of(graph, 1, at_start)[:2])


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_known_graphs_have_nothing_to_leave_out(name):
  assert affine_equation_text(known_graph(name)) == equation.equation_text(known_graph(name))


@pytest.mark.parametrize('nodes', [
    [('second_moment', (X,), BATCH), ('mul', (4, 5))], [('second_moment', (X,), INSTANCE), ('mul', (4, 5))],
    [('first_moment', (X,), BATCH), ('add', (4, 5))], [('mul', (X, V0)), ('add', (4, 5))]])
def test_the_comparison_sees_a_factor_or_a_term_that_varies(nodes):
  _, tanh, _ = values_of(graph_of(TANH), seed=0)
  assert are_affine(*values_of(graph_of([*TANH, *nodes]), seed=0)[:2])
  assert not are_affine(values_of(graph_of([*TANH, *nodes]), seed=0)[0], tanh)


@pytest.mark.parametrize('nodes', [4, 10])
def test_random_graphs_are_their_equations_but_for_factor_and_term(nodes):
  rng, compared, shorter = np.random.default_rng(nodes), 0, 0
  while compared < 30:
    graph = random_graph(SearchSpace(nodes), rng)
    if static_rejection(graph) is not None:
      continue
    expected, received, guarded = values_of(graph, compared, at_start=compared % 2 == 0)
    if guarded or not (np.isfinite(expected).all() and np.abs(expected).max() < 1e6):
      continue
    assert are_affine(expected, received), equation.equation_text(graph)
    compared += 1
    shorter += affine_equation_text(graph) != equation.equation_text(graph)
  assert 7 < shorter < 30


def test_listings_lose_factor_and_term_and_the_parts_that_these_alone_used():
  nodes = [('tanh', (V0,))]
  for index in range(4, 24, 2):
    nodes += [('exp', (index,)), ('add', (index + 1, index))]
  constant = len(nodes) + 3
  nodes += [('tanh', (X,))]
  for index in range(constant + 1, constant + 21, 2):
    nodes += [('exp', (index,)), ('add', (index + 1, index))]
  layer = len(nodes) + 3
  graph = graph_of([*nodes, ('mul', (layer, constant)), ('add', (layer + 1, constant))])
  complete, simple = (f(graph).split('\n') for f in (equation.equation_text, affine_equation_text))
  alone = equation.equation_text(graph_of([
      (primitive, tuple(i - 21 if i > constant else i for i in inputs))
      for primitive, inputs in nodes[constant - 3:]])).split('\n')
  assert len(complete) > len(simple) > 2 and any('v0' in line for line in complete)
  assert simple == alone


def test_latex():
  graph = graph_of([('sigmoid', (X,)), ('mul', (X, 4)), ('mul', (5, V1)), ('add', (6, V0))])
  assert affine_equation_latex(graph) == r'y = x \, \sigma(x) \cdot \gamma + \beta'
  MathTextParser('path').parse(f'${affine_equation_latex(graph)}$')
  long = graph_of([('exp', (X,)), *(node for i in range(4, 44, 2) for node in (('tanh', (i,)), ('max', (i + 1, i))))])
  assert affine_equation_latex(long).count(' \\\\\n') == affine_equation_text(long).count('\n') > 1
