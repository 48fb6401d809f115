"""A second backend, in a process of its own: the same losses in training, and files that pass from one to the other."""

import importlib.metadata
import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from backend_tests import train_small
from evonorm_tf import keras3

ROOT = pathlib.Path(__file__).parents[1]
NAMES = ('evonorm_b0', 'evonorm_s0')
BACKEND = keras.backend.backend()
OTHER = 'tensorflow' if BACKEND == 'jax' else 'jax'


def is_installed(package):
  """Whether a package is installed, which the importer of this process need not know."""
  try:
    return bool(importlib.metadata.version(package))
  except importlib.metadata.PackageNotFoundError:
    return False


pytestmark = pytest.mark.skipif(not is_installed(OTHER), reason=f'{OTHER} is not installed')


@pytest.fixture(scope='module')
def others_folders(tmp_path_factory):
  """By layer, the folder that the other backend has written."""
  folders = {name: tmp_path_factory.mktemp(name) for name in NAMES}
  environment = os.environ | {'KERAS_BACKEND': OTHER, 'PYTHONPATH': str(ROOT), 'TF_CPP_MIN_LOG_LEVEL': '3'}
  subprocess.run([sys.executable, '-m', 'backend_tests.train_small', *itertools.chain(*folders.items())], check=True,
                 env=environment, cwd=ROOT)
  return folders


@pytest.mark.parametrize('name', NAMES)
def test_training_gives_the_same_losses(name, others_folders):
  losses = train_small.train(train_small.make_model(name))
  assert losses[-1] < .7 * losses[0]
  np.testing.assert_allclose(losses, np.load(others_folders[name] / 'losses.npy'), atol=1e-4)


@pytest.mark.parametrize('name', NAMES)
def test_files_pass_from_one_backend_to_the_other(name, others_folders):
  folder, images = others_folders[name], train_small.images_and_labels()[0][:8]
  expected = np.load(folder / 'outputs.npy')
  loaded = keras.models.load_model(folder / 'model.keras')
  assert type(loaded.get_layer('norm_act_0')) is keras3.get_norm_act(name).layer_class
  np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)
  model = train_small.make_model(name)
  model.load_weights(folder / 'model.weights.h5')
  np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)
