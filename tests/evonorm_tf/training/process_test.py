"""A model directory has one training at a time and one model; the process is afterwards as it was before."""

import fcntl
import types

import orbit
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.training import model_settings
from evonorm_tf.training.process import process_state
from evonorm_tf.training.process import reserved

ONE_DEVICE = get_strategy('one_device')
OTHER_HOST = types.SimpleNamespace(extended=types.SimpleNamespace(should_checkpoint=False))


def test_a_training_locks_its_directory_while_it_runs(tmp_path):
  folder = tmp_path / 'new' / 'model'
  with reserved(str(folder), 'train', {'depth': 8}, ONE_DEVICE):
    with open(folder / 'training.lock', 'a') as file, pytest.raises(OSError):
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with reserved(str(folder), 'eval', {'depth': 8}, ONE_DEVICE):
      pass  # who only reads may
  with open(folder / 'training.lock', 'a') as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize('mode, strategy', [
    ('train', ONE_DEVICE), ('train_and_eval', OTHER_HOST), ('eval', ONE_DEVICE), ('export', ONE_DEVICE)])
def test_another_model_is_refused(tmp_path, mode, strategy):
  model_settings.check_or_record(tmp_path, {'depth': 8})
  with pytest.raises(ValueError, match='`depth` is 20 here and 8 there'):
    with reserved(str(tmp_path), mode, {'depth': 20}, strategy):
      pass


def test_a_host_besides_the_chief_makes_nothing(tmp_path):
  with reserved(str(tmp_path / 'new'), 'train', {'depth': 8}, OTHER_HOST):
    assert not (tmp_path / 'new').exists()


def test_policy_step_and_silence_end_with_an_error(restored_policy):
  policy = tf_keras.mixed_precision.global_policy().name
  with pytest.raises(ZeroDivisionError), process_state('mixed_bfloat16'):
    assert tf_keras.mixed_precision.global_policy().name == 'mixed_bfloat16'
    tf.summary.experimental.set_step(7)
    assert orbit.controller.print('message') is None and hasattr(orbit.controller, 'print')
    1 / 0
  assert tf_keras.mixed_precision.global_policy().name == policy
  assert tf.summary.experimental.get_step() is None and not hasattr(orbit.controller, 'print')
