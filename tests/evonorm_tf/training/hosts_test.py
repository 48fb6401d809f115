"""What one host can tell of several: its folder, and whether all are at one step. Two real hosts: train_test.py."""

import json
import types

import pytest
import tensorflow as tf

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.training import checkpoint_files
from evonorm_tf.training import hosts

CHIEF, OTHER = (types.SimpleNamespace(extended=types.SimpleNamespace(should_checkpoint=is_chief))
                for is_chief in (True, False))


def save(folder, *values):
  """Saves one checkpoint a value; keeps all."""
  variable = tf.Variable(0.)
  manager = tf.train.CheckpointManager(tf.train.Checkpoint(v=variable), str(folder), max_to_keep=None)
  for value in values:
    variable.assign(value)
    manager.save()


def restored(folder):
  variable = tf.Variable(0.)
  tf.train.Checkpoint(v=variable).restore(tf.train.latest_checkpoint(folder)).assert_existing_objects_matched()
  return float(variable)


def contents(folder):
  return sorted(path.relative_to(folder) for path in folder.rglob('*'))


def test_the_chief_has_the_model_directory_itself(tmp_path):
  assert hosts.own_folder(str(tmp_path), CHIEF) == str(tmp_path) and not contents(tmp_path)


def test_others_have_the_newest_checkpoint_and_the_best_results_in_memory(tmp_path):
  save(tmp_path, 9., 10., 11.)
  save(tmp_path / 'best', 10.)
  (tmp_path / 'best' / 'info.json').write_text('{"accuracy": 0.5}')
  before = contents(tmp_path)
  folder = hosts.own_folder(str(tmp_path), OTHER)
  assert folder.startswith('ram://') and restored(folder) == 11.
  assert sum(name.startswith('ckpt-') for name in tf.io.gfile.listdir(folder)) == 2  # index and data of one
  with tf.io.gfile.GFile(f'{folder}/best/info.json') as file:
    assert json.load(file) == {'accuracy': .5}
  save(folder, 12.)
  assert restored(folder) == 12. and restored(str(tmp_path)) == 11. and contents(tmp_path) == before


def test_others_take_what_the_chief_takes_where_files_are_damaged(tmp_path, caplog):
  save(tmp_path, 9., 10., 11.)
  save(tmp_path / 'best', 10.)
  (tmp_path / 'best' / 'info.json').write_text('{"accuracy": 0.5}')
  (tmp_path / 'ckpt-3.index').write_bytes(b'garbage')
  (tmp_path / 'best' / 'ckpt-1.index').unlink()
  folder = hosts.own_folder(str(tmp_path), OTHER)
  assert checkpoint_files.newest_readable(folder) == f'{folder}/ckpt-2' and 'ckpt-3' in caplog.text
  assert not tf.io.gfile.exists(f'{folder}/best/info.json')  # the results of a checkpoint that is lost


def test_nothing_is_left_of_an_earlier_training(tmp_path):
  save(tmp_path / 'earlier', 1.)
  hosts.own_folder(str(tmp_path / 'earlier'), OTHER)
  folder = hosts.own_folder(str(tmp_path / 'new'), OTHER)
  assert tf.train.latest_checkpoint(folder) is None
  assert [name.strip('/') for name in tf.io.gfile.listdir(folder)] == ['best']
  assert not (tmp_path / 'new').exists()


def test_steps_that_differ_are_refused():
  strategy = get_strategy('mirrored')
  with strategy.scope():
    step = tf.Variable(7, dtype=tf.int64, synchronization=tf.VariableSynchronization.ON_READ,
                       aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)  # one a replica, as one a host
  hosts.check_same_step(strategy, step)
  strategy.run(lambda: step.assign_add(3 * tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group,
                                                   tf.int64)))
  with pytest.raises(ValueError, match=r'`model_dir` must be a folder that all hosts share, .* of steps \[7, 10\]'):
    hosts.check_same_step(strategy, step)


def test_one_device_agrees_with_itself():
  hosts.check_same_step(get_strategy('one_device'), tf.Variable(3, dtype=tf.int64))
