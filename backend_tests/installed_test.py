"""Whether there is a backend to test; where there is none, this alone is collected, and says so."""

import importlib.util
import os

import pytest

BACKEND = os.environ['KERAS_BACKEND']


@pytest.mark.skipif(not importlib.util.find_spec(BACKEND), reason=f'{BACKEND} is not installed: nothing is tested')
def test_keras_runs_on_it():
  import keras
  assert keras.backend.backend() == BACKEND
