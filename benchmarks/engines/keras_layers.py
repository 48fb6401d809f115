"""The layers that the benchmark measures on every engine."""

from typing import Any

from evonorm_tf import keras3

BASELINES = ('bn_relu', 'bn_silu')
EVONORMS = ('evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2')
BOTH_GRADIENTS = ('evonorm_b0', 'evonorm_s0')  # measured with the gradient that keeps little and the engine's own
EPSILON, GROUPS = 1e-5, 32  # of the plain forms
POLICIES = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}


def make_layer(name: str, channels: int, dtype: str, own_gradient: bool = True) -> Any:
  """Returns a built layer.

  Args:
    name: the layer's name for `get_norm_act`.
    channels: the number of channels of its input.
    dtype: 'float32' or 'bfloat16', the dtype of its input; its weights are float32.
    own_gradient: False leaves the gradient of an EvoNorm to the engine.
  """
  layer = keras3.get_norm_act(name, dtype=POLICIES[dtype])()
  layer.build((None, None, None, channels))
  if not own_gradient:
    layer._gradient = None  # noqa: SLF001  there is no option: nobody else wants it
  return layer
