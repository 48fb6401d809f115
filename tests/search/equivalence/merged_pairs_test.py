"""Merged pairs: one layer up to γ and β by another route, two functions, not too many of a layer."""

import collections

from search.equivalence.affine_comparison import are_one_layer
from search.equivalence.affine_comparison import make_histories
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.equivalence.merged_pairs import merged_pairs


def test_pairs_are_one_layer_and_two_functions():
  pairs, histories = merged_pairs(12, seed=1), make_histories(4)
  assert len(set(pairs)) == 12 and pairs == merged_pairs(12, seed=1) != merged_pairs(12, seed=2)
  for first, second in pairs:
    exact = Equivalents(EXACT)
    exact.add(first, 0)
    assert exact.find(second) is None and are_one_layer(first, second, histories)
  assert max(collections.Counter(first for first, _ in pairs).values()) <= 3
