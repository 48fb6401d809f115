"""The classification trainer on tiny networks: exact resume, refusals, the guard against NaN, evaluation."""

import io
import shutil

import numpy as np
import pytest
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.training.log import TrainingLog
from tests.evonorm_tf.damaged_checkpoints import contents
from tests.evonorm_tf.damaged_checkpoints import DAMAGES
from tests.evonorm_tf.tiny_training import run
from tests.evonorm_tf.tiny_training import TinyData
from tests.evonorm_tf.tiny_training import weights

DECAY = .9


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  return folder, run(folder, ema_decay=DECAY)


@pytest.mark.slow
@pytest.mark.parametrize('ema_decay', [DECAY, None])
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


@pytest.mark.parametrize('kind', ['data cut', pytest.param('index garbage', marks=pytest.mark.slow)])
def test_a_damaged_checkpoint_ends_bitwise_like_another(trained, tmp_path, kind, caplog):
  folder = shutil.copytree(trained[0], tmp_path / 'damaged')
  file = DAMAGES[kind](folder, 'ckpt-8')
  DAMAGES[kind](folder / 'best', tf.train.latest_checkpoint(folder / 'best').rpartition('/')[2])
  results = run(folder, ema_decay=DECAY)
  assert f"/{file}' is damaged" in caplog.text and 'ckpt-4.' in caplog.text
  assert results['accuracy'] == trained[1]['accuracy'] and 'the best results so far do not count' in caplog.text
  for name, value in weights(trained[0]).items():
    np.testing.assert_array_equal(weights(folder)[name], value, err_msg=name)
  assert weights(folder / 'best').keys() == weights(trained[0] / 'best').keys()


@pytest.mark.parametrize('mode', ['train', 'train_and_eval', 'eval', 'export'])
def test_where_no_checkpoint_can_be_read_nothing_begins_and_nothing_is_deleted(trained, tmp_path, mode, monkeypatch):
  folder = shutil.copytree(trained[0], tmp_path / 'damaged')
  for name in ('ckpt-4', 'ckpt-8'):
    DAMAGES['shard missing'](folder, name)
  before = contents(folder)
  monkeypatch.setattr(TinyData, 'check', None)  # the data come next
  with pytest.raises(ArgumentError, match=r"(?s)No checkpoint .*/ckpt-8\.data.*/ckpt-4\.data"):
    run(folder, mode=mode, ema_decay=DECAY)
  assert contents(folder) == before


def test_a_folder_that_goes_away_ends_the_training_and_is_not_made_anew(tmp_path, monkeypatch):
  folder, show = tmp_path / 'model', TrainingLog.__call__

  def removing(log, output):
    show(log, output)
    if int(log._global_step) == 2:
      shutil.rmtree(folder)

  monkeypatch.setattr(TrainingLog, '__call__', removing)
  with pytest.raises(ModelDirError, match='training.lock: .* was removed, moved or replaced during this training'):
    run(folder)
  assert not [path for path in folder.rglob('*') if path.is_file() and 'tfevents' not in path.name]


def test_an_evaluation_needs_no_folder_to_write_to(trained, monkeypatch):
  folder, console = trained[0], Console(file=io.StringIO(), width=80)
  before = contents(folder)

  def refuse(path, *_, **__):
    raise tf.errors.PermissionDeniedError(
        None, None, '{{function_node __wrapped__CreateSummaryFileWriter}} ' + f'{path}; Read-only file system [Op:A]')

  monkeypatch.setattr(tf.summary, 'create_file_writer', refuse)
  results = run(folder, mode='eval', ema_decay=DECAY, console=console)
  assert results['accuracy'] == trained[1]['accuracy'] and contents(folder) == before
  said = console.file.getvalue()
  assert f"The results are not stored: [Errno 30] Read-only file system: '{folder}/validation" in said
  assert 'accuracy' in said.partition('not stored')[2]


@pytest.mark.parametrize('name', ['[1]', 'a*', 'b?', 'c\\d'])
def test_a_folder_that_tensorflow_takes_for_a_pattern_is_refused_before_any_work(tmp_path, name):
  with pytest.raises(ArgumentError, match=r"`model_dir` must be a path without any of \* \? \[ \\, .* received '.*'"):
    run(tmp_path / name)
  assert not list(tmp_path.iterdir())


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
