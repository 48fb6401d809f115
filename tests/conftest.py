"""Test set-up: what TensorFlow takes only before its first use; the handler of Ctrl-C; Keras's global policy."""

import os
import signal

# The baselines of tensorflow-addons need Keras 2, chosen before TensorFlow is imported.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import pytest  # pylint: disable=g-import-not-at-top
import tensorflow as tf  # pylint: disable=g-import-not-at-top
import tf_keras  # pylint: disable=g-import-not-at-top

# Two logical devices, on which tests of synchronized statistics run two replicas.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture
def ctrl_c_raises():
  """Python's own handler of SIGINT, also where it is not set since the tests run as a script's background job."""
  handler = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, handler)


@pytest.fixture
def restored_policy():
  """Keras's global policy is as before, whatever a test makes of it."""
  policy = tf_keras.mixed_precision.global_policy()
  yield
  tf_keras.mixed_precision.set_global_policy(policy)
