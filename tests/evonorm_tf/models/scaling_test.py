"""Tests of the multipliers: numbers worked by hand, the guards against rounding, error messages."""

import pytest

from evonorm_tf import checks
from evonorm_tf.models import scaling


@pytest.mark.parametrize('channels, multiplier, expected', [
    (64, 1.0, 64),
    (24, 0.35, 8),  # 8.4 is nearer to 8
    (32, 0.35, 16),  # 11.2 is nearer to 8, which is below 90% of it
    (16, 0.1, 8),  # never below 8
    (1280, 1.1, 1408),
    (12, 1.0, 16),  # halfway goes up
])
def test_channels_are_rounded_to_multiples_of_eight(channels, multiplier, expected):
  assert scaling.scale_channels(channels, multiplier) == expected


def test_channels_never_fall_below_ninety_percent():
  for channels in range(8, 700):
    scaled = scaling.scale_channels(channels, 0.7)
    assert scaled % 8 == 0 and 0.9 * 0.7 * channels <= scaled <= 0.7 * channels + 8


@pytest.mark.parametrize('blocks, multiplier, expected', [
    (3, 1.1, 4),
    (4, 3.1, 13),
    (4, 0.25, 1),
    (1, 0.01, 1),
    (3, 1e-9, 1),  # a stage keeps a block
    (10, 1.1, 11),  # 11.000000000000002 in floating point
])
def test_blocks_are_rounded_up(blocks, multiplier, expected):
  assert scaling.scale_blocks(blocks, multiplier) == expected


@pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf')])
def test_positive_names_the_argument(value):
  checks.check_positive(width=1, depth=0.1)
  with pytest.raises(ValueError, match=rf'`depth` must be positive, received {value}\.'):
    checks.check_positive(width=1, depth=value)


@pytest.mark.parametrize('value', [-0.1, 1.0, float('nan')])
def test_rate_names_the_argument(value):
  checks.check_rate(dropout=0, drop_connect=0.999)
  with pytest.raises(ValueError, match=rf'`dropout` must be at least 0 and below 1, received {value}\.'):
    checks.check_rate(dropout=value)
