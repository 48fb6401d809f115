"""Niches: kinds of layers that compete among themselves, so that the first good kind does not displace all others.

Of two kinds of layers, the one that learns faster at first wins most tournaments, and after some hundred candidates all
are its descendants. With niches, `TournamentEvolution` draws a niche before it draws a tournament from its members, as
MAP-Elites does with its cells (Mouret and Clune 2015, arXiv 1504.04909). The paper has no niches.
"""

import functools

import numpy as np

from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.start_values import probe
from search.graphs.start_values import values_at_start
from search.journal.candidate import Candidate

Kind = tuple[str, str, str]
POINTWISE, SAMPLE, BATCH = 'pointwise', 'sample', 'batch'  # what an output depends on
INVARIANT, PROPORTIONAL, OTHER = 'invariant', 'proportional', 'other'  # to the scale of x
ODD, EVEN, NEITHER = 'odd', 'even', 'neither'  # the symmetry

_SCALE = 4.
_TOLERANCE = .01  # of the standard deviation in a channel
_LEAST_CHANGE = 1e-3  # of the standard deviation


def kind_of_layer(candidate: Candidate) -> Kind:
  """Returns the niche of a candidate: what its layer depends on, how it scales, and its symmetry.

  All three are of the function at v0 = 0 and v1 = 1, where training begins, on a fixed probe; scale and symmetry are up
  to a term in each channel, which β takes up:
  - 'batch' if an output depends on other images, 'sample' if on other positions or channels of its image, 'pointwise'
    if on its own input alone.
  - 'invariant' if y(4·x) = y(x), 'proportional' if y(4·x) = 4·y(x), otherwise 'other'.
  - 'odd' if y(−x) = −y(x), 'even' if y(−x) = y(x), otherwise 'neither'.

  Equal means within a hundredth of y's standard deviation in each channel, so that ε does not matter; an output depends
  on what changes it by more than a thousandth of y's standard deviation.

  Args:
    candidate: the candidate.

  Example:
    >>> import search
    >>> from search.graphs import known_graph
    >>> search.kind_of_layer(search.Candidate(0, known_graph('evonorm_b0'), (.5,)))
    ('batch', 'invariant', 'neither')
  """
  return _kind(candidate.graph)


@functools.lru_cache(maxsize=10_000)
def _kind(graph: LayerGraph) -> Kind:
  x = probe()
  y = values_at_start(graph, x)
  scaled, mirrored = values_at_start(graph, _SCALE * x), values_at_start(graph, -x)
  scale = (INVARIANT if _equal(scaled, y) else PROPORTIONAL if _equal(scaled, _SCALE * y) else OTHER)
  symmetry = ODD if _equal(mirrored, -y) else EVEN if _equal(mirrored, y) else NEITHER
  return _dependence(graph, x, y), scale, symmetry


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
  """Returns whether two outputs are equal up to a term in each channel; never if one is not finite."""
  axes = tuple(range(a.ndim - 1))
  with np.errstate(all='ignore'):
    difference = a - b
    return bool(np.all(difference.std(axes) <= _TOLERANCE * b.std(axes)))


def _dependence(graph: LayerGraph, x: np.ndarray, y: np.ndarray) -> str:
  """Returns what the outputs of the first image depend on, by other values in other images, and in half of its own."""
  others, half = x.copy(), x.copy()
  others[1:] = 2 * others[1:] + 1
  half[0, 2:] = 2 * half[0, 2:] + 1
  channel = x.copy()
  channel[0, ..., 1:] = 2 * channel[0, ..., 1:] + 1
  with np.errstate(all='ignore'):
    most = _LEAST_CHANGE * np.nanstd(y)

  def changes(changed: np.ndarray, part: tuple) -> bool:
    return not np.allclose(values_at_start(graph, changed)[part], y[part], rtol=0, atol=most, equal_nan=True)

  if changes(others, (0,)):
    return BATCH
  return SAMPLE if changes(half, (0, slice(2))) or changes(channel, (0, ..., 0)) else POINTWISE
