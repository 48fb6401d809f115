"""The journal: append and replay, torn and damaged lines, another configuration, another process, a full disk."""

import dataclasses
import errno
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import pytest

from evonorm_tf.output.model_dir import ModelDirError
from search.graphs.known_graphs import known_graph
from search.journal import journal as journal_lib
from search.journal.checksums import with_checksum
from search.journal.journal import Journal
from search.journal.record import Record

FREE = r', [0-9.,]+ MiB are free\. What was recorded before is safe\.$'
CONFIG = {'seed': 0, 'task': {'steps': 3, 'sizes': [1, 2]}}


def record(index):
  return Record(stage='evolution', outcome='accepted', detail='µ "quoted"\nnew line', scores={'resnet': .5},
                index=index, graph=known_graph('evonorm_s0'))


def line(record):
  return with_checksum(json.dumps(record.to_json()).encode()) + b'\n'


RECORDS = [record(i) for i in range(3)]


@pytest.fixture
def path(tmp_path):
  """A closed journal of `RECORDS`."""
  path = tmp_path / 'journal.jsonl'
  with Journal(path, CONFIG) as journal:
    for new in RECORDS:
      journal.append(new)
  return path


def replay(path, config=None):
  with Journal(path, config or CONFIG) as journal:
    return journal.records


def test_append_and_replay(path):
  with Journal(path, CONFIG) as journal:
    assert journal.records == RECORDS
    journal.append(record(3))
    assert journal.records == RECORDS + [record(3)]
  assert replay(path) == RECORDS + [record(3)]


def test_the_file_is_one_json_line_a_record_behind_the_header(path):
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert [list(line)[-1] for line in lines] == ['checksum'] * 4  # which `checksums_test` computes
  assert [{key: value for key, value in line.items() if key != 'checksum'} for line in lines] == [
      {'version': 1, 'config': CONFIG}, *(r.to_json() for r in RECORDS)]
  assert path.read_bytes().endswith(b'\n')


def test_folders_are_made(tmp_path):
  assert replay(tmp_path / 'new' / 'deep' / 'journal.jsonl') == []


def test_each_record_is_on_disk_when_append_returns(tmp_path, monkeypatch):
  synced, path = [], tmp_path / 'journal.jsonl'
  sync = os.fsync

  def recording_sync(descriptor):
    sync(descriptor)
    synced.append(path.read_bytes().count(b'\n'))

  monkeypatch.setattr(os, 'fsync', recording_sync)
  with Journal(path, CONFIG) as journal:
    assert synced == [1, 1]  # the header, and the file's name in its folder
    for count, new in enumerate(RECORDS, 2):
      journal.append(new)
      assert synced[-1] == count


def test_the_names_of_a_new_file_and_its_folders_are_on_disk(tmp_path, monkeypatch):
  synced, sync = [], os.fsync
  monkeypatch.setattr(os, 'fsync', lambda fd: synced.append(os.readlink(f'/proc/self/fd/{fd}')) or sync(fd))
  path = tmp_path / 'new' / 'deep' / 'journal.jsonl'
  Journal(path, CONFIG).close()
  assert synced == [str(p) for p in (path, path.parent, path.parent.parent, tmp_path)]


def test_notes_count_the_deaths_of_tasks_that_run_in_this_process(path):
  before = path.read_bytes()
  journal = Journal(path, CONFIG)
  journal.begin('evolution 3')
  journal._file.close()  # killed
  journal = Journal(path, CONFIG)
  assert (journal.records, journal.deaths('evolution 3'), journal.deaths('evolution 4')) == (RECORDS, 1, 0)
  journal.begin('evolution 3')
  journal.close()  # left in an orderly way
  with Journal(path, CONFIG) as journal:
    assert (journal.records, journal.deaths('evolution 3')) == (RECORDS, 1)
    journal.begin('evolution 3')
    journal.append(record(3))
  assert replay(path) == RECORDS + [record(3)]
  notes = b'{"begun": "evolution 3"}\n' * 2 + b'{"left": "evolution 3"}\n{"begun": "evolution 3"}\n'
  assert path.read_bytes() == before + notes + line(record(3))


def test_notes_alone_leave_the_configuration_open_and_count_for_their_own(tmp_path):
  path = tmp_path / 'journal.jsonl'
  journal = Journal(path, {'seed': 1})
  journal.begin('reference bn_relu')
  journal._file.close()
  with Journal(path, {'seed': 1}) as journal:
    assert journal.deaths('reference bn_relu') == 1
  with Journal(path, {'seed': 2}) as journal:
    assert journal.deaths('reference bn_relu') == 0
  assert path.read_bytes() == with_checksum(b'{"version": 1, "config": {"seed": 2}}') + b'\n'


def test_a_torn_last_line_is_dropped_wherever_it_is_cut(path, caplog):
  whole = path.read_bytes()
  start = whole.rindex(b'\n', 0, -1) + 1
  for cut in range(start, len(whole)):
    caplog.clear()
    path.write_bytes(whole[:cut])
    with Journal(path, CONFIG) as journal:
      assert journal.records == RECORDS[:2]
      assert path.read_bytes() == whole[:start]
      journal.append(RECORDS[2])
    assert path.read_bytes() == whole
    assert [f'the last line is torn ({cut - start} bytes)' in r.getMessage() for r in caplog.records] == (
        [True] if cut > start else [])


def test_a_torn_header_is_written_anew(path):
  header = path.read_bytes().split(b'\n')[0]
  for cut in range(len(header) + 1):
    path.write_bytes(header[:cut])
    assert replay(path) == []
    assert path.read_bytes() == header + b'\n'


@pytest.mark.parametrize('number, content, message', [
    (2, b'{"stage": "evol', 'not JSON'), (3, b'', 'not JSON'), (4, b'\xff\xfe', 'not JSON'),
    (3, b'[1, 2]', 'expected a JSON object, found list'), (2, b'{"begun": [1]}', r'expected the name .* \[1\]'),
    (1, b'{}', 'expected the header of a journal of version 1'),
    (1, b'{"version": 2, "config": {}}', 'expected the header of a journal of version 1')])
def test_damage_before_the_end_is_named_by_line(path, number, content, message):
  lines = path.read_bytes().split(b'\n')
  lines[number - 1] = content
  damaged = b'\n'.join(lines)
  path.write_bytes(damaged)
  with pytest.raises(ModelDirError, match=rf'journal\.jsonl, line {number}: {message}'):
    replay(path)
  assert path.read_bytes() == damaged  # nothing is repaired behind the user's back


def test_a_record_that_is_not_valid_is_refused_by_its_number(path):
  whole = path.read_bytes()
  path.write_bytes(whole + line(record(3)).replace(b'"elapsed"', b'"elapse"'))
  for read in (replay, journal_lib.read):
    with pytest.raises(ModelDirError, match=r'journal\.jsonl, line 5: the line does not fit its checksum'):
      read(path)
  bad = {key: value for key, value in record(3).to_json().items() if key != 'elapsed'}
  path.write_bytes(whole + json.dumps(bad).encode() + b'\n')
  for read in (replay, journal_lib.read):
    with pytest.raises(ModelDirError, match=r'journal\.jsonl, record 4: `elapsed` is missing'):
      read(path)
  path.write_bytes(whole)
  assert replay(path) == journal_lib.read(path)[1] == RECORDS


def test_another_configuration_is_refused_by_the_keys_that_differ(path):
  before = path.read_bytes()
  other = {'seed': 1, 'task': {'steps': 3, 'sizes': [1, 3]}, 'new': None, 'extra': 'x'}
  with pytest.raises(ModelDirError) as error:
    replay(path, other)
  message = str(error.value)
  assert '`seed` is 1 here and 0 there' in message and '`task.sizes` is [1, 3] here and [1, 2] there' in message
  assert "`extra` is 'x' here" in message and 'task.steps' not in message and '`model_dir` of its own' in message
  assert path.read_bytes() == before
  assert replay(path, {**CONFIG, 'task': {'steps': 3, 'sizes': (1, 2)}}) == RECORDS  # a tuple is JSON's list


def test_without_records_another_configuration_takes_over(tmp_path):
  path = tmp_path / 'journal.jsonl'
  assert replay(path, {'seed': 1, 'typing': 'error'}) == []
  assert replay(path, {'seed': 2}) == []
  assert path.read_bytes() == with_checksum(b'{"version": 1, "config": {"seed": 2}}') + b'\n'
  path.write_text('{"some": "other file"}\n')
  with pytest.raises(ModelDirError, match='line 1: expected the header'):
    replay(path)


@pytest.mark.parametrize('content, message', [
    *((line, 'expected the header of a journal.*left as it is') for line in (
        b'{"some": "other file"}', b'{"version": 1, "colour": 2}', b'notes')),
    *((lines, '') for lines in (b'notes\nmore', b'{\n  "some": "other file"\n}', b'{"some": "other file"}\n{}'))])
def test_a_foreign_file_without_an_end_is_left_as_it_is(tmp_path, content, message):
  path = tmp_path / 'journal.jsonl'
  path.write_bytes(content)
  with pytest.raises(ModelDirError, match=rf'journal\.jsonl, line 1: {message}'):
    replay(path)
  assert path.read_bytes() == content


def test_the_torn_line_of_a_refused_journal_stays(path):
  path.write_bytes(path.read_bytes() + b'{"torn')
  before = path.read_bytes()
  with pytest.raises(ModelDirError, match='seed'):
    replay(path, {'seed': 1})
  assert path.read_bytes() == before


def test_one_process_at_a_time(path):
  with Journal(path, CONFIG) as journal:
    with pytest.raises(ModelDirError, match='another process is running this search'):
      Journal(path, CONFIG)
    opened = subprocess.run(
        [sys.executable, '-c', 'import sys; from search.journal import Journal; Journal(sys.argv[1], {})', path],
        cwd=pathlib.Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert opened.returncode and 'another process is running this search' in opened.stderr
    journal.append(record(3))  # the first one is not disturbed
  assert len(replay(path)) == 4


def test_a_refused_journal_is_let_go(path):
  with pytest.raises(ModelDirError):
    replay(path, {'seed': 1})
  assert replay(path) == RECORDS


class FullDisk:
  """A file that has room for so many bytes."""

  def __init__(self, file, room):
    self._file, self._room = file, room

  def __getattr__(self, name):
    return getattr(self._file, name)

  def write(self, data):
    if not self._room:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return self._file.write(data[:self._room])


@pytest.mark.parametrize('room, lines', [(0, 0), (1, 0), (15 * len(line(record(101))), 15)])
def test_a_limit_that_the_system_sets(path, room, lines):
  """Not a fake: the kernel itself writes a part of a line, or nothing."""
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  journal = Journal(path, CONFIG)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, limit[1]))
    with pytest.raises(ModelDirError, match=rf'cannot write: (File too large|No space left on device){FREE}'):
      for number in range(20):
        journal.append(record(101 + number))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  assert number == lines and path.read_bytes().endswith(b'}\n')
  journal.close()
  assert replay(path) == RECORDS + [record(101 + i) for i in range(number)]


@pytest.mark.parametrize('room', (0, 1, 11))
def test_a_full_disk_leaves_what_was_recorded(path, room):
  before = path.read_bytes()
  journal = Journal(path, CONFIG)
  file, journal._file = journal._file, FullDisk(journal._file, room)
  with pytest.raises(ModelDirError, match=rf'cannot write: No space left on device{FREE}'):
    journal.append(record(3))
  assert journal.records == RECORDS and path.read_bytes() == before
  journal._file = file  # room again
  journal.append(record(4))
  journal.close()
  assert replay(path) == RECORDS + [record(4)]


@pytest.mark.parametrize('change', ['removed', 'moved', 'replaced', 'file removed'])
def test_a_folder_that_goes_away_is_noticed_at_the_next_line(path, change, tmp_path):
  folder = tmp_path / 'search'
  folder.mkdir()
  shutil.move(path, folder / path.name)
  journal = Journal(folder / path.name, CONFIG)
  journal.append(record(3))
  whole = (folder / path.name).read_bytes()
  if change == 'file removed':
    (folder / path.name).unlink()
  else:
    folder.rename(tmp_path / 'elsewhere')
  if change == 'removed':
    shutil.rmtree(tmp_path / 'elsewhere')
  if change == 'replaced':
    folder.mkdir()
    (folder / path.name).write_bytes(whole)
  for write in (lambda: journal.append(record(4)), lambda: journal.begin('evolution 4'), journal.check_is_there):
    with pytest.raises(ModelDirError, match=r'journal\.jsonl: .* was removed, moved or replaced during this search'):
      write()
  journal.close()
  left = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob('*') if file.is_file())
  assert left == {'removed': [], 'file removed': [], 'moved': ['elsewhere/journal.jsonl'],
                  'replaced': ['elsewhere/journal.jsonl', 'search/journal.jsonl']}[change]
  assert all((tmp_path / name).read_bytes() == whole for name in left)


def test_a_failing_sync_is_a_failing_write(path, monkeypatch):
  before = path.read_bytes()

  def fail(descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  with Journal(path, CONFIG) as journal:
    monkeypatch.setattr(journal_lib.os, 'fsync', fail)
    with pytest.raises(ModelDirError, match='cannot write: Input/output error'):
      journal.append(record(3))
    assert journal.records == RECORDS and path.read_bytes() == before


def test_no_number_that_json_lacks(path):
  before = path.read_bytes()
  with Journal(path, CONFIG) as journal:
    with pytest.raises(ValueError, match='not JSON compliant'):
      journal.append(dataclasses.replace(record(3), elapsed=float('nan')))
    assert journal.records == RECORDS and path.read_bytes() == before
