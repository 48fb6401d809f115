"""Console commands are the binaries of `python -m`: same help, same flags, and no TensorFlow for either."""

import ast
import pathlib
import subprocess
import sys
import tomllib

import pytest

from tests.imports_test import is_binary
from tests.imports_test import SOURCES

ROOT = pathlib.Path(__file__).parents[3]
COMMANDS = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['scripts']
# A script as pip makes it, which ends with the modules that it has imported.
SCRIPT = """import atexit, sys
atexit.register(lambda: print('tensorflow' in sys.modules))
from {module} import {function}
sys.exit({function}())
"""


def start(tmp_path, name, *arguments):
  """Runs a console command in a folder of its own."""
  module, function = COMMANDS[name].split(':')
  script = tmp_path / name
  script.write_text(SCRIPT.format(module=module, function=function))
  command = [sys.executable, str(script), *arguments]
  return subprocess.run(
      command, cwd=tmp_path, capture_output=True, text=True, check=False, env={'PYTHONPATH': str(ROOT)})


@pytest.mark.parametrize('name', COMMANDS)
def test_help_is_that_of_the_module_without_tensorflow(tmp_path, name):
  module = COMMANDS[name].partition(':')[0]
  shown = start(tmp_path, name, '--help')
  assert shown.returncode == 1 and shown.stdout.startswith(ast.get_docstring(ast.parse(SOURCES[module])))
  assert shown.stdout.endswith('\nFalse\n')
  required = 'layer' if name == 'evonorm-compile-layer' else 'model_dir'
  assert f'--{required}: ' in shown.stdout


@pytest.mark.parametrize('name', COMMANDS)
def test_flags_are_parsed(tmp_path, name):
  ended = start(tmp_path, name, '--nonsense=1')
  assert ended.returncode == 1 and "Unknown command line flag 'nonsense'" in ended.stderr


@pytest.mark.parametrize('name', COMMANDS)
def test_the_entry_says_which_command_it_is(name):
  module, function = COMMANDS[name].split(':')
  entry, = (n for n in ast.parse(SOURCES[module]).body if isinstance(n, ast.FunctionDef) and n.name == function)
  assert is_binary(SOURCES[module]) and ast.get_docstring(entry) == f'The console command `{name}`.'


def test_the_extra_that_is_missing_is_named(tmp_path):
  script = "import sys; sys.modules['gin'] = None; import search.run_search"
  ended = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True, check=False)
  assert (ended.returncode, ended.stdout) == (1, '') and "pip install '.[search]'" in ended.stderr
  assert ended.stderr.startswith('error: gin-config is missing.') and ended.stderr.count('\n') == 1
