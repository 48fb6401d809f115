"""A claimed folder: new, empty, of the same settings, of others, and of something else."""

import json

import pytest

from detection.data.prepared import claim
from detection.data.prepared import has_settings
from detection.data.prepared import LOCK

WORK = 'preparation of shapes', 'folder'


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
