"""A search in an object store: fsspec's in memory, whose drivers are all in this process."""

import contextlib
import itertools
import json
import os
import pathlib
import time

import fsspec
import pytest

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.object_folder import is_url
from evonorm_tf.output.object_folder import ObjectFolder
import search as search_lib
from search.code_generation import compilation
from search.journal import stored_folder
from search.journal.saved_search import load_search
from search.journal.stored_folder import fetched
from search.journal.stored_folder import StoredFolder
from search.journal.stored_folder import working_folder
from search.library.opened_search import Search
from search.reporting.comparison_report import compare_searches
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import untimed

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def fast(monkeypatch):
  for name, seconds in {'SECONDS_TO_AGREE': 0., 'SECONDS_BETWEEN_SIGNS': .02, 'SECONDS_OF_SILENCE': .2,
                        'SECONDS_BETWEEN_UPLOADS': .02}.items():
    monkeypatch.setattr(stored_folder, name, seconds)


@pytest.fixture
def url():
  return f'memory://bucket_{next(NUMBERS)}/run'


def contents(url):
  """The names and bytes of all objects."""
  files, root = fsspec.core.url_to_fs(url)
  return {path.removeprefix(root).lstrip('/'): files.cat_file(path) for path in files.find(root)}


def part(url, place):
  """The name of a part."""
  name, = (name for name in contents(url) if name.startswith('journal/') and name.endswith(f'/{place:015d}'))
  return name


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
  stored = [name for name in contents(url) if name.startswith('journal/')]
  assert len({name.split('/')[1] for name in stored}) == 1  # those of the first driver are gone
  assert len(stored) == {2: 3, 3: 5, 500: 7}[parts]  # the rest came as one


def test_each_chunk_is_stored_when_copy_returns(url):
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'abcdef')
    copy(0, b'abc')
    copy(3, b'def')
    assert journal_of(url) == b'abcdef'


def test_parts_that_were_joined_and_not_removed_yet_do_no_harm(url):
  write(url, [b'abc', b'def', b'ghi'])
  files, root = fsspec.core.url_to_fs(url)
  files.pipe_file(f'{root}/{part(url, 0)}', b'abcdef')
  assert journal_of(url) == b'abcdefghi'


def test_a_missing_part_is_an_error(url):
  write(url, [b'abc', b'def', b'ghi'])
  files, root = fsspec.core.url_to_fs(url)
  files.rm(f'{root}/{part(url, 3)}')
  with pytest.raises(ModelDirError, match='bytes 3 to 6 of the journal are missing'):
    fetched(url)


def test_a_journal_that_begins_anew_replaces_the_former(url):
  write(url, [b'abc', b'def'])
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'x')
    copy(0, b'x')
  assert journal_of(url) == b'x'


def test_other_files_follow_at_intervals_and_at_the_end(url):
  with working_folder(url) as (folder, _):
    (folder / 'report').mkdir()
    (folder / 'report' / 'report.md').write_text('first')
    (folder / '.part.tmp').write_text('not yet whole')
    wait_until(lambda: contents(url).get('report/report.md') == b'first')
    (folder / 'report' / 'report.md').write_text('the last one')
  assert files_of(url) == {'report/report.md': b'the last one'}
  assert (fetched(url) / 'report' / 'report.md').read_text() == 'the last one' and fetched(url).name == 'run'


def wait_until(holds):
  deadline = time.monotonic() + 10.
  while not holds() and time.monotonic() < deadline:
    time.sleep(.01)
  assert holds()


def files_of(url):
  """All objects but the parts of the journal."""
  return {name: data for name, data in contents(url).items() if not name.startswith('journal/')}


def test_what_does_not_change_is_not_sent_again_and_a_slow_upload_waits(url, monkeypatch):
  sent = []
  monkeypatch.setattr(ObjectFolder, 'upload', lambda self, path, name: sent.append(name) or time.sleep(.05))
  with working_folder(url) as (folder, _):
    (folder / 'still').write_text('')
    for count in range(20):
      (folder / 'events').write_text('x' * count)
      time.sleep(.02)
  # An upload takes a tenth of the time at most: about two of them here, on a busy machine a few more; not 20.
  assert sent.count('still') == 1 and 2 <= sent.count('events') < 10


def test_a_second_driver_is_refused_while_the_first_one_is_there(url, monkeypatch):
  monkeypatch.setattr(stored_folder, 'SECONDS_OF_SILENCE', 20.)  # it is refused at the first one's next sign
  with working_folder(url) as (folder, copy):
    with pytest.raises(ModelDirError, match='another process is running this search, on '):
      with working_folder(url):
        pass
    (folder / 'journal.jsonl').write_bytes(b'a')
    copy(0, b'a')  # goes on
  with working_folder(url):
    pass
  assert journal_of(url) == b'a'


def suspended(url, tmp_path):
  """A driver that has written b'ab' and gives no signs any more, as on a machine that is suspended."""
  driver = StoredFolder(url, tmp_path)
  driver._await_silence()
  driver._begin_epoch()
  (driver.local / 'journal.jsonl').write_bytes(b'ab')
  driver.append(0, b'a')
  driver.append(1, b'b')
  return driver


def test_a_silent_driver_is_superseded_and_what_it_still_writes_does_not_count(url, tmp_path, caplog):
  driver = suspended(url, tmp_path)
  with working_folder(url) as (folder, copy):
    assert 'did not end in order, or is still there' in caplog.text
    assert (folder / 'journal.jsonl').read_bytes() == b'ab'
    copy(2, b'new')
    with contextlib.suppress(ModelDirError):
      driver.append(2, b'old')  # before it has looked for another driver
    copy(5, b'er')
    driver._signed_at -= 1.  # so long ago that it looks first
    with pytest.raises(ModelDirError, match='another process has taken this search over'):
      driver.append(5, b'late')
    assert journal_of(url) == b'abnewer'
  assert journal_of(url) == b'abnewer' and driver._is_superseded()


def test_the_end_of_a_superseded_driver_leaves_the_signs_and_files_of_the_next_one(url, tmp_path, monkeypatch):
  driver = StoredFolder(url, tmp_path)
  with driver.driven():
    monkeypatch.setattr(driver, '_write_sign', lambda: None)
    driver._ends.set()  # its threads end
    time.sleep(.1)
    (driver.local / 'report.md').write_text('of the former driver')
    later = StoredFolder(url, tmp_path / 'later') if (tmp_path / 'later').mkdir() is None else None
    later._await_silence()
    later._begin_epoch()
  assert json.loads(contents(url)['driver.json'])['driver'] == later._driver and 'report.md' not in contents(url)


def test_of_two_that_begin_at_once_one_is_refused(url, monkeypatch, tmp_path):
  folders = [tmp_path / name for name in 'ab']
  for folder in folders:
    folder.mkdir()
  low, high = sorted((StoredFolder(url, folder) for folder in folders), key=lambda driver: driver._driver)
  monkeypatch.setattr(time, 'sleep', lambda seconds: high._epoch or high._begin_epoch())
  with pytest.raises(ModelDirError, match='another process has taken this search over'):
    with low.driven():
      pass
  assert not high._is_superseded()
  assert all(high._driver in name for name in contents(url) if name.startswith('journal/'))


def test_one_that_is_late_to_begin_sees_the_sign_of_the_other(url, tmp_path, monkeypatch):
  for name in 'ab':
    (tmp_path / name).mkdir()
  low, high = sorted((StoredFolder(url, tmp_path / name) for name in 'ab'), key=lambda driver: driver._driver)
  write = ObjectFolder.write

  def late(self, name, data):  # the first write of one comes when the other has begun
    if high._driver in name and not low._epoch:
      low._begin_epoch()
    write(self, name, data)

  monkeypatch.setattr(ObjectFolder, 'write', late)
  with pytest.raises(ModelDirError, match='another process has taken this search over'):
    with high.driven():
      pass
  assert not low._is_superseded() and low._signs == 1


def test_a_start_that_fails_leaves_nothing(url, monkeypatch):
  def fail(self, everything):
    raise OSError('no network')

  with monkeypatch.context() as patch:
    patch.setattr(StoredFolder, '_fetch', fail)
    with pytest.raises(ModelDirError, match='no network'):
      with working_folder(url):
        pass
  assert contents(url) == {}


def test_a_folder_that_was_copied_into_the_store_goes_on(url):
  files, root = fsspec.core.url_to_fs(url)
  files.pipe_file(f'{root}/journal.jsonl', b'abc')
  write(url, [b'def'])
  assert journal_of(url) == b'abcdef'


def test_a_copied_folder_with_a_torn_line_goes_on(bare, whole, url):
  files, root = fsspec.core.url_to_fs(url)
  lines = (whole[0] / 'journal.jsonl').read_bytes().splitlines(keepends=True)
  files.pipe_file(f'{root}/journal.jsonl', b''.join(lines[:8]) + lines[8][:40])
  search(url)
  assert read(fetched(url)) == untimed(whole[1]) and untimed(search(url)) == untimed(whole[1])


def test_a_report_of_fewer_layers_leaves_none_behind_in_the_store(url):
  for layers in (2, 1):
    with working_folder(url) as (folder, _):
      (folder / 'report').mkdir()
      for number in range(layers):
        (folder / 'report' / f'layer_{number}.json').write_text('{}')
      (folder / f'notes_{layers}.txt').write_text('mine')
    ObjectFolder(url).write('report/layer_1_final.py', b'mine')
  assert contents(url).keys() - {part(url, 0)} == {
      'report/layer_0.json', 'report/layer_1_final.py', 'notes_1.txt', 'notes_2.txt'}


def test_a_search_from_python_works_in_a_store(bare, url):
  arguments = dict(evaluation=FakeEvaluation(), space=search_lib.SearchSpace(6), max_minutes=None)
  found = search_lib.run('smoke', model_dir=url, candidates=7, **arguments)
  assert found.location == url and len(list(found.candidates)) == 7 and found.best.is_accepted
  assert len(list(search_lib.run('smoke', model_dir=url, candidates=9, **arguments).candidates)) == 9
  with pytest.raises(ArgumentError, match='objects, which its folder does not keep'):
    found.resume()


def test_reading_a_search_in_a_store_again_makes_no_second_copy(bare, url):
  search(url)
  found = Search(url)
  folder, count = found.model_dir, len(found.records)
  (folder / 'own').write_text('')
  search(url, 14)
  assert len(found.refresh().records) > count
  assert found.model_dir == folder and (folder / 'own').exists() and os.listdir(folder.parent) == [folder.name]
  ObjectFolder(url).remove(ObjectFolder(url).names())
  with pytest.raises(ModelDirError, match=f'{url} holds no journal'):
    found.refresh()


def test_the_configuration_is_kept(url):
  with working_folder(url) as (folder, _):
    (folder / 'operative_config.gin').write_text('seed = 1')
  with working_folder(url) as (folder, _):
    assert (folder / 'operative_config.gin').read_text() == 'seed = 1'


def test_errors_of_the_object_store_name_the_folder(url, monkeypatch):
  with working_folder(url) as (folder, copy):
    (folder / 'journal.jsonl').write_bytes(b'a')
    with monkeypatch.context() as patch:
      patch.setattr(type(fsspec.filesystem('memory')), 'pipe_file', lambda *_: 1 / 0)
      with pytest.raises(ModelDirError, match=f'{url} cannot be read or written: ZeroDivisionError'):
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
  assert untimed(read(fetched(url))) == untimed(whole[1])
  assert {'equivalence.cache', 'operative_config.gin'} <= contents(url).keys()
  assert 'driver.json' not in contents(url)


def test_a_search_in_a_store_is_read_by_all_that_read_searches(bare, url, tmp_path):
  search(url)
  found = search_lib.Search(url)
  assert found.model_dir.name == 'run' and found.location == url
  assert found.refresh().best == found.best
  assert compilation.find_graph(url).without_dead_nodes() == found.best.graph.without_dead_nodes()
  search(tmp_path / 'next', initial=url, candidates=20)
  assert 'candidate' in read(tmp_path / 'next')[2]['origin']
  assert '| run |' in compare_searches([url, str(tmp_path / 'next')], str(tmp_path / 'page')).read_text()
  with pytest.raises(ArgumentError, match='`output` must be given'):
    compare_searches([url])
  with pytest.raises(ModelDirError, match='memory://nowhere/x holds no journal'):
    search_lib.Search('memory://nowhere/x')
