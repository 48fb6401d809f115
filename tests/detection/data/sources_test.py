"""What is in the folders, and what is said of folders that cannot be used."""

import dataclasses
import json

import pytest

from detection.data.prepared import write_data_info
from detection.data.sources import CocoData
from tests.detection.tiny_mask_rcnn import tiny_shapes


def prepared(folder, names):
  folder.mkdir()
  for name in ('records.tfrecord', 'annotations.json'):
    (folder / name).write_text('')
  write_data_info(folder, ['records.tfrecord'], 'records*', 'annotations.json', 5, names, 1)
  return str(folder)


def test_two_prepared_folders(tmp_path):
  data = CocoData(prepared(tmp_path / 'a', {1: 'cat', 4: 'dog'}), prepared(tmp_path / 'b', {1: 'cat', 4: 'dog'}))
  train, validation = data.read()
  assert train.records == str(tmp_path / 'a' / 'records*')
  assert validation.annotation_file == str(tmp_path / 'b' / 'annotations.json') and validation.num_classes == 3


def test_categories_must_be_the_same(tmp_path):
  data = CocoData(prepared(tmp_path / 'a', {1: 'cat', 4: 'dog'}), prepared(tmp_path / 'b', {1: 'cat', 4: 'horse'}))
  with pytest.raises(ValueError, match="`validation` must have the categories of `train`, .*/b' with 4: 'horse' for "):
    data.read()


def test_labels_must_be_the_same(tmp_path):
  """The older folder is one of the first release, where labels were the ids of the categories."""
  data = CocoData(prepared(tmp_path / 'a', {1: 'cat', 4: 'dog'}), prepared(tmp_path / 'b', {1: 'cat', 4: 'dog'}))
  path = tmp_path / 'b' / 'data_info.json'
  info = json.loads(path.read_text())
  path.write_text(json.dumps({name: value for name, value in info.items() if name != 'category_ids'}))
  with pytest.raises(ValueError, match="`validation` must .* by the same release as `train`, .*/b' with other labels"):
    data.read()


def test_a_folder_that_is_not_prepared(tmp_path):
  with pytest.raises(ValueError, match="nowhere' must be a folder that `python -m detection.prepare` has prepared"):
    CocoData(str(tmp_path / 'nowhere'), str(tmp_path / 'nowhere')).read()


def test_shapes_are_made_once(tmp_path):
  data = tiny_shapes(tmp_path / 'shapes', train=2, validation=1)
  train, validation = data.read()
  assert (train.num_examples, validation.num_examples, train.num_classes) == (2, 1, 6)
  before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()}
  assert data.read() == (train, validation)
  assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()} == before
  with open(train.annotation_file) as file:
    assert {image['height'] for image in json.load(file)['images']} == {64}
  with pytest.raises(ValueError, match='`train` is 3 here and 2 there'):
    dataclasses.replace(data, train=3).read()
