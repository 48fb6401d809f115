"""Test set-up: what TensorFlow takes only before its first use."""

import os

# The baselines of tensorflow-addons need Keras 2, chosen before TensorFlow is imported.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import tensorflow as tf  # pylint: disable=g-import-not-at-top

# Two logical devices, on which tests of synchronized statistics run two replicas.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)
