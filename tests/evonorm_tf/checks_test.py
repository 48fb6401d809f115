"""Bad arguments are named, good ones pass."""

import numpy as np
import pytest

from evonorm_tf import checks


def test_choices():
  checks.check_choices(mode=('a', ('a', 'b')), precision=('c', ('c',)))
  with pytest.raises(ValueError, match=r"`precision` must be one of \('c',\), received 'd'"):
    checks.check_choices(mode=('a', ('a', 'b')), precision=('d', ('c',)))


@pytest.mark.parametrize('least, value', [(1, 0), (1, 1.), (1, '1'), (0, -1), (0, 2**32), (0, None)])
def test_integers(least, value):
  checks.check_integers(least, first=least, second=np.int64(7), last=2**32 - 1)
  with pytest.raises(ValueError, match=f'`number` must be an integer of at least {least} and below 2³², received'):
    checks.check_integers(least, first=least, number=value)
