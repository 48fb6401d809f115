"""The equivalence cache: recognizes layer graphs that compute the same function, so that each is evaluated only once.

Two layers are equivalent if they train alike and infer alike from any v0 and v1, up to the rounding of a float32
training. Layers that agree only at the initial v0 = 0 and v1 = 1, that differ in which moments have moving averages, or
whose outputs differ by a factor that γ could make up for are not equivalent, because they train differently.

Most equivalent graphs have the same canonical form; the others are found by their fingerprints, the values of the layer
on random inputs. The paper has no such cache.
"""

import collections
import functools
import math

from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.canonical import canonical
from search.equivalence.fingerprint import Fingerprint
from search.equivalence.fingerprint import fingerprint
from search.equivalence.fingerprint import RELATIVE

# A search's treatment of a candidate that is equivalent to an earlier one: evaluate it all the same, copy the earlier
# candidate's outcome, or draw another graph in its place; see `search.evolution.run_search`.
EVALUATE, REUSE, REDRAW = MODES = ('evaluate', 'reuse', 'redraw')

_CELL = 100 * RELATIVE  # the width of a cell: far more than rounding changes a sum of logarithms


class Equivalents:
  """The equivalence cache of one search: the functions added so far, each with a key.

  The key is an integer of the caller's choice, such as the index of the candidate that first computed the function. A
  new cache is empty.
  """

  def __init__(self) -> None:
    # Canonical form -> key, including forms that were found equivalent to another one by their fingerprints.
    self._keys: dict[LayerGraph, int] = {}
    # Cell, an interval of magnitudes -> fingerprints and keys.
    self._cells: dict[int, list[tuple[Fingerprint, int]]] = collections.defaultdict(list)

  def find(self, graph: LayerGraph) -> int | None:
    """Returns the key of the function that a layer graph computes.

    Args:
      graph: the layer graph.

    Returns:
      The key given to `add` with an equivalent graph; None if there was none.
    """
    form = canonical(graph)
    if form not in self._keys:
      key = self._look_up(_fingerprint(form))
      if key is None:
        return None
      self._keys[form] = key
    return self._keys[form]

  def add(self, graph: LayerGraph, key: int) -> None:
    """Adds the function of a layer graph.

    Args:
      graph: a layer graph for which `find` returns None.
      key: the key that `find` returns for equivalent graphs from now on.
    """
    form = canonical(graph)
    self._keys[form] = key
    found = _fingerprint(form)
    self._cells[_cell(found.magnitude)].append((found, key))

  def _look_up(self, found: Fingerprint) -> int | None:
    """Returns the key of a fingerprint that agrees with this one, or None."""
    # Rounding may have moved a magnitude across the border of a cell, but not farther.
    for cell in {_cell(found.magnitude - _CELL / 4), _cell(found.magnitude + _CELL / 4)}:
      for other, key in self._cells.get(cell, ()):
        if other.agrees(found):
          return key
    return None


_fingerprint = functools.lru_cache(maxsize=1)(fingerprint)  # `add` needs the fingerprint that `find` has just computed


def _cell(magnitude: float) -> int:
  return math.floor(magnitude / _CELL)
