"""Prepared folders: claimed by one preparation, described for a trainer."""

import json
import re

import pytest

from detection.data import prepared
from detection.data.prepared import claim
from detection.data.prepared import has_settings
from detection.data.prepared import LOCK
from detection.data.prepared import record_files

WORK = 'preparation of shapes', 'folder'
NAMES = {1: 'person', 90: 'toothbrush'}


def write(folder):
  files = ['records-00000-of-00002.tfrecord', 'records-00001-of-00002.tfrecord', 'annotations.json']
  for name in files:
    (folder / name).touch()
  prepared.write_data_info(folder, files[:2], 'records-*-of-00002.tfrecord', files[2], 12, NAMES, 150)


def test_round_trip_and_the_folder_may_move(tmp_path):
  folder = tmp_path / 'a'
  folder.mkdir()
  assert not prepared.is_prepared(folder)
  write(folder)
  assert prepared.is_prepared(folder)
  folder = folder.rename(tmp_path / 'b')
  info = prepared.read_data_info(folder)
  assert info == prepared.DataInfo(str(folder / 'records-*-of-00002.tfrecord'), str(folder / 'annotations.json'), 12,
                                    NAMES, {1: 1, 2: 90}, 150)
  assert info.num_classes == 3 and info.class_names == {1: 'person', 2: 'toothbrush'}


def test_folders_of_the_first_release_have_the_ids_as_labels(tmp_path):
  write(tmp_path)
  data = json.loads((tmp_path / 'data_info.json').read_text())
  assert data.pop('category_ids') == {'1': 1, '2': 90} and data.pop('most_objects') == 150
  (tmp_path / 'data_info.json').write_text(json.dumps(data))
  info = prepared.read_data_info(tmp_path)
  assert info.category_ids == {1: 1, 90: 90} and info.num_classes == 91 and info.class_names == NAMES
  assert info.most_objects is None


@pytest.mark.parametrize('ids', [{'0': 1, '1': 90}, {'1': 1}, {'1': 1, '2': 91}, {}])
def test_labels_that_do_not_fit_the_categories(tmp_path, ids):
  write(tmp_path)
  data = json.loads((tmp_path / 'data_info.json').read_text())
  (tmp_path / 'data_info.json').write_text(json.dumps(data | {'category_ids': ids}))
  with pytest.raises(ValueError, match='`category_ids` must give each category a label from 1 on'):
    prepared.read_data_info(tmp_path)


@pytest.mark.parametrize('name', ['[1]', 'a*', 'b?', 'é {c} d', '\\x'])
def test_the_name_of_the_folder_is_no_pattern(tmp_path, name):
  for folder in (tmp_path / name, tmp_path / '1', tmp_path / 'ab', tmp_path / 'bc'):
    folder.mkdir()
    write(folder)
  info = prepared.read_data_info(tmp_path / name)
  files = [str(tmp_path / name / f'records-0000{number}-of-00002.tfrecord') for number in (0, 1)]
  assert record_files(info) == files


def test_errors(tmp_path):
  with pytest.raises(ValueError, match='must be a folder that `python -m detection.prepare` .* FileNotFoundError'):
    prepared.read_data_info(tmp_path)
  write(tmp_path)
  missing = tmp_path / 'records-00001-of-00002.tfrecord'
  missing.unlink()
  with pytest.raises(ValueError, match=re.escape(f"is not complete: '{missing}' is missing, 1 files in all")):
    prepared.read_data_info(tmp_path)
  (tmp_path / 'data_info.json').write_text('{}')
  with pytest.raises(ValueError, match="to the end: KeyError: 'records'"):
    prepared.read_data_info(tmp_path)


def test_a_folder_is_claimed_once(tmp_path):
  (tmp_path / LOCK).touch()
  (tmp_path / '.shapes.json.tmp').touch()  # of a start that was killed
  assert not has_settings(tmp_path, 'shapes.json', {'size': 64}, *WORK)
  claim(tmp_path, 'shapes.json', {'size': 64}, *WORK)
  assert json.loads((tmp_path / 'shapes.json').read_text()) == {'size': 64}
  (tmp_path / 'images').mkdir()
  claim(tmp_path, 'shapes.json', {'size': 64}, *WORK)
  assert has_settings(tmp_path, 'shapes.json', {'size': 64}, *WORK)


def test_other_settings_are_refused(tmp_path):
  claim(tmp_path, 'shapes.json', {'size': 64}, *WORK)
  for function in (claim, has_settings):
    with pytest.raises(ValueError, match='`size` is 65 here and 64 there. Give this preparation of shapes a `folder`'):
      function(tmp_path, 'shapes.json', {'size': 65}, *WORK)


def test_other_data_are_refused(tmp_path):
  claim(tmp_path, 'shapes.json', {}, *WORK)
  with pytest.raises(ValueError, match="`folder` must be a new or empty folder, .* of nuclei; .*'shapes.json'"):
    claim(tmp_path, 'nuclei.json', {}, 'preparation of nuclei', 'folder')
  assert not (tmp_path / 'nuclei.json').exists()
