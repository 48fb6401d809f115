"""The settings of a model directory: kept and compared."""

import json

import pytest
import tensorflow as tf

from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.training import model_settings

SETTINGS = {'layer': {'name': 'evonorm_s0', 'groups': 32}, 'input_size': (32, 32, 3), 'loss_scale': None}


def test_the_same_settings_pass_again(tmp_path):
  model_settings.check_or_record(tmp_path / 'new' / 'model', SETTINGS)
  model_settings.check_or_record(tmp_path / 'new' / 'model', SETTINGS)
  model_settings.check(tmp_path / 'new' / 'model', SETTINGS)
  path = tmp_path / 'new' / 'model' / model_settings.FILE
  assert json.loads(path.read_text()) == {**SETTINGS, 'input_size': [32, 32, 3]}


@pytest.mark.parametrize('changed, message', [
    ({'layer': {'name': 'evonorm_s0', 'groups': 16}}, r'`layer.groups` is 16 here and 32 there\. '),
    ({'layer': {'name': 'evonorm_s0'}}, '`layer.groups` is None here and 32 there'),
    ({'loss_scale': 'dynamic'}, "`loss_scale` is 'dynamic' here and None there"),
    ({'optimizer': 'sgd', 'input_size': [24, 24, 3]}, r'`input_size` is \[24, .*\[32, .*; `optimizer` is .sgd.')])
def test_others_are_named_and_change_nothing(tmp_path, changed, message):
  model_settings.check_or_record(tmp_path, SETTINGS)
  before = (tmp_path / model_settings.FILE).read_bytes()
  for check in (model_settings.check_or_record, model_settings.check):
    with pytest.raises(ModelDirError, match=message):
      check(tmp_path, SETTINGS | changed)
  assert (tmp_path / model_settings.FILE).read_bytes() == before


def test_checkpoints_without_settings_are_refused(tmp_path):
  tf.train.CheckpointManager(tf.train.Checkpoint(v=tf.Variable(1.)), str(tmp_path), 1).save()
  with pytest.raises(ModelDirError, match='holds checkpoints, but no model_settings.json'):
    model_settings.check_or_record(tmp_path, SETTINGS)
  assert not (tmp_path / model_settings.FILE).exists()


def test_a_file_of_something_else_is_refused(tmp_path):
  (tmp_path / model_settings.FILE).write_text('{"layer": ')
  with pytest.raises(ModelDirError, match='model_settings.json. is not readable as JSON'):
    model_settings.check_or_record(tmp_path, SETTINGS)


@pytest.mark.parametrize('content', ['[1, 2]', '3'])
def test_json_of_something_else_is_refused(tmp_path, content):
  (tmp_path / model_settings.FILE).write_text(content)
  with pytest.raises(ModelDirError, match='is .* here and .* there'):
    model_settings.check(tmp_path, SETTINGS)
