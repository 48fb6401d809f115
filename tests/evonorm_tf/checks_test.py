"""Bad arguments are named, good ones pass."""

import numpy as np
import pytest

from evonorm_tf import checks
from evonorm_tf.training import config


def test_choices():
  checks.check_choices(mode=('a', ('a', 'b')), precision=('c', ('c',)))
  with pytest.raises(ValueError, match=r"`precision` must be one of \('c',\), received 'd'"):
    checks.check_choices(mode=('a', ('a', 'b')), precision=('d', ('c',)))


@pytest.mark.parametrize('least, value', [(1, 0), (1, 1.), (1, '1'), (0, -1), (0, 2**32), (0, None)])
def test_integers(least, value):
  checks.check_integers(least, first=least, second=np.int64(7), last=2**32 - 1)
  with pytest.raises(ValueError, match=f'`number` must be an integer of at least {least} and below 2³², received'):
    checks.check_integers(least, first=least, number=value)


def test_layers_and_their_options():
  config.check_norm_act('evonorm_s0', {'groups': 8})
  with pytest.raises(ValueError, match="`norm_act_options` must be arguments of 'evonorm_s0', received {'group': 8}"):
    config.check_norm_act('evonorm_s0', {'group': 8})


def test_xla_is_for_one_replica():
  config.check_jit_compile(True, {'synchronized': False}, 'one_device')
  config.check_jit_compile(False, {'synchronized': True}, 'mirrored')
  with pytest.raises(ValueError, match="`jit_compile=True` needs strategy='one_device', received 'tpu'"):
    config.check_jit_compile(True, {}, 'tpu')
  with pytest.raises(ValueError, match="`jit_compile=True` needs statistics that are not synchronized"):
    config.check_jit_compile(True, {'synchronized': True}, 'one_device')
