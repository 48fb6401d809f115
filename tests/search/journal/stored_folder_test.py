"""A search in an object store: fsspec's in memory, and one in a folder, which another process can see."""

import itertools
import json
import pathlib
import time

import fsspec
import pytest

from evonorm_tf.output.model_dir import ModelDirError
from search.journal import stored_folder
from search.journal.saved_search import load_search
from search.journal.stored_folder import fetched
from search.journal.stored_folder import is_url
from search.journal.stored_folder import StoredFolder
from search.journal.stored_folder import working_folder
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import untimed

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def fast(monkeypatch):
  monkeypatch.setattr(stored_folder, 'SECONDS_TO_AGREE', 0.)


@pytest.fixture
def url():
  return f'memory://bucket_{next(NUMBERS)}/run'


def contents(url):
  """The names and bytes of all objects."""
  files, root = fsspec.core.url_to_fs(url)
  return {path.removeprefix(root).lstrip('/'): files.cat_file(path) for path in files.find(root)}


def journal_of(url):
  return (fetched(url) / 'journal.jsonl').read_bytes()


def write(url, chunks):
  """Writes chunks to a journal, as `Journal` does."""
  with working_folder(url) as (folder, copy):
    for chunk in chunks:
      with open(folder / 'journal.jsonl', 'ab') as file:
        place = file.tell()
        file.write(chunk)
      copy(place, chunk)


def test_folders_of_this_machine_are_worked_in_as_they_are(tmp_path):
  with working_folder(str(tmp_path / 'new')) as (folder, copy):
    assert (folder, copy) == (tmp_path / 'new', None)
  assert [is_url(path) for path in ('runs/a', pathlib.Path('/a:b'), 's3://a/b', 'gs://a')] == [False, False, True, True]


@pytest.mark.parametrize('parts', [2, 3, 500])
def test_the_journal_comes_back_whatever_parts_it_has(url, parts, monkeypatch):
  monkeypatch.setattr(stored_folder, 'PARTS', parts)
  chunks = [f'{"line" * n} {n}\n'.encode() for n in range(11)]
  write(url, chunks[:5])
  assert journal_of(url) == b''.join(chunks[:5])
  write(url, chunks[5:])
  assert journal_of(url) == b''.join(chunks)
  stored = [name for name in contents(url) if name.startswith('journal.jsonl/')]
  assert len(stored) <= max(parts, 1) if parts < 11 else len(stored) == 11


def test_each_chunk_is_stored_when_copy_returns(url):
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'abcdef')
    copy(0, b'abc')
    copy(3, b'def')
    assert journal_of(url) == b'abcdef'


def test_parts_that_were_joined_and_not_removed_yet_do_no_harm(url):
  write(url, [b'abc', b'def', b'ghi'])
  files, root = fsspec.core.url_to_fs(url)
  files.pipe_file(f'{root}/journal.jsonl/{0:015d}', b'abcdef')
  assert journal_of(url) == b'abcdefghi'


def test_a_missing_part_is_an_error(url):
  write(url, [b'abc', b'def', b'ghi'])
  files, root = fsspec.core.url_to_fs(url)
  files.rm(f'{root}/journal.jsonl/{3:015d}')
  with pytest.raises(ModelDirError, match='journal.jsonl: bytes 3 to 6 are missing'):
    fetched(url)


def test_a_journal_that_begins_anew_replaces_the_former(url):
  write(url, [b'abc', b'def'])
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'x')
    copy(0, b'x')
  assert journal_of(url) == b'x'


def test_other_files_follow_at_intervals_and_at_the_end(url, monkeypatch):
  monkeypatch.setattr(stored_folder, 'SECONDS_BETWEEN_SIGNS', .02)
  with working_folder(url) as (folder, _):
    (folder / 'report').mkdir()
    (folder / 'report' / 'report.md').write_text('first')
    (folder / '.part.tmp').write_text('not yet whole')
    deadline = time.monotonic() + 10.
    while contents(url).get('report/report.md') != b'first' and time.monotonic() < deadline:
      time.sleep(.02)
    assert contents(url)['report/report.md'] == b'first'
    (folder / 'report' / 'report.md').write_text('the last one')
  assert contents(url) == {'report/report.md': b'the last one'}
  assert (fetched(url) / 'report' / 'report.md').read_text() == 'the last one' and fetched(url).name == 'run'


def test_a_second_driver_is_refused_while_the_first_one_is_there(url):
  with working_folder(url):
    with pytest.raises(ModelDirError, match='another process is running this search, on .*in 100 seconds'):
      with working_folder(url):
        pass
  with working_folder(url):
    pass


def test_a_silent_driver_is_superseded_and_stops(url, monkeypatch):
  monkeypatch.setattr(stored_folder, 'SECONDS_BETWEEN_SIGNS', .05)
  files, root = fsspec.core.url_to_fs(url)
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'a')
    copy(0, b'a')
    sign = json.loads(files.cat_file(f'{root}/driver.json'))
    later = sign | {'driver': 'another', 'host': 'there', 'at': time.time()}
    files.pipe_file(f'{root}/driver.json', json.dumps(later).encode())
    time.sleep(.5)
    with pytest.raises(ModelDirError, match=r'another process has taken this search over \(there\)'):
      copy(1, b'b')
    (folder / 'report.md').write_text('of the former driver')
  assert json.loads(contents(url)['driver.json'])['driver'] == 'another'
  assert journal_of(url) == b'a' and 'report.md' not in contents(url)
  files.pipe_file(f'{root}/driver.json', json.dumps(later | {'at': time.time() - 101.}).encode())
  with working_folder(url):
    pass


def test_two_that_begin_at_once_are_not_both_drivers(url, monkeypatch, tmp_path):
  first, second = (StoredFolder(url, tmp_path / name) for name in 'ab' if (tmp_path / name).mkdir() is None)
  monkeypatch.setattr(time, 'sleep', lambda seconds: second._write_sign())
  with pytest.raises(ModelDirError, match='has begun to run this search at the same time'):
    with first.driven():
      pass
  assert not second._is_superseded()


def test_errors_of_the_object_store_name_the_folder(url, monkeypatch):
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'a')
    with monkeypatch.context() as patch:
      patch.setattr(type(fsspec.filesystem('memory')), 'pipe_file', lambda *_: 1 / 0)
      with pytest.raises(ModelDirError, match=f'{url} cannot be written: ZeroDivisionError'):
        copy(0, b'a')
  with pytest.raises(ModelDirError, match="a URL that fsspec knows, received 'nonsense://a/b'"):
    fetched('nonsense://a/b')


def test_a_search_goes_on_elsewhere(bare, whole, url, monkeypatch):
  class Gone(Exception):
    """The machine is gone."""

  def stop(found, record):
    if len(found.records) == 7:
      raise Gone

  with pytest.raises(Gone):
    search(url, callbacks=[stop])
  assert len(load_search(url).records) == 7
  search(url)
  folder = fetched(url)
  assert untimed(read(folder)) == untimed(whole[1])
  assert {'equivalence.cache', 'operative_config.gin'} <= contents(url).keys()
  assert 'driver.json' not in contents(url)
