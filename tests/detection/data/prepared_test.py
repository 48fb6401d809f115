"""What a trainer reads of prepared data."""

import re

import pytest

from detection.data import prepared

NAMES = {1: 'person', 90: 'toothbrush'}


def write(folder):
  files = ['records-00000-of-00002.tfrecord', 'records-00001-of-00002.tfrecord', 'annotations.json']
  for name in files:
    (folder / name).touch()
  prepared.write_data_info(folder, files[:2], 'records-*-of-00002.tfrecord', files[2], 12, NAMES)


def test_round_trip_and_the_folder_may_move(tmp_path):
  folder = tmp_path / 'a'
  folder.mkdir()
  assert not prepared.is_prepared(folder)
  write(folder)
  assert prepared.is_prepared(folder)
  folder = folder.rename(tmp_path / 'b')
  info = prepared.read_data_info(folder)
  assert info == prepared.DataInfo(str(folder / 'records-*-of-00002.tfrecord'), str(folder / 'annotations.json'), 12,
                                    NAMES)
  assert info.num_classes == 91


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
