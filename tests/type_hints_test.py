"""Every public function of the packages has type hints, and every public class and function a docstring."""

import ast

import pytest

from tests.imports_test import SOURCES


def public_functions(body, prefix=''):
  """The public functions of a module or class, and `__init__` of public classes, with their dotted names."""
  for node in body:
    if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
      yield from public_functions(node.body, f'{prefix}{node.name}.')
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
        not node.name.startswith('_') or node.name in ('__init__', '__call__')):
      yield prefix + node.name, node


def missing_hints(function):
  """The arguments of a function without a type hint, `self` and `cls` aside, and 'return'."""
  arguments = function.args
  named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
  missing = [a.arg for a in named if a.annotation is None and a.arg not in ('self', 'cls')]
  return missing + ([] if function.returns is not None or function.name == '__init__' else ['return'])


def test_the_rule_sees_what_is_missing():
  source = ('class A:\n  def __init__(self, a, b: int): pass\n  def f(self): pass\n  def _g(self, x): pass\n'
            'def _h(y): pass')
  found = {name: missing_hints(function) for name, function in public_functions(ast.parse(source).body)}
  assert found == {'A.__init__': ['a'], 'A.f': ['return']}


@pytest.mark.parametrize('module', SOURCES)
def test_public_functions_have_type_hints(module):
  missing = {name: missing_hints(function) for name, function in public_functions(ast.parse(SOURCES[module]).body)}
  assert not {name: arguments for name, arguments in missing.items() if arguments}
