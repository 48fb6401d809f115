"""Scaling of a network's channels and blocks by width and depth multipliers.

Channels are rounded as in MobileNetV2 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381) and numbers of blocks as
in EfficientNet (Tan and Le, 2019, https://arxiv.org/abs/1905.11946). ResNet, which has no published rule, follows both.
"""

import math

CHANNEL_DIVISOR = 8


def scale_channels(channels: int, multiplier: float) -> int:
  """Returns channels·multiplier, rounded to a multiple of 8 that is at least 8 and at least 90% of the product.

  Args:
    channels: the number of channels.
    multiplier: the factor, positive.
  """
  scaled = channels * multiplier
  rounded = max(CHANNEL_DIVISOR, int(scaled + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
  return rounded if rounded >= 0.9 * scaled else rounded + CHANNEL_DIVISOR


def scale_blocks(blocks: int, multiplier: float) -> int:
  """Returns blocks·multiplier rounded up, at least 1.

  Args:
    blocks: the number of blocks of a stage.
    multiplier: the factor, positive.
  """
  # 10 * 1.1 is 11.000000000000002 in floating point: that must be 11 blocks, not 12.
  return max(1, math.ceil(round(blocks * multiplier, 6)))
