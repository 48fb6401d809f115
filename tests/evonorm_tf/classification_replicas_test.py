"""The classification trainer on two replicas, the logical CPUs of conftest; one device is the reference."""

import numpy as np
import pytest

from tests.evonorm_tf import tiny_training
from tests.evonorm_tf.tiny_training import TinyData
from tests.evonorm_tf.tiny_training import weights

DATA = TinyData(padding=0, train_images=24, validation_images=21)  # the replicas get different numbers of the latter


def run(model_dir, strategy, norm_act, options, epochs=2):
  """Trains epochs of two steps; returns the results."""
  return tiny_training.run(
      model_dir, norm_act=norm_act, learning_rate=1., decay='cosine', data=DATA, strategy=strategy, batch_size=12,
      eval_batch_size=4, weight_decay=1e-3, dropout=0., steps_per_loop=2, epochs=epochs,
      norm_act_options=options)


def greatest_difference(actual, expected):
  assert actual.keys() == expected.keys()
  return max(np.abs(actual[name] - expected[name]).max() for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize('norm_act, options', [
    ('evonorm_b0', {'synchronized': True}),
    ('evonorm_s0', {'jit_compile': False}),  # as replicas compute it anyway
    ('bn_relu', {'synchronized': True})], ids=['B0', 'S0', 'BN-ReLU'])
def test_two_replicas_train_as_one_device(tmp_path, norm_act, options):
  single = run(tmp_path / 'single', 'one_device', norm_act, options)
  double = run(tmp_path / 'double', 'mirrored', norm_act, options)
  assert greatest_difference(weights(tmp_path / 'double'), weights(tmp_path / 'single')) < 1e-5
  assert double['accuracy'] == single['accuracy']
  np.testing.assert_allclose(double['validation_loss'], single['validation_loss'], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('norm_act, options, difference', [  # those of docs/training.md; a ReLU can jump at its kink
    ('evonorm_b0', {'synchronized': True}, 8e-5), ('evonorm_s0', {'jit_compile': False}, 2e-7),
    ('bn_silu', {'synchronized': True}, 5e-7)], ids=['B0', 'S0', 'BN-SiLU'])
def test_weights_after_twenty_steps(tmp_path, norm_act, options, difference):
  for strategy in ('one_device', 'mirrored'):
    assert run(tmp_path / strategy, strategy, norm_act, options, epochs=10)['step'] == 20
  actual = greatest_difference(weights(tmp_path / 'mirrored'), weights(tmp_path / 'one_device'))
  assert actual < 3 * difference  # another CPU rounds otherwise
