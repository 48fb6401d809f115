"""The slow tests in pieces: what has passed is not run again, until a file changes."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / 'tools' / 'slow_tests.py'
PASSING = 'import pytest\n\n@pytest.mark.slow\ndef test_it():\n  pass\n\ndef test_quick():\n  raise ValueError\n'


@pytest.fixture
def run(tmp_path):
  """Runs the script in a small repository; returns its exit code and the lines of its summary."""
  (tmp_path / 'pytest.ini').write_text('[pytest]\nmarkers = slow\npython_files = *_test.py\n')
  (tmp_path / '.gitignore').write_text('build/\n__pycache__/\n.pytest_cache/\nready\n')
  (tmp_path / 'a_test.py').write_text(PASSING)
  (tmp_path / 'b_test.py').write_text(PASSING.replace('pass\n', 'assert open("ready")\n', 1))
  (tmp_path / 'c_test.py').write_text(PASSING.replace('@pytest.mark.slow\n', ''))
  subprocess.run(['git', 'init', '--quiet'], cwd=tmp_path, check=True)

  def run_script(*files):
    command = [sys.executable, str(SCRIPT), *files]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.rpartition('\n\n')[2].splitlines()

  return run_script


@pytest.mark.slow
def test_what_has_passed_is_not_run_again(run, tmp_path):
  code, (first, second, last) = run()
  assert code == 1 and first.startswith('a_test.py (1 tests): passed in ') and first.endswith(' s')
  assert (second, last) == ('b_test.py (1 tests): FAILED', '1 of 2 files passed.')
  (tmp_path / 'ready').touch()
  code, (first, second, last) = run()
  assert code == 0 and first.endswith('s, before') and second.endswith(' s') and last == '2 of 2 files passed.'
  (tmp_path / 'new.py').touch()
  code, (first, last) = run('a_test.py')
  assert code == 0 and first.endswith(' s') and last == '1 of 1 files passed.'
