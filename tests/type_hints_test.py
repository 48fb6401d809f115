"""Every public function of the packages has type hints, and every public class and function a docstring of its own."""

import ast

import pytest

from tests.imports_test import SOURCES

# Methods that Keras defines and calls. They need no docstring, because they do what Keras says of them and no more;
# `call` does need one.
KERAS_METHODS = ('build', 'compute_mask', 'compute_output_shape', 'from_config', 'get_config')


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


def undocumented(body, prefix=''):
  """The dotted names of the public classes and functions without a docstring of their own.

  The decorator `documented` writes the docstring of a class, but not those of its methods.
  """
  for node in body:
    if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith('_'):
      continue
    is_written = any(ast.unparse(decorator) == 'documented' for decorator in node.decorator_list)
    is_keras_method = prefix and node.name in KERAS_METHODS
    if not (ast.get_docstring(node) or is_written or is_keras_method):
      yield prefix + node.name
    if isinstance(node, ast.ClassDef):
      yield from undocumented(node.body, f'{prefix}{node.name}.')


def test_the_rule_sees_what_is_missing():
  source = ('class A:\n  def __init__(self, a, b: int): pass\n  def f(self): pass\n  def _g(self, x): pass\n'
            'def _h(y): pass')
  found = {name: missing_hints(function) for name, function in public_functions(ast.parse(source).body)}
  assert found == {'A.__init__': ['a'], 'A.f': ['return']}


def test_the_rule_sees_missing_docstrings():
  source = ('class A(Layer):\n  def build(self): pass\n  def call(self): pass\n  def _f(self): pass\n'
            '  def __len__(self): return 0\n@documented\nclass B:\n  def g(self): pass\nclass _C:\n  def h(self): pass'
            '\nclass D:\n  "Text."\n  def get_config(self): pass\ndef build(): pass\nasync def i(): pass\n'
            'def j():\n  "Text."\n  def k(): pass')
  assert list(undocumented(ast.parse(source).body)) == ['A', 'A.call', 'B.g', 'build', 'i']


@pytest.mark.parametrize('module', SOURCES)
def test_public_classes_and_functions_have_docstrings(module):
  assert not list(undocumented(ast.parse(SOURCES[module]).body))


@pytest.mark.parametrize('module', SOURCES)
def test_public_functions_have_type_hints(module):
  missing = {name: missing_hints(function) for name, function in public_functions(ast.parse(SOURCES[module]).body)}
  assert not {name: arguments for name, arguments in missing.items() if arguments}
