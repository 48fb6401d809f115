"""Tests of addons."""

import importlib.util
import os
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from evonorm_tf.layers import addons

# Building FRN-TLU from four threads at once, in a program where every UserWarning is an error.
BUILD_FROM_THREADS = """
import sys, threading
from evonorm_tf.layers import baselines
assert 'tensorflow_addons' not in sys.modules
layers = [baselines.FRNTLU() for _ in range(4)]
threads = [threading.Thread(target=layer.build, args=((None, 2, 2, 3),)) for layer in layers]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert all(len(layer.weights) == 3 for layer in layers)
assert 'tensorflow_addons' in sys.modules
"""

BUILD_ON_KERAS_3 = """
from evonorm_tf.layers import baselines
try:
  baselines.FRNTLU().build((None, 2, 2, 3))
except RuntimeError as e:
  print(e)
baselines.BatchNormAct().build((None, 2, 2, 3))
"""


def run_python(program, legacy_keras):
  path = os.pathsep.join(filter(None, sys.path))
  environment = {**os.environ, 'TF_USE_LEGACY_KERAS': legacy_keras, 'PYTHONPATH': path}
  return subprocess.run(
      [sys.executable, '-W', 'error::UserWarning', '-c', program], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_threads_build_without_a_warning_and_import_only_then():
  result = run_python(BUILD_FROM_THREADS, legacy_keras='1')
  assert result.returncode == 0 and 'Addons' not in result.stderr, result.stderr


@pytest.mark.slow
def test_keras_3_is_refused_for_frn_tlu_alone():
  result = run_python(BUILD_ON_KERAS_3, legacy_keras='0')
  assert result.returncode == 0, result.stderr
  assert 'here it is Keras 3' in result.stdout and 'tensorflow_addons' not in result.stderr


def test_import_takes_the_keras_2_names_away_again():
  module = addons.import_addons()
  assert module is sys.modules['tensorflow_addons'] is addons.import_addons()
  assert not [name for name in sys.modules if name.startswith('keras.src.engine')]


def test_names_that_exist_are_kept_and_others_removed_after_an_error(monkeypatch):
  own = types.ModuleType('keras.src.engine')
  monkeypatch.setitem(sys.modules, 'keras.src.engine', own)
  with pytest.raises(KeyError):
    with addons._keras_2_names():
      assert sys.modules['keras.src.engine'] is own and 'keras.src.engine.keras_tensor' in sys.modules
      raise KeyError
  assert sys.modules['keras.src.engine'] is own and 'keras.src.engine.keras_tensor' not in sys.modules


def test_not_installed_says_what_to_install(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ImportError, match=r"Python 3\.11 run `pip install '\.\[addons\]'`"):
    addons.import_addons()


def test_other_keras_says_what_to_set(monkeypatch):
  keras = types.SimpleNamespace(layers=types.SimpleNamespace(Layer=object), __version__='3.15.0')
  monkeypatch.setattr(tf, 'keras', keras)
  with pytest.raises(RuntimeError, match='Keras 3.15.0. Set .*TF_USE_LEGACY_KERAS=1 before TensorFlow is imported'):
    addons.import_addons()
