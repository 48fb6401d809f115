"""A fixture for modules whose large graphs run a few times each."""

import pytest
import tensorflow as tf


@pytest.fixture(scope='module')
def graphs_run_as_traced():
  """TensorFlow does not optimize the graphs of a module's functions, which costs more there than it saves."""
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})
