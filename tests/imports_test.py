"""Who may import what, read from the source by `ast`: a rule for each folder, and none for a name it does not know."""

import ast
import functools
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ('evonorm_tf', 'search', 'detection', 'gan')
HEAVY = ('tensorflow', 'tf_keras', 'keras', 'tensorflow_addons', 'tensorflow_datasets', 'orbit', 'official')
# What a folder, or a module beside the folders, may do with TensorFlow: nothing at all, import it when a function runs,
# or whatever it likes.
NEVER, LATE, FREELY = 'never', 'late', 'freely'
RULES = {
    'evonorm_tf': LATE, 'evonorm_tf.errors': NEVER, 'evonorm_tf.checks': NEVER, 'evonorm_tf.former_names': LATE,
    'evonorm_tf.termination': NEVER,
    'evonorm_tf.lazy_names': LATE, 'evonorm_tf.train': LATE, 'evonorm_tf.sweep': LATE, 'evonorm_tf.keras3': FREELY,
    'evonorm_tf.cli': LATE, 'evonorm_tf.output': NEVER, 'evonorm_tf.graph': NEVER,
    'evonorm_tf.engines': FREELY, 'evonorm_tf.equations': NEVER,
    'evonorm_tf.gradients': FREELY,
    'evonorm_tf.devices': FREELY, 'evonorm_tf.layers': FREELY, 'evonorm_tf.models': FREELY,
    'evonorm_tf.conversion': FREELY, 'evonorm_tf.data': FREELY, 'evonorm_tf.training': FREELY,
    'evonorm_tf.classification': FREELY, 'evonorm_tf.batch_size_sweep': FREELY,
    'search': LATE, 'search.run_search': LATE, 'search.analyze': LATE, 'search.compile_layer': LATE,
    'search.audit_equivalence': LATE, 'search.evolution': FREELY, 'search.scheduler': LATE, 'search.jobs': LATE,
    'search.study': FREELY, 'search.recorder': FREELY,
    'search.run_study': LATE,
    'search.graphs': NEVER, 'search.equivalence': NEVER, 'search.journal': NEVER, 'search.selection': NEVER,
    'search.execution': LATE, 'search.evaluation': FREELY, 'search.reporting': FREELY,
    'search.code_generation': FREELY, 'search.library': FREELY,
    'detection': LATE, 'detection.train': LATE, 'detection.prepare': LATE, 'detection.trainer': FREELY,
    'detection.task': FREELY, 'detection.models': FREELY, 'detection.pretrained': FREELY,
    'detection.data': FREELY, 'detection.results': FREELY,
    'gan': LATE, 'gan.train': LATE, 'gan.trainer': FREELY, 'gan.data': FREELY,
    'gan.networks': FREELY, 'gan.training': FREELY, 'gan.samples': FREELY, 'gan.scores': FREELY,
}
# Modules that may import gin, and those that may define flags beside those with a block `if __name__ == '__main__':`.
GIN = ('evonorm_tf.cli.gin_binary', 'evonorm_tf.cli.gin_configuration', 'evonorm_tf.cli.gin_statements',
       'evonorm_tf.cli.gin_types')
FLAGS = ('evonorm_tf.cli.gin_binary', 'evonorm_tf.cli.training_flags', 'evonorm_tf.cli.console',
         'evonorm_tf.cli.users_modules')


def module_name(path):
  """search/graphs/mutation.py -> search.graphs.mutation; a package's __init__.py -> the package."""
  return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


SOURCES = {module_name(path): path.read_text()
           for package in PACKAGES for path in sorted((ROOT / package).rglob('*.py'))}
FOLDERS = {module_name(path) for package in PACKAGES for path in (ROOT / package).rglob('__init__.py')}
TESTS = {module_name(path): path.read_text() for path in sorted((ROOT / 'tests').rglob('*.py'))}


def ruled_by(module):
  """What the rules know a module by: its folder, or itself where it lies beside the folders."""
  return module if module in FOLDERS or module.count('.') == 1 else module.rpartition('.')[0]


parsed = functools.cache(ast.parse)


@functools.cache
def imports_of(source):
  """The dotted names that a module imports anywhere in it; `from a import b` gives a.b."""
  names = set()
  for node in ast.walk(parsed(source)):
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
  attributes = (n for n in ast.walk(parsed(source)) if isinstance(n, ast.Attribute) and n.attr == 'keras')
  return bool(imports_any(source, 'tensorflow.keras')) or any(
      isinstance(n.value, ast.Name) and n.value.id in ('tf', 'tensorflow') for n in attributes)


def is_binary(source):
  """Whether the module has a block `if __name__ == '__main__':`."""
  blocks = [n for n in parsed(source).body if isinstance(n, ast.If)]
  return any(ast.unparse(block.test) == "__name__ == '__main__'" for block in blocks)


def folder_imports(sources, folders):
  """For each folder the folders whose modules it imports, itself left out; those of __init__.py are none of a face."""
  graph = {folder: set() for folder in folders if '.' in folder}
  for module, source in sources.items():
    folder = module.rpartition('.')[0]
    if module in folders or folder not in graph:
      continue
    for name in imports_of(source):
      for other in graph:
        if name.startswith(f'{other}.') and other != folder:
          graph[folder].add(other)
  return graph


def test_the_rules_see_offences():
  source = 'def f():\n  from absl import flags\nimport gin.tf as g\nfrom . import a\nfrom evonorm_tf import layers'
  assert imports_of(source) == {'absl.flags', 'gin.tf', '..a', 'evonorm_tf.layers'}
  assert imports_any(source, 'gin', 'layers') == ['gin.tf']
  assert uses_tf_keras_attribute('x = tf.keras.layers') and uses_tf_keras_attribute('from tensorflow import keras')
  assert not uses_tf_keras_attribute('import tf_keras\ny = tf_keras.layers')
  assert is_binary("if __name__ == '__main__':\n  pass") and not is_binary("name = '__main__'")
  assert ruled_by('search.graphs.mutation') == 'search.graphs' and ruled_by('search.evolution') == 'search.evolution'
  sources = {'p.a.x': 'from p.b.y import z', 'p.b.y': 'import p.a.x', 'p.b': 'from p.a.x import z'}
  assert folder_imports(sources, {'p', 'p.a', 'p.b'}) == {'p.a': {'p.b'}, 'p.b': {'p.a'}}


def test_each_module_has_a_rule_and_each_rule_a_module():
  assert {ruled_by(module) for module in SOURCES} == RULES.keys()


def test_folders_import_each_other_one_way():
  graphlib.TopologicalSorter(folder_imports(SOURCES, FOLDERS)).prepare()  # raises CycleError, which names the folders


def test_a_sweep_needs_no_model_garden():
  for module, source in SOURCES.items():
    if module.startswith('evonorm_tf.batch_size_sweep.'):
      assert not imports_any(source, 'official', 'evonorm_tf.training'), module


def test_no_folder_is_a_hall():
  for folder in FOLDERS:
    assert len(list((ROOT / folder.replace('.', '/')).glob('*.py'))) <= 15, folder


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
  if module not in GIN:
    assert not imports_any(source, 'gin')
  if not is_binary(source) and module not in FLAGS:
    assert not imports_any(source, 'absl.flags') and 'FLAGS' not in source
  if module != 'evonorm_tf.layers.addons':
    assert not uses_tf_keras_attribute(source)
    assert not imports_any(source, 'tensorflow_addons') and "'tensorflow_addons'" not in source


@pytest.mark.parametrize('module', TESTS)
def test_tests_import_no_benchmark_with_flags(module):
  # All tests share one process, where two flags of one name are an error.
  for name in imports_any(TESTS[module], 'benchmarks'):
    parts = name.split('.')
    paths = (ROOT.joinpath(*parts[:n]).with_suffix('.py') for n in (len(parts), len(parts) - 1))
    assert not any(path.exists() and 'absl' in path.read_text() for path in paths), name


@pytest.mark.parametrize('module', TESTS)
def test_tests_use_tf_keras(module):
  if not module.endswith('addons_test'):
    assert not uses_tf_keras_attribute(TESTS[module]) and not imports_any(TESTS[module], 'tensorflow_addons')


@pytest.mark.parametrize('module', [m for m in SOURCES if RULES.get(ruled_by(m)) == NEVER])
def test_names_no_tensorflow(module):
  assert not imports_any(SOURCES[module], *HEAVY)


def loaded_by(*modules):
  """What a fresh process prints after it has imported the modules: the heavy ones among all that were loaded."""
  check = f'import sys, {", ".join(modules)}; print(sorted(set(sys.modules) & {set(HEAVY)}))'
  run = subprocess.run([sys.executable, '-c', check], cwd=ROOT, capture_output=True, text=True, check=False)
  return run.stdout or run.stderr


LIGHT = [m for m in SOURCES if RULES.get(ruled_by(m)) in (NEVER, LATE)]


def test_loads_no_tensorflow():
  assert loaded_by(*(m for m in LIGHT if not is_binary(SOURCES[m]))) == '[]\n'


@pytest.mark.parametrize('module', [m for m in LIGHT if is_binary(SOURCES[m])])
def test_binary_loads_no_tensorflow(module):
  assert loaded_by(module) == '[]\n'


def test_gin_folder_is_no_package():
  assert (ROOT / 'gin').is_dir() and not list((ROOT / 'gin').rglob('*.py'))
