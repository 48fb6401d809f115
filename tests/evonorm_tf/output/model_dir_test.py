"""A model directory: the lock, the settings that differ, and files that are replaced in one step."""

import errno
import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

from evonorm_tf.errors import MachineError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.output import model_dir
from evonorm_tf.output.model_dir import ModelDirError

LOCK = 'import sys; from evonorm_tf.output.model_dir import lock; lock(open(sys.argv[1], "a"), "sweep")'


def test_lock_keeps_others_off_until_the_file_is_closed(tmp_path):
  path = tmp_path / 'lock'
  with open(path, 'a') as file:
    model_dir.lock(file, 'sweep')
    with open(path, 'a') as other, pytest.raises(ModelDirError, match='another process is running this sweep'):
      model_dir.lock(other, 'sweep')
    process = subprocess.run([sys.executable, '-c', LOCK, path], cwd=pathlib.Path(__file__).parents[3],
                             capture_output=True, text=True, check=False)
    assert process.returncode and f'{path}: another process is running this sweep' in process.stderr
  with open(path, 'a') as file:
    model_dir.lock(file, 'sweep')


def test_a_file_system_without_locks_is_told_as_such(tmp_path, monkeypatch):
  def refuse(*_):
    raise OSError(errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(model_dir.fcntl, 'flock', refuse)
  with open(tmp_path / 'lock', 'a') as file:
    with pytest.raises(ModelDirError, match='cannot lock files .No locks available'):
      model_dir.lock(file, 'sweep')


def test_settings_that_differ_are_named_by_their_leaf():
  there = {'same': 1, 'list': [1, 2], 'deep': {'a': 1, 'b': 2}, 'gone': 'x'}
  here = {'same': 1, 'list': (1, 2), 'deep': {'a': 1, 'b': 3}, 'new': 0}
  with pytest.raises(ModelDirError) as error:
    model_dir.check_settings('DIR/sweep.json', there, here, 'sweep')
  assert str(error.value) == (
      'DIR/sweep.json belongs to a sweep of another configuration: `deep.b` is 3 here and 2 there; `gone` is None here '
      "and 'x' there; `new` is 0 here and None there. Give this sweep a `model_dir` of its own.")
  model_dir.check_settings('DIR/sweep.json', {'list': [1, [2]]}, {'list': (1, (2,))}, 'sweep')
  with pytest.raises(ModelDirError, match='Give this conversion an `output` of its own'):
    model_dir.check_settings('DIR/settings.json', {'a': 1}, {'a': 2}, 'conversion', argument='output')


def test_a_file_is_replaced_once_it_is_written_and_synced(tmp_path, monkeypatch):
  path, events = tmp_path / 'result.json', []
  path.write_text('old')
  sync, replace = os.fsync, os.replace
  monkeypatch.setattr(os, 'fsync', lambda descriptor: (events.append('sync'), sync(descriptor)))
  monkeypatch.setattr(os, 'replace', lambda *paths: (events.append('replace'), replace(*paths)))
  with model_dir.replacing(path) as temporary:
    temporary.write_text('new')
    assert path.read_text() == 'old' and not events
  assert path.read_text() == 'new' and events == ['sync', 'replace', 'sync']
  assert os.listdir(tmp_path) == ['result.json']


def test_a_file_stays_when_writing_fails(tmp_path):
  path = tmp_path / 'result.json'
  path.write_text('old')
  with pytest.raises(ZeroDivisionError):
    with model_dir.replacing(path) as temporary:
      temporary.write_text('ne')
      1 / 0
  assert path.read_text() == 'old'


def test_a_file_for_which_there_is_no_space_is_named(tmp_path):
  path = tmp_path / 'result.json'
  path.write_text('old')
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limit[1]))
  try:
    with pytest.raises(MachineError, match=rf"File too large, [\d,.]+ MiB are free: '{path}'"), wrap_system_errors():
      model_dir.write_json(path, 'new' * 1000)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  assert path.read_text() == 'old'


def test_what_a_kill_has_left_of_a_line_is_cut_off(tmp_path):
  path = tmp_path / 'lines.csv'
  model_dir.cut_torn_line(path)
  assert model_dir.complete_lines(path) == '' and not path.exists()
  data = 'μ,1\nσ,2\n√'.encode()[:-1]  # within a character
  path.write_bytes(data)
  assert model_dir.complete_lines(path) == 'μ,1\nσ,2\n' and path.read_bytes() == data
  model_dir.cut_torn_line(path)
  assert path.read_text() == 'μ,1\nσ,2\n'


def test_a_torn_line_of_another_file_stays(tmp_path):
  path = tmp_path / 'lines.jsonl'
  for torn in ('{"pa', '{"pair": 1, '):
    path.write_text(f'{{"pair": 0}}\n{torn}')
    model_dir.cut_torn_line(path, b'{"pair": ')
    assert path.read_text() == '{"pair": 0}\n'
  path.write_text('{"settings": 1}')
  with pytest.raises(ModelDirError, match=f'{path}: expected lines that begin with .*pair.*, found .*settings'):
    model_dir.cut_torn_line(path, b'{"pair": ')
  assert path.read_text() == '{"settings": 1}'


def test_who_dies_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'results.json'
  model_dir.write_json(path, {'accuracy': .5})

  def die(self, text, **options):
    del text, options
    self.write_bytes(b'{"accu')
    raise KeyboardInterrupt

  monkeypatch.setattr(pathlib.Path, 'write_text', die)
  with pytest.raises(KeyboardInterrupt):
    model_dir.write_json(path, {'accuracy': .75})
  assert json.loads(path.read_text()) == {'accuracy': .5}
