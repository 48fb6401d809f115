"""Set-up of the layers' tests."""

import pytest

from evonorm_tf.layers import registry as registry_lib


@pytest.fixture(scope='module', autouse=True)
def graphs_run_as_traced():
  """Replaces the fixture of all other tests: here TensorFlow optimizes graphs, as it does for users."""


@pytest.fixture
def registry():
  """Removes the layers that a test registers."""
  before = {keras_name: dict(layers) for keras_name, layers in registry_lib._LAYERS.items()}
  yield
  for keras_name, layers in registry_lib._LAYERS.items():
    layers.clear()
    layers.update(before[keras_name])
