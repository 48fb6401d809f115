"""Tests of the flag --import_module."""

import sys

from absl import flags
import pytest

from evonorm_tf.cli import users_modules
from evonorm_tf.errors import ArgumentError


@pytest.fixture
def import_named(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', [path for path in sys.path if path])  # as for a console command

  def import_named(*names):
    values = flags.FlagValues()
    flag = flags.DEFINE_multi_string('import_module', [], '', flag_values=values)
    values(['program', *(f'--import_module={name}' for name in names)])
    monkeypatch.setattr(users_modules, '_MODULES', flag)
    users_modules.import_users_modules()

  return import_named


def test_modules_of_the_current_folder_are_imported(import_named, tmp_path):
  for name in ('first_of_users', 'second_of_users'):
    (tmp_path / f'{name}.py').write_text('VALUE = 7')
  import_named('first_of_users', 'second_of_users')
  assert sys.modules.pop('first_of_users').VALUE == sys.modules.pop('second_of_users').VALUE == 7


def test_a_missing_module_is_a_mistake_of_the_user(import_named):
  with pytest.raises(ArgumentError, match="`--import_module` must be a module .* received 'no_such': No module named"):
    import_named('no_such')
