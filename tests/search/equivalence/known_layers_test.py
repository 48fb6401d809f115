"""Known layers: their formulas in float64, that each is found and no two are one, and what is said of other starts."""

import re

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.equivalence.affine_comparison import are_one_layer
from search.equivalence.affine_comparison import make_histories
from search.equivalence.known_layers import known_layer
from search.equivalence.known_layers import known_layers
from search.graphs.known_graphs import graphs_by_name
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS

X, ZERO, V0, V1 = range(4)
TANH = [('tanh', (X,))]
EPSILON = 1e-5
RNG = np.random.default_rng(0)
INPUT = RNG.normal(size=(3, 4, 5, 6)) * 2 + 1
SHIFT, SLOPE = RNG.normal(size=6), RNG.uniform(.5, 2, 6)
HISTORIES = make_histories(3)


def graph(*nodes):
  return LayerGraph(tuple(Node(*node) for node in nodes))


def over(axes, values):
  """The mean over an index set, with two channel groups."""
  grouped = values.reshape(3, 4, 5, 2, 3)
  return {BATCH: lambda: values.mean((0, 1, 2), keepdims=True), LAYER: lambda: values.mean((1, 2, 3), keepdims=True),
          INSTANCE: lambda: values.mean((1, 2), keepdims=True),
          GROUP: lambda: np.repeat(grouped.mean((1, 2, 4)), 3, -1)[:, None, None]}[axes]()


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def normalized(axes):
  """The input with centring, over the standard deviation alone, and over the root mean square."""
  mean = over(axes, INPUT)
  root = np.sqrt(over(axes, (INPUT - mean)**2) + EPSILON)
  return (INPUT - mean) / root, INPUT / root, INPUT / np.sqrt(over(axes, INPUT**2) + EPSILON)


ACTIVATIONS = {
    'the identity, so that the layer is affine': INPUT, 'tanh': np.tanh(INPUT), 'Dynamic Tanh': np.tanh(SLOPE * INPUT),
    'Dynamic Tanh with a shift': np.tanh(SLOPE * INPUT + SHIFT),
    'Dynamic Tanh with a shift before the slope': np.tanh(SLOPE * (INPUT + SHIFT)),
    'Dynamic Tanh with a shift in place of the slope': np.tanh(INPUT + SHIFT),
    'the sigmoid': sigmoid(INPUT), 'the sigmoid with a trainable slope': sigmoid(SLOPE * INPUT),
    'the sigmoid with a trainable shift': sigmoid(INPUT + SHIFT),
    'the sigmoid with a trainable slope and shift': sigmoid(SLOPE * INPUT + SHIFT),
    'SiLU, or Swish': INPUT * sigmoid(INPUT), 'Swish with a trainable slope': INPUT * sigmoid(SLOPE * INPUT),
    'ReLU': np.where(INPUT > 0, INPUT, 0), 'the thresholded linear unit, TLU': np.where(INPUT > SHIFT, INPUT, SHIFT),
    # PReLU has the slope for negative x where it is at most 1; above that, for positive x
    'PReLU with a slope of at most 1, at first 1': np.where((INPUT > 0) == (SLOPE > 1), SLOPE * INPUT, INPUT),
    'the squared ReLU': np.where(INPUT > 0, INPUT**2, 0), 'LiSHT': INPUT * np.tanh(INPUT),
    'the absolute value': np.abs(INPUT), 'the square': INPUT**2, 'the exponential function': np.exp(INPUT),
}
CENTERED = {BATCH: 'batch', LAYER: 'layer', INSTANCE: 'instance', GROUP: 'group'}
ROOTS = {BATCH: 'RMS normalization over the batch', LAYER: 'RMS normalization over a whole sample',
         INSTANCE: 'filter response normalization', GROUP: 'RMS normalization over groups'}
NORMALIZATIONS = {
    name: values for axes, kind in CENTERED.items() for name, values in zip(
        (f'{kind} normalization', f'{kind} normalization without centring', ROOTS[axes]), normalized(axes))}
FORMULAS = {
    **ACTIVATIONS,
    **{f'{name} {"and" if "without" in name else "without"} activation': y for name, y in NORMALIZATIONS.items()},
    **{f'{name}, then {activation}, with γ and β after both': function(y) for name, y in NORMALIZATIONS.items()
       for activation, function in {'ReLU': lambda y: np.where(y > 0, y, 0), 'SiLU': lambda y: y * sigmoid(y),
                                    'tanh': np.tanh, 'TLU': lambda y: np.where(y > SHIFT, y, SHIFT)}.items()},
    'FRN-TLU': np.maximum(SLOPE * normalized(INSTANCE)[2] + SHIFT, 0),
}


def test_formulas():
  layers = {layer.name: layer.graph for layer in known_layers()}
  assert len(layers) == len(known_layers()) == len(FORMULAS) + len(graphs_by_name())
  for name, expected in FORMULAS.items():
    received = layers[name].evaluate(INPUT, SHIFT, SLOPE, groups=2)
    np.testing.assert_allclose(received, expected, 1e-9, 1e-12, err_msg=name)


def test_each_is_found_and_no_two_are_one():
  for layer in known_layers():
    assert known_layer(layer.graph) == layer  # the first that matches, so that no earlier one does


def test_known_graphs_have_their_printed_names():
  names = {name: known_layer(known_graph(name)).name for name in KNOWN_GRAPHS}
  assert {name.lower().replace('-', '_') for name in names.values()} == set(KNOWN_GRAPHS)
  assert {'BN-ReLU', 'GN-SiLU', 'EvoNorm-B0', 'EvoNorm-S2'} <= set(names.values())


@pytest.mark.parametrize('nodes, expected', [
    ([('mul', (X, V1)), ('add', (4, V0)), ('tanh', (5,))],
     'Dynamic Tanh with a shift (Zhu et al. 2025, arXiv 2503.10622)'),
    ([('neg', (V0,)), ('mul', (V1, X)), ('add', (5, 4)), ('tanh', (6,)), ('mul', (7, V1)), ('neg', (8,))],
     'Dynamic Tanh with a shift (Zhu et al. 2025, arXiv 2503.10622), up to γ and β'),
    ([('centered_second_moment', (X,), GROUP), ('div', (X, 4)), ('add', (5, V0))],
     'group normalization without centring and activation (Wu & He 2018, arXiv 1803.08494), up to γ and β'),
    ([('square', (V0,)), ('add', (X, 4)), ('max', (5, ZERO))], 'ReLU (Nair & Hinton 2010), up to γ and β'),
    ([('max', (X, V0)), ('neg', (V0,)), ('add', (4, 5))],
     'the thresholded linear unit, TLU (Singh & Krishnan 2020, arXiv 1911.09737), up to γ and β'),
    ([('sigmoid', (X,)), ('mul', (X, 4)), ('second_moment', (X,), GROUP), ('div', (5, 6)), ('exp', (V0,)),
      ('mul', (7, 8))], 'EvoNorm-S2 (Liu et al. 2020, arXiv 2004.02967), up to γ and β'),
    ([('mul', (X, V1)), ('add', (4, V0))], 'the identity, so that the layer is affine, up to γ and β'),
])
def test_names(nodes, expected):
  found = known_layer(graph(*nodes))
  assert found.text == expected
  assert are_one_layer(graph(*nodes), found.graph, HISTORIES)  # by the independent route


@pytest.mark.parametrize('nodes', [
    [*TANH, ('add', (4, X))], [*TANH, ('mul', (X, V0)), ('add', (4, 5))],
    [*TANH, ('second_moment', (X,), BATCH), ('mul', (4, 5))],  # a factor that changes with the batch
    [('neg', (V1,)), ('mul', (4, X)), ('sigmoid', (5,)), ('mul', (X, 6))],  # v1 starts at 1
    [('max', (ZERO, V0)), ('mul', (X, 4)), ('sigmoid', (5,))], [('add', (V0, V1))],
    [*TANH, ('mul', (4, V0))],  # constant at first
])
def test_unknown_layers(nodes):
  assert known_layer(graph(*nodes)) is None


def test_other_starts():
  doubled = [*TANH, *(('add', (i, i)) for i in range(4, 8))]
  assert known_layer(graph(*doubled)).text == (
      'tanh, up to γ and β, from another start: the output is 16 times as large')
  tenth = [*TANH, *(('second_moment', (ZERO,), BATCH), ('sqrt', (5,)), ('mul', (4, 6)))]  # a factor of √√ε
  assert known_layer(graph(*tenth)).text == (
      'tanh, up to γ and β, from another start: the output is 0.0562 times as large')
  shifted = known_layer(graph(*TANH, ('exp', (V1,)), ('exp', (5,)), ('add', (4, 6)), ('neg', (7,)))).text
  deviation = np.tanh(RNG.normal(size=10**6)).std()
  number = re.fullmatch(r'tanh, up to γ and β, from another start: the output is shifted by (-[\d.]+) of its standard '
                        'deviations', shifted)[1]
  assert float(number) == pytest.approx(-np.exp(np.e) / deviation, rel=.05)
