"""Tests of `evonorm_tf.keras3` on JAX and PyTorch: KERAS_BACKEND names the backend, and TensorFlow cannot be imported.

They have a process and, for PyTorch, an environment of their own; see `make test` and `make test-torch`.
"""

import importlib.util
import os
import pathlib
import sys

BACKEND = os.environ.setdefault('KERAS_BACKEND', 'jax')
os.environ['JAX_ENABLE_X64'] = '1'  # float64 is float32 without it
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('KERAS_TORCH_DEVICE', 'cpu')
os.environ['XLA_FLAGS'] = (f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count=2 '
                           '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true')
# What JAX compiles is kept from one run to the next: most of the time of these tests.
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(pathlib.Path(__file__).parents[1] / '.pytest_cache' / 'jax'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
IS_INSTALLED = importlib.util.find_spec(BACKEND) is not None
collect_ignore = [] if IS_INSTALLED else [
    path.name for path in pathlib.Path(__file__).parent.glob('*_test.py') if path.name != 'installed_test.py']

if BACKEND != 'tensorflow':
  for package in ('tensorflow', 'tf_keras'):
    sys.modules[package] = None  # importing it raises ImportError


def pytest_report_header():
  return f'Keras backend: {BACKEND}'
