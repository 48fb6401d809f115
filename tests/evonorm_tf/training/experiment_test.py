"""A model directory has one training at a time and one model; the process is as before; help shows all arguments."""

import fcntl
import inspect
import re
import types

import pytest
import tensorflow as tf
import tf_keras

from detection.trainer import run_mask_rcnn
from evonorm_tf.classification.trainer import run_classification
from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.errors import MachineError
from evonorm_tf.training import experiment
from evonorm_tf.training import model_settings
from evonorm_tf.training.experiment import process_state
from evonorm_tf.training.experiment import reserved
from gan.trainer import run_gan
from tests.evonorm_tf import tiny_training

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


def test_policy_and_step_end_with_an_error(restored_policy):
  policy = tf_keras.mixed_precision.global_policy().name
  with pytest.raises(ZeroDivisionError), process_state('mixed_bfloat16'):
    assert tf_keras.mixed_precision.global_policy().name == 'mixed_bfloat16'
    tf.summary.experimental.set_step(7)
    1 / 0
  assert tf_keras.mixed_precision.global_policy().name == policy
  assert tf.summary.experimental.get_step() is None


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path):
  with pytest.raises(MachineError, match='File name too long'):
    tiny_training.run(tmp_path / ('f' * 300))


ROOTS = (run_classification, run_mask_rcnn, run_gan)


@pytest.mark.parametrize('root', ROOTS)
def test_help_documents_every_argument_once(root):
  arguments = inspect.getdoc(root).partition('Args:\n')[2].partition('\n\nReturns:')[0]
  documented = re.findall(r'^  (\w+): \S', arguments, re.MULTILINE)
  assert sorted(documented) == sorted(inspect.signature(root).parameters)
  assert 'The arguments of every trainer' not in arguments and not re.search(r'^    .{117,}', arguments, re.MULTILINE)


@pytest.mark.parametrize('root', ROOTS)
def test_roots_have_type_hints_and_share_their_defaults(root):
  shared = ('norm_act_options', 'eval_batch_size', 'seed', 'strategy', 'tpu', 'precision', 'jit_compile',
            'steps_per_loop', 'checkpoints_to_keep', 'histograms', 'operative_config', 'console')
  parameters, others = inspect.signature(root).parameters, inspect.signature(run_gan).parameters
  assert all(p.annotation is not p.empty for p in parameters.values())
  assert [parameters[name] for name in shared] == [others[name] for name in shared]


def test_an_argument_without_a_text_is_noticed():
  def root(unknown):
    """Runs.

    Args:
      The arguments of every trainer: see `training.config.SharedArguments`.
    """
    del unknown

  with pytest.raises(KeyError, match='unknown'):
    experiment.documents_shared_arguments(root)
