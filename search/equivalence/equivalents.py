"""The equivalence cache: recognizes layer graphs that are one layer, so that each layer is evaluated only once.

What counts as one layer is a choice of the search:
- 'affine': layers that training cannot tell apart. One's output is the other's times a factor plus a term in each
  channel, which γ and β take up, and both begin alike (see `affine_fingerprint`).
- 'start': layers that are one where training begins, likewise up to γ and β. They differ in how v0 and v1 change them,
  as tanh(x / v1) and tanh(v1²·x) do.
- 'exact': layers that train alike and infer alike from any v0 and v1, up to the rounding of a float32 training. Layers
  whose outputs differ by a factor or a term, that agree only at the initial v0 = 0 and v1 = 1, or that differ in which
  moments have moving averages are different (see `fingerprint`).

Most graphs of one layer that a search draws have the same canonical form, which is exact; the others are found by their
fingerprints, the values of the layer on random inputs. The paper has no such cache.
"""

import collections
from collections.abc import Callable
import functools
import math
import os
import zlib

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.registration import digest
from evonorm_tf.graph.registration import registered
from search.equivalence.affine_fingerprint import affine_fingerprint
from search.equivalence.affine_fingerprint import start_fingerprint
from search.equivalence.canonical import canonical
from search.equivalence.canonical import canonical_digest
from search.equivalence.fingerprint import fingerprint
from search.equivalence.stored_layers import Facts
from search.equivalence.stored_layers import StoredLayers

# A search's treatment of a candidate that is an earlier layer: evaluate it all the same, copy the earlier candidate's
# outcome, or draw another graph in its place; see `search.evolution.run_search`.
EVALUATE, REUSE, REDRAW = MODES = ('evaluate', 'reuse', 'redraw')
AFFINE, EXACT, START = SAME_LAYER = ('affine', 'exact', 'start')  # what counts as one layer

_FINGERPRINTS: dict[str, Callable] = {AFFINE: affine_fingerprint, EXACT: fingerprint, START: start_fingerprint}
KEPT = 2000  # fingerprints, some 20 MB
# The width of a cell of magnitudes: far more than rounding changes a sum of logarithms.
_CELL = {AFFINE: 1e-4, EXACT: 1e-6, START: 1e-4}


def _users_parts() -> str:
  """Returns a checksum of the primitives and index sets that a user has registered, with their values."""
  parts = sorted((name, digest(entry)) for name, entry in registered().items())
  return f'{zlib.crc32(repr(parts).encode()):08x}'


class Equivalents:
  """The equivalence cache of one search: the layers added so far, each with a key.

  The key is an integer of the caller's choice, such as the index of the candidate that was the layer first. A new cache
  is empty.

  With 'affine', layers of one class, which differ by factor and term alone, have keys of their own if they begin too
  far apart. A layer between two such starts belongs to the one that was added first.

  Args:
    same_layer: what counts as one layer, 'affine' (default), 'start' or 'exact'.
    path: a file for what is computed of each layer, which a cache of the same layers then reads instead; None (default)
      for none. See `stored_layers`.

  Raises:
    ArgumentError: if `same_layer` is none of these.
  """

  def __init__(self, same_layer: str = AFFINE, path: str | os.PathLike | None = None) -> None:
    if same_layer not in SAME_LAYER:
      raise ArgumentError(f'`same_layer` must be one of {SAME_LAYER}, received {same_layer!r}.')
    self._cell = _CELL[same_layer]
    # A fingerprint is as large as a thousand numbers, so only the latest are kept, and others computed again.
    self._fingerprint = functools.lru_cache(maxsize=KEPT)(lambda graph: _FINGERPRINTS[same_layer](canonical(graph)))
    self._stored = StoredLayers(path, f'{same_layer} {_users_parts()}', self._compute)
    # Digest of a canonical form -> key, including forms that were found to be an earlier layer by their fingerprints.
    self._keys: dict[bytes, int] = {}
    # Cell, an interval of magnitudes -> layers and their keys.
    self._cells: dict[int, list[tuple[LayerGraph, int]]] = collections.defaultdict(list)

  def find(self, graph: LayerGraph) -> int | None:
    """Returns the key of the layer that a layer graph is.

    Args:
      graph: the layer graph.

    Returns:
      The key given to `add` with a graph of the same layer; None if there was none.
    """
    form = canonical_digest(graph)
    if form not in self._keys:
      key = self._look_up(graph)
      if key is None:
        return None
      self._keys[form] = key
    return self._keys[form]

  def add(self, graph: LayerGraph, key: int) -> None:
    """Adds the layer of a layer graph.

    Args:
      graph: a layer graph for which `find` returns None.
      key: the key that `find` returns for graphs of this layer from now on.
    """
    form, magnitude = self._stored.facts(graph)
    self._keys[form] = key
    self._cells[self._cell_of(magnitude)].append((graph, key))

  def close(self) -> None:
    """Closes the file at `path`."""
    self._stored.close()

  def _compute(self, graph: LayerGraph) -> Facts:
    return canonical_digest(graph), self._fingerprint(graph).magnitude

  def _look_up(self, graph: LayerGraph) -> int | None:
    """Returns the key of a layer whose fingerprint agrees with the graph's, or None."""
    found = self._fingerprint(graph)
    # Rounding may have moved a magnitude across the border of a cell, but not farther.
    cells = {self._cell_of(found.magnitude + shift * self._cell / 4) for shift in (-1, 1)}
    keys = [key for cell in cells for other, key in self._cells.get(cell, ())
            if self._fingerprint(other).agrees(found)]
    return min(keys, default=None)

  def _cell_of(self, magnitude: float) -> int:
    return math.floor(magnitude / self._cell)
