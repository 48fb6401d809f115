"""The static filter: rejects layer graphs that cannot work, tens of thousands a second and without TensorFlow.

It evaluates a graph once in NumPy on the probe, a fixed random input, with v0 and v1 at their initial values 0 and 1.
It rejects four of five random graphs. The paper has no such filter: there, the quality test rejects
these graphs after 100 training steps.
"""

import numpy as np

from evonorm_tf.graph.layer_graph import LayerGraph

# The reasons for a rejection. "Over space" means over the spatial axes of each sample and channel.
INDEPENDENT = 'output does not depend on x'
NON_FINITE = 'output is not finite on a probe'
CONSTANT = 'output is constant on a probe'
CONSTANT_OVER_SPACE = 'output does not vary over space on a probe'
REASONS = (INDEPENDENT, NON_FINITE, CONSTANT, CONSTANT_OVER_SPACE)

GROUPS, CHANNELS = 4, 16
TOLERANCE = 1e-5  # relative to the output's largest magnitude; float32 rounding is well below it

# The probe, [4, 4, 4, CHANNELS]. Its channels differ in mean and scale, so that no two moments agree by chance.
_RNG = np.random.default_rng(0)
_PROBE = (_RNG.normal(size=(4, 4, 4, CHANNELS)) * _RNG.uniform(.5, 2., CHANNELS) +
          _RNG.normal(size=CHANNELS)).astype(np.float32)
_ZEROS, _ONES = np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32)


def static_rejection(graph: LayerGraph) -> str | None:
  """Returns the reason for rejecting a layer graph, or None if it passes the filter.

  Args:
    graph: the layer graph.

  Returns:
    One of `REASONS`: the output does not depend on x, or on the probe it is not finite, is constant, or does not vary
    over the spatial axes. None if none of these holds.
  """
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
