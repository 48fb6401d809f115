"""The GAN trainer on two replicas, the logical CPUs of conftest; one device is the reference."""

import numpy as np
import pytest

from gan.training.optimizer import Adams
from tests.evonorm_tf.tiny_training import weights
from tests.gan.tiny_gan import run
from tests.gan.tiny_gan import settings


@pytest.mark.slow
@pytest.mark.parametrize('norm_act, options, rounding', [
    ('evonorm_s0', {}, 1e-5), ('bn_relu', {'synchronized': True}, 1e-5),
    ('evonorm_b0', {'synchronized': True}, 1e-4)])  # 3e-5 on some CPUs; statistics of one replica alone: 0.5
def test_two_replicas_train_as_one_device(tmp_path, norm_act, options, rounding):
  results = {}
  for strategy in ('one_device', 'mirrored'):
    # An ε that keeps Adam's first steps from magnifying rounding errors of gradients close to 0.
    results[strategy] = run(
        tmp_path / strategy, norm_act=norm_act, norm_act_options=options, strategy=strategy, standing_batches=2,
        step=settings(accumulations=2, orthogonal=1e-3), adams=Adams(.05, .05, epsilon=1e-3))
  expected, actual = (weights(tmp_path / strategy) for strategy in results)
  assert expected.keys() == actual.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(actual[name], value, rtol=0, atol=rounding, err_msg=name)
  for name in ('fid', 'inception_score', 'kid'):
    assert results['mirrored'][name] == pytest.approx(results['one_device'][name], rel=1e-3, abs=1e-5), name
