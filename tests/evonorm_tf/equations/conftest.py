"""Set-up of the layers' tests."""

import pytest


@pytest.fixture(scope='module', autouse=True)
def graphs_run_as_traced():
  """Replaces the fixture of all other tests: here TensorFlow optimizes graphs, as it does for users."""
