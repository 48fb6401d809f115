"""The examples in the docstrings of the library, which are run; every class and function for users has one."""

import doctest
import shutil

import pytest

import search

WITHOUT = {'Evaluator', 'RejectionTest', 'Strategy'}  # interfaces, which examples/ has in use
SLOW = {'run'}


class Checker(doctest.OutputChecker):
  """Takes what a search prints before the expected output, if the example runs one."""

  def __init__(self, runs_a_search):
    self._runs_a_search = runs_a_search

  def check_output(self, want, got, optionflags):
    return self._runs_a_search and got.endswith(want) or super().check_output(want, got, optionflags)


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
  """A folder with a search as runs/quickstart, in which the examples run."""
  shutil.copytree(whole[0], tmp_path / 'runs' / 'quickstart')
  monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in search.__all__])
def test_examples(name, folder, registrations_undone):
  value = getattr(search, name)
  assert value.__doc__ and not value.__doc__.startswith(f'{name}(')
  tests = [t for t in doctest.DocTestFinder(recurse=False).find(value, name, globs={}) if t.examples]
  assert bool(tests) != (name in WITHOUT)
  for test in tests:
    results = doctest.DocTestRunner(Checker(name in SLOW), optionflags=doctest.ELLIPSIS).run(test)
    assert results.attempted and not results.failed
