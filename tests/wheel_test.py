"""The wheel holds all that an installation needs, and runs where the clone is not."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ('evonorm_tf', 'search', 'detection', 'gan')
BUILD = 'import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])'
LAYER = """
import pathlib, sys
import evonorm_tf, tensorflow as tf
assert pathlib.Path(evonorm_tf.__file__).is_relative_to(sys.argv[1]), evonorm_tf.__file__
y = evonorm_tf.EvoNormS0(groups=2)(tf.random.normal([2, 4, 4, 8]))
assert y.shape == [2, 4, 4, 8] and abs(float(tf.math.reduce_mean(y * y)) - 1) < .9
print(evonorm_tf.__version__)
"""
# In an environment of Keras 3 without TensorFlow.
KERAS_3_LAYER = """
import importlib.util, os, pathlib, sys
import keras, numpy as np
from evonorm_tf import keras3
assert not importlib.util.find_spec('tensorflow') and keras.backend.backend() == os.environ['KERAS_BACKEND']
assert pathlib.Path(keras3.__file__).is_relative_to(sys.argv[1]), keras3.__file__
model = keras3.build_resnet(keras3.get_norm_act('evonorm_b0'), depth=8, num_classes=4, input_shape=(16, 16, 3))
model = keras.Sequential([model, keras3.EvoNormS0(groups=2)])
model.compile('sgd', keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(np.random.rand(8, 16, 16, 3), np.arange(8) % 4, verbose=0)
applied = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=3)
assert len(keras3.plan_conversion(applied).fused) == 35
assert keras3.convert_norm_act(applied, 'evonorm_s0')(np.zeros((1, 32, 32, 3), 'float32')).shape == (1, 3)
"""
# Runs a script after LAYER, in the same process, which so imports TensorFlow once.
SCRIPT = LAYER + """
import runpy
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
ONE_CANDIDATE = (
    'run_search.candidates = 1', 'run_search.references = ()', 'proxy_task.ProxyTask.steps = 1',
    'evaluation.Evaluation.stability = None', 'evaluation.Evaluation.quality = None',
    'proxy_task.ProxyTask.architectures = (@resnet/architecture.Architecture(),)')


def run(*command, cwd, path=None, **variables):
  """Runs a command in a folder, with Python's path and no other than it; returns the output."""
  environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  environment |= variables | ({'PYTHONPATH': str(path)} if path else {})
  ended = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False)
  assert ended.returncode == 0, ended.stdout + ended.stderr
  return ended


def expected_names():
  """The files of a wheel by the folders of this clone, its metadata left out."""
  files = {path for package in PACKAGES for path in (ROOT / package).rglob('*') if path.is_file()}
  names = {path.relative_to(ROOT).as_posix() for path in files if '__pycache__' not in path.parts}
  return names | {f'evonorm_tf/experiments/{path.relative_to(ROOT / "gin").as_posix()}'
                  for path in (ROOT / 'gin').rglob('*') if path.is_file()}


def names_in(wheel):
  with zipfile.ZipFile(wheel) as archive:
    return {name for name in archive.namelist() if '.dist-info/' not in name}


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """A copy of what is built, without what earlier builds have left."""
  folder = tmp_path_factory.mktemp('source')
  for name in (*PACKAGES, 'gin'):
    shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
  for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, folder)
  return folder


@pytest.fixture(scope='module')
def wheel(source):
  run(sys.executable, '-c', BUILD, 'build_wheel', 'dist', cwd=source)
  path, = (source / 'dist').glob('*.whl')
  return path


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
  """A folder with the packages and commands of the wheel, to be used with what the present environment has besides."""
  folder = tmp_path_factory.mktemp('installed')
  run(sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index', '--target', folder, wheel,
      cwd=folder)
  return folder


def test_the_wheel_holds_packages_data_and_experiments(wheel):
  assert names_in(wheel) == expected_names()
  assert {f'{package}/py.typed' for package in PACKAGES} < names_in(wheel)


def test_a_wheel_from_the_sdist_is_the_same(source, wheel, tmp_path):
  run(sys.executable, '-c', BUILD, 'build_sdist', tmp_path, cwd=source)
  sdist, = tmp_path.glob('*.tar.gz')
  with tarfile.open(sdist) as archive:
    archive.extractall(tmp_path, filter='data')
  run(sys.executable, '-c', BUILD, 'build_wheel', tmp_path, cwd=tmp_path / sdist.name.removesuffix('.tar.gz'))
  assert names_in(tmp_path / wheel.name) == names_in(wheel)


@pytest.mark.slow
def test_a_layer_and_a_search_run(installed, tmp_path):
  ran = run(sys.executable, '-c', SCRIPT, installed, installed / 'bin' / 'evonorm-search',
            '--gin_file=search/smoke.gin', '--model_dir=found',
            *(f'--gin_bindings={binding}' for binding in ONE_CANDIDATE), cwd=tmp_path, path=installed)
  assert (installed / f'evonorm_tf-{ran.stdout.split()[0]}.dist-info').is_dir()
  assert f'Configuration: {installed}/evonorm_tf/experiments/search/smoke.gin\n' in ran.stderr
  assert (tmp_path / 'found' / 'report' / 'layer_1.json').is_file()


@pytest.fixture
def environment():
  """The `bin` of a new virtual environment, which goes away with the test: it takes up to 3 GB."""
  with tempfile.TemporaryDirectory() as folder:
    run(sys.executable, '-m', 'venv', folder, cwd=folder)
    yield pathlib.Path(folder) / 'bin'


@pytest.mark.slow
def test_a_new_environment_runs_layers_searches_and_trainings(wheel, environment, tmp_path):
  """It has nothing but the wheel and what that names: the layers need no extra, the commands name theirs."""
  def install(extras=''):
    run(environment / 'pip', 'install', '--quiet', '--constraint', ROOT / 'constraints.txt', f'{wheel}{extras}',
        cwd=tmp_path)

  install()
  run(environment / 'python', '-c', LAYER, environment.parent, cwd=tmp_path)
  install('[search]')
  run(environment / 'evonorm-search', '--gin_file=gin/search/smoke.gin', '--model_dir=found',
      '--gin_bindings=run_search.workers = 2', cwd=tmp_path)
  layer = tmp_path / 'found' / 'report' / 'layer_1.json'
  run(environment / 'evonorm-compile-layer', f'--layer={layer}', '--output=found.py', cwd=tmp_path)
  install('[train]')
  run(environment / 'evonorm-train', '--gin_file=classification/cifar10_resnet20.gin', '--model_dir=trained',
      f"--gin_bindings=NORM_ACT = '{layer}'", '--gin_bindings=run_classification.epochs = 1',
      '--gin_bindings=Optimization.warmup_epochs = 0', cwd=tmp_path)
  assert (tmp_path / 'trained' / 'best').is_dir()


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['jax', 'torch'])
def test_a_new_environment_without_tensorflow(wheel, environment, backend, tmp_path):
  run(environment / 'pip', 'install', '--quiet', '--constraint', ROOT / 'constraints.txt', 'keras', backend,
      cwd=tmp_path)
  run(environment / 'pip', 'install', '--quiet', '--no-deps', wheel, cwd=tmp_path)
  run(environment / 'python', '-c', KERAS_3_LAYER, environment.parent, cwd=tmp_path, KERAS_BACKEND=backend)
