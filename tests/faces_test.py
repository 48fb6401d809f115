"""The face of each folder: an `__init__.py` whose public names editors and Python see alike, and can import."""

import ast
import importlib
import importlib.util

import pytest

from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.lazy_names import lazy_names
from tests.imports_test import FOLDERS
from tests.imports_test import SOURCES

# Top-level modules that are optional; a name that needs one is not imported where it is missing.
OPTIONAL = ('ray', 'tensorflow_addons', 'tensorflow_datasets', 'official', 'pycocotools', 'scipy', 'igraph', 'keras')


def names_for_editors(package, source):
  """{name: module} of the imports under `if TYPE_CHECKING:`; each must be a re-export, `import name as name`."""
  blocks = [node for node in ast.parse(source).body
            if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING']
  found = {}
  for node in (statement for block in blocks for statement in block.body):
    assert isinstance(node, ast.ImportFrom) and node.module.startswith(f'{package}.'), ast.unparse(node)
    for alias in node.names:
      assert alias.name == alias.asname and alias.name not in found, ast.unparse(node)
      found[alias.name] = node.module
  return found


def names_for_python(package, source):
  """{name: module} of the call of `lazy_names`."""
  calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
           and ast.unparse(node.func) == 'lazy_names']
  assert [ast.unparse(call.args[0]) for call in calls] in ([], ['__name__'])
  pairs = [(name, f'{package}.{module}') for call in calls
           for module, names in ast.literal_eval(call.args[1]).items() for name in names]
  assert len(dict(pairs)) == len(pairs)
  return dict(pairs)


FACES = {folder: names_for_python(folder, SOURCES[folder]) for folder in sorted(FOLDERS)}


def test_the_rule_sees_what_differs():
  source = ('if TYPE_CHECKING:\n  from p.a import x as x\n  from p.a import y as y\n'
            "__getattr__, __dir__, __all__ = lazy_names(__name__, {'a': ('x',), 'b': ('y',)})")
  assert names_for_editors('p', source) == {'x': 'p.a', 'y': 'p.a'}
  assert names_for_python('p', source) == {'x': 'p.a', 'y': 'p.b'}


@pytest.mark.parametrize('folder', FACES)
def test_editors_see_what_python_does(folder):
  assert names_for_editors(folder, SOURCES[folder]) == FACES[folder]
  assert ast.get_docstring(ast.parse(SOURCES[folder]))


@pytest.mark.parametrize('folder', [folder for folder, names in FACES.items() if names])
def test_names_can_be_imported_and_are_listed(folder):
  package = importlib.import_module(folder)
  assert package.__all__ == sorted(FACES[folder]) and package.__all__ == dir(package)
  for name, module in FACES[folder].items():
    assert f'{module}' in SOURCES, f'{module} does not exist'
    # A name that is a module's too would change its meaning as soon as the module is imported.
    assert f'{folder}.{name}' not in SOURCES, f'{folder}.{name} is a module, too'
    try:
      value = getattr(package, name)
    except ImportError as e:
      missing = (e.name or '').partition('.')[0]
      if missing not in OPTIONAL or importlib.util.find_spec(missing):
        raise
      continue
    assert value is getattr(importlib.import_module(module), name)
  with pytest.raises(AttributeError, match='no_such_name'):
    package.no_such_name  # noqa: B018


@pytest.mark.parametrize('missing, kind, text', [
    ('igraph', MissingDependencyError, r"It comes with `pip install '\.\[search\]'`"),
    ('tf_keras', MissingDependencyError, 'in Keras 3 on JAX or PyTorch use `evonorm_tf.keras3`'),
    ('search.jobs', ModuleNotFoundError, 'No module named')])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, missing, kind, text):
  def absent(name):
    raise ModuleNotFoundError(f'No module named {missing!r}', name=missing)

  own_getattr = lazy_names('search', {'jobs': ('Evaluator',)})[0]
  monkeypatch.setattr(importlib, 'import_module', absent)
  with pytest.raises(kind, match=text) as raised:
    own_getattr('Evaluator')
  assert type(raised.value) is kind
