"""Equations against the paper's table and, as SymPy expressions, against the NumPy forms of the primitives."""

import functools
import random

from matplotlib.mathtext import MathTextParser
import numpy as np
import pytest
import sympy

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import PRIMITIVES
from search.graphs import equation
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.known_graphs import ZERO

BN = 'v1·(x − μ[b,w,h](x)) / s[b,w,h](x) + v0'
GN = 'v1·(x − μ[w,h,c/g](x)) / s[w,h,c/g](x) + v0'
PAPER = {
    'bn_relu': f'y = max({BN}, 0) · γ + β',
    'bn_silu': f'y = ({BN})·σ({BN}) · γ + β',
    'gn_relu': f'y = max({GN}, 0) · γ + β',
    'gn_silu': f'y = ({GN})·σ({GN}) · γ + β',
    'evonorm_b0': 'y = x / max(s[b,w,h](x), v1·x + s[w,h](x)) · γ + β',
    'evonorm_b1': 'y = x / max(s[b,w,h](x), (x + 1)·√μ[w,h](x²)) · γ + β',
    'evonorm_b2': 'y = x / max(s[b,w,h](x), √μ[w,h](x²) − x) · γ + β',
    'evonorm_s0': 'y = x·σ(v1·x) / s[w,h,c/g](x) · γ + β',
    'evonorm_s1': 'y = x·σ(x) / s[w,h,c/g](x) · γ + β',
    'evonorm_s2': 'y = x·σ(x) / √μ[w,h,c/g](x²) · γ + β',
}
FUNCTIONS = {'Sigmoid': 'sigmoid', 'Exponential': 'exp', 'Tangent': 'tanh', 'SignedLog': 'log', 'SignedRoot': 'sqrt',
             'Magnitude': 'abs'}
MOMENTS = {'FirstMoment': 'first_moment', 'SecondMoment': 'second_moment',
           'CenteredSecondMoment': 'centered_second_moment'}
SIMPLIFIED = {
    '0 + x': ([('add', (ZERO, X))], 'x'),
    'x·0': ([('mul', (X, ZERO))], '0'),
    '0/x': ([('div', (ZERO, X))], '0'),
    'x − (−x)': ([('neg', (X,)), ('neg', (4,)), ('add', (X, 5))], '2·x'),
    'x − x': ([('neg', (X,)), ('add', (X, 4))], '0'),
    '−(−x)': ([('neg', (X,)), ('neg', (4,))], 'x'),
    'x·x': ([('mul', (X, X))], 'x²'),
    'x·v1/v1': ([('mul', (X, V1)), ('div', (4, V1))], 'x'),
    '(x/v0)/v1': ([('div', (X, V0)), ('div', (4, V1))], 'x / (v0·v1)'),
    'v0·x + x': ([('mul', (V0, X)), ('add', (4, X))], 'x·(v0 + 1)'),
    'x + v1/x': ([('div', (V1, X)), ('add', (4, X))], 'x + v1 / x'),
    'v1/(x + v0)': ([('add', (X, V0)), ('div', (V1, 4))], 'v1 / (x + v0)'),
    'x·(−x − v0)': ([('add', (X, V0)), ('neg', (4,)), ('mul', (X, 5))], '−x·(x + v0)'),
    'max(x, x)': ([('max', (X, X))], 'x'),
    'max(max(0, x), v1)': ([('max', (ZERO, X)), ('max', (4, V1))], 'max(v1, x, 0)'),
    'max(σ(x), 0)': ([('sigmoid', (X,)), ('max', (4, ZERO))], 'σ(x)'),
    '|−x|²': ([('neg', (X,)), ('abs', (4,)), ('square', (5,))], 'x²'),
    'tanh(−x)': ([('neg', (X,)), ('tanh', (4,))], '−tanh(x)'),
    'σ(0)·x': ([('sigmoid', (ZERO,)), ('mul', (4, X))], 'x / 2'),
    'tanh(0) + exp(0)': ([('tanh', (ZERO,)), ('exp', (ZERO,)), ('add', (4, 5))], '1'),
    'ln of zero': ([('log', (ZERO,))], '0'),
    'root of zero': ([('sqrt', (ZERO,))], '0'),
    'x/0': ([('div', (X, ZERO))], 'x / ε'),
    '0/0': ([('div', (ZERO, ZERO))], '0'),
    'mean of zero': ([('first_moment', (ZERO,), GROUP)], '0'),
    'moment of zero': ([('second_moment', (ZERO,), GROUP)], '√ε'),
    'deviation of a vector': ([('centered_second_moment', (V1,), BATCH)], '√ε'),
    'varying vector': ([('centered_second_moment', (V1,), GROUP)], 's[w,h,c/g](v1)'),
    'mean of −x': ([('neg', (X,)), ('first_moment', (4,), INSTANCE)], '−μ[w,h](x)'),
    'signed': ([('log', (X,)), ('sqrt', (X,)), ('mul', (4, 5))], 'ln±(x)·√±(x)'),
}


def graph_of(nodes) -> LayerGraph:
  return LayerGraph(tuple(Node(*node) for node in nodes))


def chain(*names: str, count: int) -> LayerGraph:
  """`count` nodes that each read only the one before, twice where they have two arguments."""
  return graph_of((names[i % len(names)], (max(i + 3, 4) if i else X,) * PRIMITIVES[names[i % len(names)]].arity)
                  for i in range(count))


def random_graph(rng: random.Random, count: int) -> LayerGraph:
  """Nodes read x and recent ones only, so that few are dead."""
  nodes = []
  for index in range(len(INITIAL_NODES), len(INITIAL_NODES) + count):
    primitive = rng.choice(list(PRIMITIVES.values()))
    inputs = tuple(rng.choice((X, index - 1, index - 2, index - 3)) for _ in range(primitive.arity))
    nodes.append(Node(primitive.name, inputs, rng.choice(INDEX_SETS) if primitive.is_moment else ''))
  return LayerGraph(tuple(nodes))


def run_graph(graph: LayerGraph, arrays, groups: int):
  """The output by the NumPy forms, and whether a division's guard acts, other than on the zero tensor."""
  values, guarded = list(arrays), False
  for node in graph.without_dead_nodes().nodes:
    moment = (node.axes, groups) if node.axes else ()
    arguments = [values[i] for i in node.inputs]
    if node.primitive == 'div':
      guarded |= node.inputs[1] != ZERO and bool(np.any(np.abs(arguments[1]) < EPSILON))
    values.append(PRIMITIVES[node.primitive].numpy_form(*arguments, *moment))
  return values[-1], guarded


def run_equations(equations, arrays, groups: int):
  """The output by the SymPy expressions, their functions in the NumPy forms of the primitives."""
  forms = {function: PRIMITIVES[name].numpy_form for function, name in FUNCTIONS.items()}
  forms['Maximum'] = lambda *args: functools.reduce(np.maximum, args)
  for function, name in MOMENTS.items():
    forms[function] = lambda x, axes, form=PRIMITIVES[name].numpy_form: form(
        x + arrays[ZERO], INDEX_SETS[axes], groups)
  values = {'x': arrays[X], 'v0': arrays[V0], 'v1': arrays[V1], 'ε': EPSILON}
  for name, expr in equations:
    symbols = sorted(expr.free_symbols, key=str)
    values[name.name] = sympy.lambdify(symbols, expr, [forms, 'numpy'])(*(values[s.name] for s in symbols))
  return values['y']


def compare(graph: LayerGraph, seed: int) -> bool:
  """Asserts that equations and graph agree; False where rounding, overflow or a division's guard decides.

  Rounding decides where float64 and longdouble disagree.
  """
  rng, shape, groups = np.random.default_rng(seed), (2, 2, 3, 4), 2
  x, v0, v1 = (rng.normal(size=s).round(2) for s in (shape, shape[-1:], shape[-1:]))
  arrays = x, np.zeros((1, 1, 1, 1)), v0.reshape(1, 1, 1, -1), v1.reshape(1, 1, 1, -1)
  with np.errstate(all='ignore'):
    expected, guarded = run_graph(graph, arrays, groups)
    precise, _ = run_graph(graph, [a.astype(np.longdouble) for a in arrays], groups)
    received = run_equations(equation.equations(graph), arrays, groups)
  if guarded or not np.isfinite(expected).all() or not np.allclose(expected, precise, rtol=1e-9, atol=1e-12):
    return False
  np.testing.assert_allclose(np.broadcast_to(received, shape), np.broadcast_to(expected, shape), 1e-6, 1e-9)
  return True


@pytest.mark.parametrize('name', KNOWN_GRAPHS)
def test_known_graphs_have_the_papers_equations(name):
  assert equation.equation_text(known_graph(name)) == PAPER[name]
  assert compare(known_graph(name), seed=0)


@pytest.mark.parametrize('nodes, expected', SIMPLIFIED.values(), ids=SIMPLIFIED)
def test_exact_algebra(nodes, expected):
  graph = graph_of(nodes)
  assert equation.equation_text(graph) in (f'y = {expected} · γ + β', f'y = ({expected}) · γ + β')
  assert compare(graph, seed=1)


def test_latex():
  assert equation.equation_latex(known_graph('evonorm_b2')) == (
      r'y = \frac{x}{\max(s_{b,w,h}(x), \sqrt{\mu_{w,h}(x^{2})} - x)} \cdot \gamma + \beta')
  assert equation.equation_latex(graph_of([('div', (X, ZERO)), ('sigmoid', (4,)), ('abs', (4,)), ('div', (5, 6))])) == (
      r'y = \frac{\sigma\left(\frac{x}{\varepsilon}\right)}{\left|\frac{x}{\varepsilon}\right|} \cdot \gamma + \beta')


def test_random_equations_agree_with_their_graphs_and_mathtext_reads_them():
  rng, parser = random.Random(0), MathTextParser('path')
  graphs = [random_graph(rng, rng.choice((5, 10, 30))) for _ in range(200)]
  assert sum(compare(graph, seed) for seed, graph in enumerate(graphs)) > 100
  for graph in graphs[:30]:
    text = equation.equation_text(graph)
    assert text.endswith(' · γ + β') and not any(word in text for word in ('nan', 'zoo', 'oo', 'Dummy'))
    for line in equation.equation_latex(graph).split(' \\\\\n'):
      parser.parse(f'${line}$')


def test_long_equations_are_listed():
  graph = chain('mul', 'exp', 'add', 'tanh', 'max', 'sigmoid', count=12)
  nodes = graph.nodes + (Node('add', (X, 15)), Node('log', (16,)), Node('mul', (16, 17)), Node('max', (18, 17)),
                         Node('mul', (18, 19)), Node('exp', (20,)), Node('add', (21, 20)), Node('mul', (22, 19)),
                         Node('abs', (23,)), Node('add', (24, 23)))
  lines = equation.equation_text(LayerGraph(nodes)).split('\n')
  names = [line.split(' = ')[0] for line in lines]
  assert names == [f't{i}' for i in range(1, len(lines))] + ['y'] and len(lines) > 2
  assert max(map(len, lines)) <= equation.MAX_LENGTH
  for earlier, line in zip(names, lines[1:]):
    assert earlier in line
  assert compare(LayerGraph(nodes), seed=2)


def test_deep_graphs_print_in_bounded_size():
  assert equation.equation_text(chain('square', count=30)) == 'y = x¹⁰⁷³⁷⁴¹⁸²⁴ · γ + β'
  assert equation.equation_text(chain('exp', count=30)) == f'y = {"exp(" * 30}x{")" * 30} · γ + β'
  for names in [('square', 'add'), ('mul', 'add', 'exp'), ('exp',), ('square', 'neg', 'abs', 'add')]:
    text = equation.equation_text(chain(*names, count=1000))
    assert max(map(len, text.split('\n'))) <= equation.MAX_LENGTH


def test_expressions_stay_small_where_the_tree_would_grow_exponentially():
  nodes = [('exp', (X,))]
  for index in range(5, 33, 2):
    nodes += [('tanh', (index - 1,)), ('max', (index, index - 1))]
  pairs = equation.equations(graph_of(nodes))
  assert len(pairs) <= len(nodes)
  for _, expr in pairs:
    assert sum(1 for _ in sympy.preorder_traversal(expr)) <= 2 * equation._LINE_SIZE


def test_dead_nodes_leave_no_trace():
  dead = [('exp', (X,)), ('add', (4, X)), ('mul', (5, 4)), ('max', (6, 5)), ('mul', (6, 7)), ('sigmoid', (X,))]
  assert equation.equation_text(graph_of(dead)) == 'y = σ(x) · γ + β'
