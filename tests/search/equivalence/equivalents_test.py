"""Equivalents in the exact mode: what is one layer and what is not; rounding at the border of a cell splits nothing."""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.equivalence import equivalents as equivalence
from search.equivalence.canonical import canonical
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.equivalence.equivalents import START
from search.equivalence.fingerprint import Fingerprint
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS

X, ZERO, V0, V1 = range(4)
IDENTITY = [('add', (X, ZERO))]


def graph(*nodes):
  return LayerGraph(tuple(Node(*node) for node in nodes))


def are_one(one, other):
  equivalents = Equivalents(EXACT)
  equivalents.add(graph(*one), 17)
  found = equivalents.find(graph(*other))
  assert found in (None, 17) and equivalents.find(graph(*one)) == 17
  return found is not None


@pytest.mark.parametrize('one, other', [
    ([('add', (X, V0)), ('add', (4, V1))], [('add', (V1, V0)), ('add', (X, 4))]),  # another order of rounding
    ([('div', (X, V1)), ('mul', (4, V0))], [('mul', (X, V0)), ('div', (4, V1))]),
    ([('max', (X, ZERO)), ('max', (4, ZERO))], [('max', (ZERO, X))]),
    ([('exp', (X,)), ('exp', (4,)), ('max', (ZERO, 5))], [('exp', (X,)), ('exp', (4,))]),
    ([('mul', (X, ZERO)), ('add', (4, X))], IDENTITY),
    ([('max', (X, V0))], [('max', (X, V0)), ('max', (X, 4))]),
    ([('first_moment', (X,), INSTANCE), ('first_moment', (4,), LAYER)], [('first_moment', (X,), LAYER)]),
    ([('first_moment', (X,), BATCH), ('first_moment', (4,), BATCH)], [('first_moment', (X,), BATCH)]),
    ([('second_moment', (X,), INSTANCE), ('max', (4, ZERO)), ('div', (X, 5))],
     [('second_moment', (X,), INSTANCE), ('div', (X, 4))]),
])
def test_one_layer(one, other):
  assert canonical(graph(*one)) != canonical(graph(*other))  # it takes the fingerprint
  assert are_one(one, other) and are_one(other, one)


@pytest.mark.parametrize('one, other', [
    (IDENTITY, [('add', (X, V0))]),  # equal only where v0 begins
    (IDENTITY, [('mul', (X, V1))]),
    ([('tanh', (X,))], [('square', (V0,)), ('tanh', (X,)), ('add', (4, 5))]),
    ([('mul', (X, V0)), ('max', (4, ZERO))], [('mul', (X, V0)), ('max', (ZERO, 4))]),  # v0 learns in the first alone
    ([('abs', (V0,)), ('add', (X, 4))], [('neg', (V0,)), ('max', (V0, 4)), ('add', (X, 5))]),  # likewise in the second
    ([('div', (X, V0)), ('neg', (4,))], [('neg', (V0,)), ('div', (X, 4))]),
    (IDENTITY, [('add', (X, X))]),  # γ could be half, but learns at another rate
    # differ in inference
    ([('mul', (X, V1)), ('first_moment', (4,), BATCH)], [('first_moment', (X,), BATCH), ('mul', (4, V1))]),
    ([('square', (X,)), ('first_moment', (4,), BATCH), ('sqrt', (5,))], [('second_moment', (X,), BATCH)]),
    ([('first_moment', (X,), BATCH), ('second_moment', (4,), BATCH)],
     [('first_moment', (X,), BATCH), ('second_moment', (4,), GROUP)]),
    ([('second_moment', (X,), BATCH), ('neg', (4,)), ('add', (4, 5)), ('add', (X, 6))],
     [('second_moment', (X,), BATCH), ('second_moment', (X,), INSTANCE), ('div', (4, 5)), ('mul', (X, 6))]),
    ([('abs', (X,))], [('square', (X,)), ('sqrt', (4,))]),  # guards: below 0.003
    ([('exp', (X,)), ('log', (4,))], IDENTITY),  # below −11.5
    ([('div', (V0, V0)), ('mul', (X, 4))], IDENTITY),  # at v0 = 0
    *[([('second_moment', (X,), a)], [('second_moment', (X,), b)])
      for a, b in ((BATCH, INSTANCE), (INSTANCE, GROUP), (GROUP, LAYER), (LAYER, BATCH))],
    ([('second_moment', (X,), GROUP)], [('centered_second_moment', (X,), GROUP)]),
    ([('second_moment', (X,), LAYER), ('max', (X, 4))],  # where v0 is far above x
     [('second_moment', (X,), LAYER), ('max', (X, 4)), ('first_moment', (V0,), LAYER), ('max', (5, 6))]),
])
def test_two_layers(one, other):
  assert not are_one(one, other) and not are_one(other, one)


def test_known_layers_are_ten_functions():
  equivalents = Equivalents(EXACT)
  for index, name in enumerate(KNOWN_GRAPHS):
    assert equivalents.find(known_graph(name)) is None
    equivalents.add(known_graph(name), index)
  assert [equivalents.find(known_graph(name)) for name in KNOWN_GRAPHS] == list(range(10))


def test_rounding_at_the_border_of_a_cell_splits_nothing(monkeypatch):
  rng, values = np.random.default_rng(0), np.ones((3, 4))
  prints = {}
  monkeypatch.setitem(equivalence._FINGERPRINTS, EXACT, lambda form: prints[form])
  monkeypatch.setattr(equivalence, 'canonical', lambda form: form)
  monkeypatch.setattr(equivalence, 'canonical_digest', str.encode)
  for trial in range(300):
    border = rng.integers(-10**8, 10**8) * equivalence._CELL[EXACT]
    shift = rng.choice((-1, 1)) * 1e-8
    prints |= {'a': Fingerprint(values, border - shift), 'b': Fingerprint(values * (1 + 1e-10), border + shift),
               'c': Fingerprint(values * 1.001, border)}
    equivalents = Equivalents(EXACT)
    equivalents.add('a', trial)
    assert equivalents.find('b') == trial and equivalents.find('c') is None


def test_a_mode_that_is_none():
  with pytest.raises(ValueError, match=r"`same_layer` must be one of \('affine', 'exact', 'start'\), received 'close'"):
    Equivalents('close')


TANH = [('tanh', (X,))]


@pytest.mark.parametrize('one, other, is_one', [
    ([('div', (X, V1)), ('tanh', (4,))], [('square', (V1,)), ('mul', (X, 4)), ('tanh', (5,))], True),
    (TANH, [('add', (X, V0)), ('tanh', (4,)), ('mul', (5, V1)), ('add', (6, V1))], True),  # also a factor and a term
    ([('exp', (V0,)), ('mul', (X, 4)), ('tanh', (5,))], TANH, True),
    ([('sigmoid', (V1,)), ('mul', (X, 4)), ('tanh', (5,))], TANH, False),  # begins flatter
    ([('exp', (V0,)), ('add', (X, 4)), ('tanh', (5,))], TANH, False),  # begins at the side
    ([('first_moment', (X,), BATCH), ('add', (X, 4)), ('tanh', (5,))],
     [('first_moment', (X,), INSTANCE), ('add', (X, 4)), ('tanh', (5,))], False)])
def test_one_layer_at_the_start(one, other, is_one):
  x = np.random.default_rng(0).normal(size=(4, 3, 3, 6))
  y, z = (np.broadcast_to(graph(*nodes).evaluate(x, np.zeros(6), np.ones(6)), x.shape) for nodes in (one, other))
  assert np.allclose(y - y.mean(), (z - z.mean()) * y.std() / z.std()) == is_one  # the formula agrees with the case
  for first, second in ((one, other), (other, one)):
    equivalents = Equivalents(START)
    equivalents.add(graph(*first), 3)
    assert equivalents.find(graph(*second)) == (3 if is_one else None)
  assert Equivalents().find(graph(*one)) is None
