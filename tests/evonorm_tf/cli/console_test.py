"""Console commands are the binaries of `python -m`: same help, same flags, and no TensorFlow for either."""

import ast
import dataclasses
import importlib
import inspect
import pathlib
import re
import subprocess
import sys
import tomllib

import gin
import pytest

from evonorm_tf.cli import gin_configuration
from tests.imports_test import is_binary
from tests.imports_test import SOURCES

ROOT = pathlib.Path(__file__).parents[3]
COMMANDS = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['scripts']
ROOTS = {
    'evonorm-search': 'search.evolution.run_search', 'evonorm-study': 'search.study.run_study',
    'evonorm-train': 'evonorm_tf.classification.trainer.run_classification',
    'evonorm-sweep': 'evonorm_tf.batch_size_sweep.sweep.run_sweep',
    'evonorm-detect': 'detection.trainer.run_mask_rcnn', 'evonorm-gan': 'gan.trainer.run_gan'}
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
  assert shown.returncode == 0 and shown.stdout.startswith(ast.get_docstring(ast.parse(SOURCES[module])))
  assert shown.stdout.endswith('\nFalse\n')
  required = 'layer' if name == 'evonorm-compile-layer' else 'model_dir'
  assert f'--{required}: ' in shown.stdout


WITH_SETTINGS = [name for name, entry in COMMANDS.items() if 'Settings that' in SOURCES[entry.partition(':')[0]]]


@pytest.mark.parametrize('name', WITH_SETTINGS)
def test_the_settings_in_the_help_are_those_of_the_file(name):
  text = ast.get_docstring(ast.parse(SOURCES[COMMANDS[name].partition(':')[0]]))
  file, = re.findall(r'--gin_file=(gin/\S+\.gin) --model_dir', text.partition('\n')[0])
  settings = dict(re.findall(r'(?m)^  ([\w.]+) = (.*?)(?:  #.*)?$', text))
  gin.clear_config()
  module, _, root = ROOTS[name].rpartition('.')
  arguments = inspect.signature(getattr(importlib.import_module(module), root)).parameters
  gin_configuration.configure(ROOTS[name], [file], [], tuple(arguments))
  try:
    for setting, value in settings.items():
      assert ast.literal_eval(value) == value_of(setting), setting
  finally:
    gin.clear_config()
  assert len(settings) >= 3


def value_of(setting):
  """What the configuration binds, or the default of the argument."""
  name, _, argument = setting.rpartition('.')
  if not name:
    return gin.query_parameter(f'{setting}/macro.value')
  configurable = gin.get_configurable(name)
  try:
    return gin.query_parameter(setting)
  except ValueError:
    if dataclasses.is_dataclass(configurable):
      return next(field.default for field in dataclasses.fields(configurable) if field.name == argument)
    return inspect.signature(configurable).parameters[argument].default


def test_six_commands_tell_their_settings():
  assert len(WITH_SETTINGS) == 6


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
  assert ended.stderr.startswith('error: ') and 'gin' in ended.stderr and ended.stderr.count('\n') == 1
