"""Test set-up: what TensorFlow takes from the environment, and the rest of it where tests run."""

import importlib
import os

# The baselines of tensorflow-addons need Keras 2, chosen before TensorFlow is imported.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # as `make` does
# Half of what a test with a compiled layer costs is LLVM's optimization, which changes no equation. `make test-slow`,
# which sets this variable, compiles and runs as users do.
QUICK_COMPILATION = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'
AS_USERS_DO = os.environ.setdefault('XLA_FLAGS', QUICK_COMPILATION) != QUICK_COMPILATION


def pytest_configure(config):
  """The process that hands out tests to others has no use for TensorFlow, for which they would wait."""
  if not config.getoption('numprocesses', None):  # pytest-xdist's workers have none
    config.pluginmanager.register(importlib.import_module('tests.tensorflow_set_up'))
