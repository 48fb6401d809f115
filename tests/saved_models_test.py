"""Models and layers that users saved with the code of commit 3d235d8: they load, and give what they gave then."""

import os
import pathlib
import subprocess
import sys
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from tests.saved import folders
from tests.saved import small_model

ROOT = pathlib.Path(__file__).parents[1]
KERAS = {'keras2': (tf_keras, evonorm_tf.get_norm_act, small_model.BASELINES),
         'keras3': (keras, keras3.get_norm_act, ())}
by_keras = pytest.mark.parametrize('name', KERAS)
# A program that imports no more of ours than it says, unlike this one.
PROGRAM = '''
import json, sys, zipfile
import keras, numpy as np, tf_keras

with zipfile.ZipFile(sys.argv[1]) as file:
  layers = json.loads(file.read('config.json'))['config']['layers']
layers = [layer for layer in layers if layer['module'].startswith('evonorm_tf.')]
assert len(layers) == 15 and not [name for name in sys.modules if name.startswith('evonorm_tf')]
for layer in layers:
  made = tf_keras.saving.deserialize_keras_object(layer)
  assert (type(made).__name__, made.name) == (layer['class_name'], layer['config']['name'])

# As if nothing of ours had been imported so far.
for name in [name for name in sys.modules if name.partition('.')[0] == 'evonorm_tf']:
  del sys.modules[name]
tf_keras.saving.get_custom_objects().clear()

from evonorm_tf import get_norm_act

expected = np.load(sys.argv[3])
outputs = tf_keras.models.load_model(sys.argv[1])(expected['images'], training=False)
np.testing.assert_allclose(outputs, expected['keras2'], rtol=1e-5, atol=1e-5)

from evonorm_tf.keras3 import get_norm_act

outputs = keras.models.load_model(sys.argv[2])(expected['images'], training=False)
np.testing.assert_allclose(outputs, expected['keras3'], rtol=1e-5, atol=1e-5)
'''


@pytest.fixture
def expected():
  return folders.expected_arrays()


@pytest.mark.slow
def test_another_program_loads(tmp_path):
  """tf_keras imports the module that a file names for a layer, but not for one in a model; Keras 3 imports neither."""
  files = folders.MODELS / 'keras2.keras', folders.MODELS / 'keras3.keras', folders.FOLDER / 'expected.npz'
  environment = {k: v for k, v in os.environ.items() if k != 'TF_USE_LEGACY_KERAS'} | {'PYTHONPATH': str(ROOT)}
  run = subprocess.run([sys.executable, '-c', PROGRAM, *map(str, files)], cwd=tmp_path, env=environment,
                       capture_output=True, text=True, check=False)
  assert run.returncode == 0, run.stderr


@by_keras
@pytest.mark.parametrize('ending', ['keras', 'h5'])
def test_a_model_and_its_optimizer(name, ending, expected):
  # Keras 3 does not read the loss 'mse' of its own .h5 files.
  options = {'compile': False} if (name, ending) == ('keras3', 'h5') else {}
  model = KERAS[name][0].models.load_model(folders.MODELS / f'{name}.{ending}', **options)
  folders.assert_close(model(expected['images'], training=False), expected[name])
  assert options or int(model.optimizer.iterations) == 1


@by_keras
def test_weights(name, expected):
  module, get_norm_act, baselines = KERAS[name]
  model = small_model.make(module, get_norm_act, folders.MODELS / 'graph.json', baselines)
  assert np.abs(model(expected['images'], training=False) - expected[name]).max() > .1
  model.load_weights(folders.MODELS / f'{name}.weights.h5')
  folders.assert_close(model(expected['images'], training=False), expected[name])


@by_keras
def test_a_saved_model(name, expected, tmp_path):
  """Of those of tf_keras, that makes a model of our layers again; those of Keras 3 need no Keras."""
  with tarfile.open(folders.MODELS / f'{name}.tar.xz') as archive:
    archive.extractall(tmp_path, filter='data')
  if name == 'keras2':
    model = tf_keras.models.load_model(tmp_path / name)
    assert isinstance(model.get_layer('norm_act_0'), evonorm_tf.EvoNormB0)
    outputs = model(expected['images'], training=False)
  else:
    loaded = tf.saved_model.load(tmp_path / name)
    outputs = loaded.serve(tf.constant(expected['images']))
  folders.assert_close(outputs, expected[name])


@pytest.mark.parametrize('module', [evonorm_tf, keras3])
def test_a_found_layer(module):
  """The layer is max(x, s[w,h](x)) · γ + β."""
  x = np.random.default_rng(0).normal(size=[2, 3, 4, 5]).astype(np.float32)
  s = np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
  folders.assert_close(module.get_norm_act(folders.FOLDER / 'layer.json')()(x), np.maximum(x, s))
