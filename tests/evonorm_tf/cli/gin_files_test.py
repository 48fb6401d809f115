"""Gin files by their names: the user's own come first, then the experiments of the package."""

import pathlib
import subprocess
import sys

import gin
import pytest

from evonorm_tf.cli import gin_configuration
from evonorm_tf.cli import gin_files

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """An empty current folder."""
  monkeypatch.chdir(tmp_path)
  return tmp_path


def write(path, text=''):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  return path


@pytest.mark.parametrize('name', ['gin/search/smoke.gin', 'search/smoke.gin'])
def test_an_experiment_of_the_package(folder, capsys, name):
  expected = ROOT / 'gin' / 'search' / 'smoke.gin'
  assert gin_files.resolve_all([name]) == [str(expected)] and capsys.readouterr() == ('', '')
  gin_files.announce([name])
  assert capsys.readouterr() == ('', f'Configuration: {expected}\n')


@pytest.mark.parametrize('name', ['gin/search/smoke.gin', 'search/smoke.gin', 'mine.gin'])
def test_a_file_of_the_user_comes_first(folder, capsys, name):
  write(folder / name)
  for again in (name, str(folder / name), str(ROOT / 'gin' / 'search' / 'smoke.gin')):
    assert gin_files.resolve_all([again]) == [again]
    gin_files.announce([again])
  assert capsys.readouterr() == ('', '')


def test_the_installed_experiments_are_those_of_the_package():
  assert gin_files.EXPERIMENTS == ROOT / 'gin' and not (ROOT / 'evonorm_tf' / 'experiments').exists()


@pytest.mark.parametrize('name', ['../gin/search/smoke.gin', 'gin/../setup.py', '/gin/search/smoke.gin', 'gin', ''])
def test_only_experiments_are_taken_from_the_package(folder, name):
  with pytest.raises(gin_files.GinFileError):
    gin_files.resolve(name)


def test_a_missing_file_is_refused_with_the_places(folder):
  with pytest.raises(gin_files.GinFileError) as error:
    gin_files.resolve_all(['gin/search/quikstart.gin'])
  assert str(error.value) == (
      f'Unable to open file: gin/search/quikstart.gin. There is no {folder}/gin/search/quikstart.gin and no '
      f'{ROOT}/gin/search/quikstart.gin. Did you mean search/quickstart.gin?')


def test_included_files_are_looked_for_beforehand(folder, capsys):
  write(folder / 'a.gin', "include 'b.gin'\n")
  write(folder / 'b.gin', 'x = 1\n  include "gin/search/random_search.gin"\n# include "c.gin"\n')
  gin_files.announce(['a.gin'])
  assert [pathlib.Path(line).name for line in capsys.readouterr().err.splitlines()] == [
      'random_search.gin', 'quickstart.gin']

  write(folder / 'b.gin', "include 'c.gin'\n")
  with pytest.raises(gin_files.GinFileError, match='Unable to open file: c.gin. .* It is included in b.gin.$'):
    gin_files.resolve_all(['a.gin'])

  write(folder / 'b.gin', "include 'a.gin'\n")
  with pytest.raises(gin_files.GinFileError, match='^a.gin includes itself.$'):
    gin_files.resolve_all(['a.gin'])


@pytest.mark.usefixtures('no_configuration')
@pytest.mark.parametrize('blocking', ['', 'search', 'gin/search'])
def test_gin_finds_what_is_included(folder, caplog, blocking):
  """Also where the current folder has a folder of that name, in which gin by itself would fail to look."""
  (folder / blocking).mkdir(parents=True, exist_ok=True)
  write(folder / 'mine.gin', "include 'search/random_search.gin'\nrun_search.candidates = 7\n")
  gin.parse_config_file('mine.gin')
  bound = {name.rpartition('.')[2]: value for name, value in gin_configuration.bindings().items()}
  assert bound['candidates'] == '7' and bound['window'] == '100' and not caplog.records


@pytest.mark.usefixtures('no_configuration')
def test_an_included_file_is_also_looked_for_beside_the_one_that_includes_it(folder, capsys):
  """In the current folder first, then beside it, then in the package."""
  write(folder / 'mine' / 'a.gin', "include 'parts/b.gin'\nA = 1\nX = %B\n")
  write(folder / 'mine' / 'parts' / 'b.gin', 'include "c.gin"\nB = 2\nY = %A\n')
  write(folder / 'mine' / 'parts' / 'c.gin', "include 'search/smoke.gin'\n")
  write(folder / 'mine' / 'parts' / 'search' / 'smoke.gin', 'C = 3\n')
  gin.parse_config_file(str(folder / 'mine' / 'a.gin'))
  assert gin_configuration.bindings() == {'A': '1', 'B': '2', 'C': '3', 'X': '%B', 'Y': '%A'}
  gin_files.resolve_all(['mine/a.gin'])
  assert capsys.readouterr() == ('', '')

  write(folder / 'c.gin', 'C = 4\n')
  gin.clear_config()
  gin.parse_config_file('mine/a.gin')
  assert gin_configuration.bindings()['C'] == '4'


def test_a_line_that_gin_refuses_is_named_with_its_file(folder):
  write(folder / 'a.gin', "include 'b.gin'\n")
  write(folder / 'b.gin', 'A = 1\nA 2\n')
  with pytest.raises(SyntaxError) as error:
    gin.parse_config_file('a.gin')
  assert (error.value.filename, error.value.lineno) == (str(folder / 'b.gin'), 2)


def test_what_is_not_text_is_refused(folder):
  (folder / 'a.gin').write_bytes(b'A = \xff')
  with pytest.raises(gin_files.GinFileError, match='^a.gin is not a gin file: it is not text in UTF-8'):
    gin_files.resolve_all(['a.gin'])


@pytest.mark.parametrize('binary', ['search.run_search', 'evonorm_tf.train'])
def test_a_missing_file_is_refused_before_tensorflow_is_imported(folder, binary):
  script = (f'import atexit, sys; from absl import app; from {binary} import main; '
            'atexit.register(lambda: print("tensorflow" in sys.modules)); app.run(main)')
  command = [sys.executable, '-c', script, '--gin_file=none.gin', '--model_dir=there']
  ended = subprocess.run(command, capture_output=True, text=True, check=False, env={'PYTHONPATH': str(ROOT)})
  assert (ended.returncode, ended.stdout) == (1, 'False\n') and not (folder / 'there').exists()
  assert ended.stderr.startswith('error: Unable to open file: none.gin. ') and ended.stderr.count('\n') == 1
