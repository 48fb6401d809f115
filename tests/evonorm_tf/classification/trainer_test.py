"""The classification trainer on tiny networks: exact resume, refusals, the guard against NaN, evaluation."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.evonorm_tf.tiny_training import run
from tests.evonorm_tf.tiny_training import weights

DECAY = .9


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  return folder, run(folder, ema_decay=DECAY)


@pytest.mark.parametrize('ema_decay', [DECAY, pytest.param(None, marks=pytest.mark.slow)])
def test_an_interrupted_training_ends_bitwise_like_another(trained, tmp_path, ema_decay):
  """With dropout; and with an average of the weights, which every evaluation swaps in and out."""
  straight = trained[0] if ema_decay else tmp_path / 'straight'
  if not ema_decay:
    run(straight)
  run(tmp_path / 'parts', epochs=1, ema_decay=ema_decay)
  run(tmp_path / 'parts', epochs=2, ema_decay=ema_decay)
  expected, actual = weights(straight), weights(tmp_path / 'parts')
  assert expected.keys() == actual.keys() and len(expected) > 40
  for name, value in expected.items():
    np.testing.assert_array_equal(actual[name], value, err_msg=name)


def test_a_finished_training_is_evaluated_again(trained):
  folder, results = trained
  again = run(folder, ema_decay=DECAY)
  assert again['step'] == results['step'] == 8
  for name in ('accuracy', 'top_5_accuracy', 'validation_loss'):
    np.testing.assert_allclose(again[name], results[name], rtol=1e-6)


def test_checkpoints_of_another_layer_are_refused(trained):
  with pytest.raises(ValueError, match="`norm_act_resnet.norm_act` is 'bn_relu' here and 'evonorm_b0' there"):
    run(trained[0], norm_act='bn_relu', ema_decay=DECAY)


def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_good_checkpoints(tmp_path):
  policy = tf_keras.mixed_precision.global_policy()
  with pytest.raises(FloatingPointError, match=r'Training stopped, for .* step \d+'):
    run(tmp_path, norm_act='bn_relu', learning_rate=1e30, epochs=8, precision='mixed_bfloat16')
  if tf.train.latest_checkpoint(str(tmp_path)):
    assert all(np.isfinite(value).all() for value in weights(tmp_path).values())
  assert tf_keras.mixed_precision.global_policy().name == policy.name


@pytest.mark.parametrize('options, message', [
    (dict(mode='trian'), '`mode`'), (dict(precision='float8'), '`precision`'), (dict(batch_size=0), '`batch_size`'),
    (dict(epochs=-1), '`epochs`'), (dict(norm_act='evonorm_z9'), '`spec`'), (dict(mode='eval'), '`model_dir`'),
    (dict(jit_compile=True, strategy='mirrored'), '`jit_compile=True`')])
def test_bad_arguments_fail_before_any_work(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    run(tmp_path / 'new', **options)
  assert not (tmp_path / 'new').exists()
