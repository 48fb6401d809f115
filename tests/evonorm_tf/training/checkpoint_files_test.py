"""Damaged checkpoints: each kind is found and named, and the newest that can be read is used."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.training import checkpoint_files
from evonorm_tf.training.checkpoint_files import damage
from evonorm_tf.training.checkpoint_files import DamagedCheckpointsError
from evonorm_tf.training.checkpoint_files import find_checkpoints
from evonorm_tf.training.checkpoint_files import newest_readable
from tests.evonorm_tf.damaged_checkpoints import contents
from tests.evonorm_tf.damaged_checkpoints import DAMAGES
from tests.evonorm_tf.damaged_checkpoints import flip


@pytest.fixture
def folder(tmp_path):
  """The folder of three checkpoints, of steps 2, 4 and 10, with a text and 1,000 numbers each."""
  step, values, text = tf.Variable(0), tf.Variable(np.zeros(1000, np.float32)), tf.Variable('text')
  manager = tf.train.CheckpointManager(tf.train.Checkpoint(a=values, t=text, step=step), str(tmp_path), max_to_keep=3)
  for number in (2, 4, 10):
    step.assign(number)
    values.assign(np.random.default_rng(number).normal(size=1000).astype(np.float32))
    manager.save(checkpoint_number=step)
  return tmp_path


def names(paths):
  return [pathlib.Path(path).name for path in paths]


def test_all_are_found_by_the_file_checkpoint_and_without_it(folder):
  assert names(find_checkpoints(str(folder))) == ['ckpt-10', 'ckpt-4', 'ckpt-2']
  for content in (None, b'', b'\xff\xfe', b'garbage', b'model_checkpoint_path: "ckpt-99"\n'):
    (folder / 'checkpoint').unlink(missing_ok=True)
    if content is not None:
      (folder / 'checkpoint').write_bytes(content)
    found = names(find_checkpoints(str(folder)))
    assert found == ['ckpt-99'] * (content is not None and b'99' in content) + ['ckpt-10', 'ckpt-4', 'ckpt-2']
  assert find_checkpoints(str(folder / 'nowhere')) == []


@pytest.mark.parametrize('kind', DAMAGES)
def test_each_damage_is_named_and_the_next_one_is_taken(folder, kind):
  reports, newest = [], str(folder / 'ckpt-10')
  assert newest_readable(str(folder), reports.append) == newest and not reports
  file = DAMAGES[kind](folder, 'ckpt-10')
  before = contents(folder)
  used = newest_readable(str(folder), reports.append)
  report, = reports
  assert f"'{folder / file}" in report and '\n' not in report and '{{' not in report
  assert pathlib.Path(used).name == ('ckpt-10' if 'names another' in kind else 'ckpt-4')
  assert report.endswith(f'Using the newest checkpoint that can be read: {used}.') and contents(folder) == before


def test_a_flipped_bit_anywhere_is_found_or_changes_no_value(folder):
  reader = tf.train.load_checkpoint(str(folder / 'ckpt-10'))
  whole = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
  rng, missed = np.random.default_rng(0), 0
  for file in (folder / 'ckpt-10.index', folder / 'ckpt-10.data-00000-of-00001'):
    content = file.read_bytes()
    for position in rng.integers(8 * len(content), size=150):
      file.write_bytes(flip(content, int(position)))
      if damage(str(folder / 'ckpt-10')) is None:
        missed += 1
        reader = tf.train.load_checkpoint(str(folder / 'ckpt-10'))
        assert all(np.array_equal(reader.get_tensor(name), value) for name, value in whole.items())
    file.write_bytes(content)
  assert missed < 60  # padding, and what nothing reads


def test_where_none_can_be_read_all_are_named_and_nothing_changes(folder):
  for name in ('ckpt-2', 'ckpt-4', 'ckpt-10'):
    DAMAGES['data cut'](folder, name)
  before = contents(folder)
  with pytest.raises(DamagedCheckpointsError, match=r'(?s)No checkpoint in .* can be read, and none was changed: '
                                                    r'.*ckpt-10\.data.*ckpt-4\.data.*ckpt-2\.data'):
    newest_readable(str(folder))
  assert contents(folder) == before
  assert newest_readable(str(folder / 'nowhere')) is None


def test_a_warning_says_so_by_default(folder, caplog):
  DAMAGES['shard missing'](folder, 'ckpt-10')
  checkpoint_files.newest_readable(str(folder))
  assert "ckpt-10.data-00000-of-00001' is missing. Using the newest" in caplog.text


@pytest.mark.parametrize('damaged', [0, 1])
def test_of_several_data_files_the_missing_one_is_named(tmp_path, damaged):
  """TensorFlow writes several when several hosts save their variables."""
  for number in range(2):
    tf.raw_ops.SaveV2(prefix=str(tmp_path / f'part-{number}'), tensor_names=[f'v{number}'], shape_and_slices=[''],
                      tensors=[tf.ones(9)])
  prefix = str(tmp_path / 'ckpt-1')
  tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(tmp_path / f'part-{n}') for n in range(2)],
                                destination_prefix=prefix, delete_old_dirs=False)
  assert damage(prefix) is None
  shard = tmp_path / f'ckpt-1.data-0000{damaged}-of-00002'
  shard.write_bytes(b'')
  assert damage(prefix).startswith(f"one of '{prefix}.data-*' is damaged (")
  shard.unlink()
  assert damage(prefix) == f"'{shard}' is missing"
