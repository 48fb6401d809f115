"""Rich reads [words] in a string as markup and :words: as pictures: what is shown goes through neither."""

import ast
import io

import pytest
from rich.console import Console

from search import evolution
from tests.imports_test import SOURCES
from tests.search.fake_search import search

WITH_RICH = sorted(module for module, source in SOURCES.items() if 'rich' in source)


def offences(source):
  """The calls that show a string which is no `Text`: of a console's `print`, and of a progress bar's `TextColumn`."""
  for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
    name = ast.unparse(call.func)
    if name.endswith('console.print'):
      shown = [ast.unparse(argument.func) if isinstance(argument, ast.Call) else '' for argument in call.args]
      if not all(function == 'Text' or function.endswith('_table') for function in shown):
        yield ast.unparse(call)
    elif name.endswith('TextColumn') and 'markup=False' not in ast.unparse(call):
      yield ast.unparse(call)


def test_offences_are_seen():
  source = "self._console.print(f'a {b}')\nconsole.print(Text(a), soft_wrap=True)\nprint('a')\nTextColumn('{a}')"
  assert list(offences(source)) == ["self._console.print(f'a {b}')", "TextColumn('{a}')"]
  assert 'search.evolution' in WITH_RICH


@pytest.mark.parametrize('module', WITH_RICH)
def test_no_string_goes_through_markup(module):
  assert not list(offences(SOURCES[module]))


def test_the_path_of_a_report_is_printed_as_it_is(tmp_path, monkeypatch):
  console = Console(file=io.StringIO(), width=400)
  monkeypatch.setattr(evolution, 'Console', lambda: console)
  folder = tmp_path / 'a [bold]b[/bold] [1] :cat: c'
  search(folder, candidates=4)
  assert console.file.getvalue().splitlines()[-1] == f'Report: {folder}/report/report.md'
