"""The equivalence cache: recognizes graphs of the same layer, so that each function is evaluated only once.

Layers are equivalent if they train alike and infer alike from any v0 and v1, up to the rounding of a float32 training.
Layers that only agree at the initial v0 = 0 and v1 = 1, that differ in which moments have moving averages, or whose
outputs differ by a factor that γ could take over are not equivalent: they train differently. Most equivalent graphs
have the same canonical form; the others are found by their fingerprints.
"""

import collections
import functools
import math

from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.canonical import canonical
from search.equivalence.fingerprint import Fingerprint
from search.equivalence.fingerprint import fingerprint
from search.equivalence.fingerprint import RELATIVE

# What a search does with a candidate that is equivalent to an earlier one; see `search.evolution.run_search`.
EVALUATE, REUSE, REDRAW = MODES = ('evaluate', 'reuse', 'redraw')

_CELL = 100 * RELATIVE  # far wider than what rounding does to a sum of some logarithms


class Equivalents:
  """The functions met so far, each with the key of its first graph, such as a candidate's index."""

  def __init__(self) -> None:
    # By canonical form, including forms that a fingerprint has found equal to an earlier one.
    self._keys: dict[LayerGraph, int] = {}
    self._cells: dict[int, list[tuple[Fingerprint, int]]] = collections.defaultdict(list)  # by cell of the magnitude

  def find(self, graph: LayerGraph) -> int | None:
    """Returns the key of the graph that computes the same function, or None."""
    form = canonical(graph)
    if form not in self._keys:
      key = self._look_up(_fingerprint(form))
      if key is None:
        return None
      self._keys[form] = key
    return self._keys[form]

  def add(self, graph: LayerGraph, key: int) -> None:
    """Adds a graph for which `find` returns None."""
    form = canonical(graph)
    self._keys[form] = key
    found = _fingerprint(form)
    self._cells[_cell(found.magnitude)].append((found, key))

  def _look_up(self, found: Fingerprint) -> int | None:
    # Rounding may have moved a magnitude over the border of a cell, but not farther.
    for cell in {_cell(found.magnitude - _CELL / 4), _cell(found.magnitude + _CELL / 4)}:
      for other, key in self._cells.get(cell, ()):
        if other.agrees(found):
          return key
    return None


_fingerprint = functools.lru_cache(maxsize=1)(fingerprint)  # a graph that was not found is added next


def _cell(magnitude: float) -> int:
  return math.floor(magnitude / _CELL)
