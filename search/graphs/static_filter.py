"""The static filter: rejects graphs that cannot work, without TensorFlow, at tens of thousands a second.

A graph is run once in NumPy on a fixed random probe, with v0 and v1 at their initial values 0 and 1. It rejects
nineteen of twenty uniformly random graphs. The paper has no such filter: its quality test rejects these graphs after
100 training steps on its cluster.
"""

import numpy as np

from evonorm_tf.graph.layer_graph import LayerGraph

INDEPENDENT = 'output does not depend on x'
NON_FINITE = 'output is not finite on a probe'
CONSTANT = 'output is constant on a probe'
CONSTANT_OVER_SPACE = 'output does not vary over space on a probe'
REASONS = (INDEPENDENT, NON_FINITE, CONSTANT, CONSTANT_OVER_SPACE)

GROUPS, CHANNELS = 4, 16
TOLERANCE = 1e-5  # of the output's largest magnitude; float32 rounding is well below

# Channels of different mean and scale, so that no two moments agree on the probe by chance.
_RNG = np.random.default_rng(0)
_PROBE = (_RNG.normal(size=(4, 4, 4, CHANNELS)) * _RNG.uniform(.5, 2., CHANNELS) +
          _RNG.normal(size=CHANNELS)).astype(np.float32)
_ZEROS, _ONES = np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32)


def static_rejection(graph: LayerGraph) -> str | None:
  """Returns why the graph cannot work, one of `REASONS`, or None if it may."""
  if 0 not in graph.live:
    return INDEPENDENT
  with np.errstate(all='ignore'):
    y = graph.evaluate(_PROBE, _ZEROS, _ONES, GROUPS)
    high, low = y.max((1, 2)), y.min((1, 2))
  magnitude = max(abs(high.max()), abs(low.min()))
  if not np.isfinite(magnitude):
    return NON_FINITE
  if high.max() - low.min() <= TOLERANCE * magnitude:
    return CONSTANT
  if (high - low).max() <= TOLERANCE * magnitude:
    return CONSTANT_OVER_SPACE
  return None
