"""What a layer computes where training begins, at v0 = 0 and v1 = 1, on a fixed batch; how different two layers are."""

import functools

import numpy as np

from evonorm_tf.graph.layer_graph import LayerGraph

GROUPS = 2
_SHAPE = 4, 4, 4, 8  # of the probe, [N, H, W, C]
_POSITIONS = 0, 1, 2
_KEPT = 4000  # outputs, 16 MB
_LEAST_DEVIATION = 1e-9  # of the largest magnitude; below it is rounding


@functools.cache
def probe() -> np.ndarray:
  """Returns a batch whose channels have different means and deviations, [4, 4, 4, 8]."""
  channels = np.arange(_SHAPE[-1])
  normal = np.random.default_rng(0).normal(size=_SHAPE)
  x = normal * np.linspace(.5, 1.5, len(channels)) + np.where(channels % 2, .5, -.5)
  x.setflags(write=False)
  return x


def values_at_start(graph: LayerGraph, x: np.ndarray) -> np.ndarray:
  """Returns the outputs of a layer graph at v0 = 0 and v1 = 1, of the shape of `x`, not finite where they overflow.

  Args:
    graph: the layer graph; group moments have `GROUPS` groups.
    x: a batch, [N, H, W, C].
  """
  channels = x.shape[-1]
  with np.errstate(all='ignore'):
    return np.broadcast_to(graph.evaluate(x, np.zeros(channels), np.ones(channels), GROUPS), x.shape)


def difference_at_start(graph: LayerGraph, other: LayerGraph) -> float:
  """Returns how different two layers are where training begins, up to γ and β: from 0 to √2.

  It is √(2·(1 − ρ)), where ρ is the magnitude of the outputs' correlation over the positions of the probe, in the mean
  over its channels. So it is the root mean square of the difference of the outputs, each scaled in each channel to mean
  0 and variance 1, and turned to the same sign. A channel that is constant or not finite has correlation 0 with all
  others.

  Args:
    graph: a layer graph.
    other: another one.

  Example:
    >>> from search.graphs import known_graph
    >>> from search.graphs.start_values import difference_at_start
    >>> round(difference_at_start(known_graph('bn_relu'), known_graph('bn_relu')), 6)
    0.0
  """
  product = _standardized(graph) * _standardized(other)
  correlation = np.abs(product.mean(_POSITIONS)).mean()
  return float(np.sqrt(max(2 * (1 - correlation), 0.)))


@functools.lru_cache(maxsize=_KEPT)
def _standardized(graph: LayerGraph) -> np.ndarray:
  """Returns the outputs on the probe, scaled in each channel to mean 0 and variance 1; 0 where that is impossible."""
  y = values_at_start(graph, probe())
  with np.errstate(all='ignore'):
    centred = y - y.mean(_POSITIONS)
    deviation = centred.std(_POSITIONS)
    return np.where(np.isfinite(deviation) & (deviation > _LEAST_DEVIATION * np.abs(y).max(_POSITIONS)),
                    centred / deviation, 0.)
