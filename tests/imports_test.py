"""Who may import what, read from the source by `ast`: the rules of style.md's section on imports."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ('evonorm_tf', 'search', 'detection', 'gan')
# Graphs and selection, without TensorFlow. Modules of the search that do not exist yet are skipped.
TENSORFLOW_FREE = ('evonorm_tf.graph.layer_graph', 'evonorm_tf.graph.primitives') + tuple(f'search.{name}' for name in (
    'random_graph', 'mutation', 'known_graphs', 'static_filter', 'canonical', 'tangents', 'fingerprint', 'equivalence',
    'collision_audit', 'population', 'tournament', 'proposal', 'journal', 'record_checks', 'equation', 'drawing',
    'simplification', 'layer_statements', 'layer_code'))
HEAVY = ('tensorflow', 'tf_keras', 'keras', 'tensorflow_addons', 'tensorflow_datasets', 'orbit', 'official')


def module_name(path):
  """search/known_graphs.py -> search.graphs.known_graphs; a package's __init__.py -> the package."""
  return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


SOURCES = {module_name(path): path.read_text()
           for package in PACKAGES for path in sorted((ROOT / package).rglob('*.py'))}
TESTS = {module_name(path): path.read_text() for path in sorted((ROOT / 'tests').rglob('*.py'))}


def imports_of(source):
  """The dotted names that a module imports anywhere in it; `from a import b` gives a.b."""
  names = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f'{"." * node.level}{node.module or ""}.{alias.name}' for alias in node.names}
  return names


def imports_any(source, *packages):
  """The imported names that lie in one of the packages (or modules)."""
  return sorted(n for n in imports_of(source) if any(n == p or n.startswith(f'{p}.') for p in packages))


def uses_tf_keras_attribute(source):
  """Whether `tf.keras` or `tensorflow.keras` is used, which is Keras 2 or 3 as the environment has it."""
  attributes = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute) and n.attr == 'keras')
  return bool(imports_any(source, 'tensorflow.keras')) or any(
      isinstance(n.value, ast.Name) and n.value.id in ('tf', 'tensorflow') for n in attributes)


def is_binary(source):
  """Whether the module has a block `if __name__ == '__main__':`."""
  blocks = [n for n in ast.parse(source).body if isinstance(n, ast.If)]
  return any(ast.unparse(block.test) == "__name__ == '__main__'" for block in blocks)


def test_the_rules_see_offences():
  source = 'def f():\n  from absl import flags\nimport gin.tf as g\nfrom . import a\nfrom evonorm_tf import evonorm'
  assert imports_of(source) == {'absl.flags', 'gin.tf', '..a', 'evonorm_tf.layers.keras2'}
  assert imports_any(source, 'gin', 'evonorm') == ['gin.tf']
  assert uses_tf_keras_attribute('x = tf.keras.layers') and uses_tf_keras_attribute('from tensorflow import keras')
  assert not uses_tf_keras_attribute('import tf_keras\ny = tf_keras.layers')
  assert is_binary("if __name__ == '__main__':\n  pass") and not is_binary("name = '__main__'")
  assert {'evonorm_tf', 'evonorm_tf.layers.keras2', 'search.graphs.known_graphs'} <= SOURCES.keys()


@pytest.mark.parametrize('module', SOURCES)
def test_packages(module):
  package = module.split('.')[0]
  allowed = {package, 'evonorm_tf'}
  assert not imports_any(SOURCES[module], *set(PACKAGES) - allowed)
  assert not imports_any(SOURCES[module], 'tests', 'pytest', 'hypothesis')
  assert not [name for name in imports_of(SOURCES[module]) if name.startswith('.')], 'imports are absolute'


@pytest.mark.parametrize('module', SOURCES)
def test_gin_flags_and_keras(module):
  source = SOURCES[module]
  if module.split('.')[-1] != 'experiment':
    assert not imports_any(source, 'gin')
  if not is_binary(source) and module not in ('evonorm_tf.cli.gin_binary', 'evonorm_tf.cli.training_flags'):
    assert not imports_any(source, 'absl.flags') and 'FLAGS' not in source
  if module != 'evonorm_tf.layers.addons':
    assert not uses_tf_keras_attribute(source)
    assert not imports_any(source, 'tensorflow_addons') and "'tensorflow_addons'" not in source


@pytest.mark.parametrize('module', TESTS)
def test_tests_use_tf_keras(module):
  if not module.endswith('addons_test'):
    assert not uses_tf_keras_attribute(TESTS[module]) and not imports_any(TESTS[module], 'tensorflow_addons')


@pytest.mark.parametrize('module', [m for m in TENSORFLOW_FREE if m in SOURCES])
def test_graphs_and_selection_name_no_tensorflow(module):
  assert not imports_any(SOURCES[module], *HEAVY)


def test_graphs_and_selection_load_no_tensorflow():
  modules = ', '.join(m for m in TENSORFLOW_FREE if m in SOURCES)
  check = f'import sys, {modules}; print(sorted(set(sys.modules) & {set(HEAVY)}))'
  run = subprocess.run([sys.executable, '-c', check], cwd=ROOT, capture_output=True, text=True, check=False)
  assert (run.stdout, run.returncode) == ('[]\n', 0), run.stderr


def test_gin_folder_is_no_package():
  assert (ROOT / 'gin').is_dir() and not list((ROOT / 'gin').rglob('*.py'))
