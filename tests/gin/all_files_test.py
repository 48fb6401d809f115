"""Every gin file: nothing in it is idle, and its values, and the defaults, have the types of the hints."""

import inspect
import pathlib
from typing import Any

import gin
import pytest

from evonorm_tf.cli import gin_configuration
from evonorm_tf.cli import gin_files
from evonorm_tf.cli import gin_statements
from evonorm_tf.cli import gin_types

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / 'gin').glob('*/*.gin'))
RAY = ROOT / 'gin' / 'search' / 'ray.gin'  # given after another file
pytestmark = pytest.mark.usefixtures('no_configuration')


def files_of(file):
  return [str(FILES[0].parents[1] / 'search' / 'quickstart.gin'), str(file)] if file == RAY else [str(file)]


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_every_setting_is_read(file):
  statements = gin_statements.read(files_of(file), [])
  gin_statements.check(statements, {})
  roots = statements.functions().keys() & gin_configuration.COMMANDS
  assert roots == ({'run_sweep', 'run_classification'} if file.stem.endswith('batch_size') else {*roots}) and roots


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_values_and_defaults_have_the_types_of_the_hints(file):
  gin.parse_config_files_and_bindings(gin_files.resolve_all(files_of(file)), [])
  gin_types.check()
  for _, selector in gin.config._CONFIG:
    function = gin.config._REGISTRY[selector].wrapped
    hints = gin_types._hints(function)
    for name, parameter in inspect.signature(function).parameters.items() if hints else ():
      if parameter.default is not parameter.empty:
        assert gin_types._fits(parameter.default, hints.get(name, Any)), (selector, name)


def test_the_commands_run_these_roots():
  for module in gin_configuration.COMMANDS.values():
    assert (ROOT / f'{module.replace(".", "/")}.py').is_file()
  for root, module in gin_configuration.COMMANDS.items():
    assert f".{root}'" in (ROOT / f'{module.replace(".", "/")}.py').read_text()
