"""Test set-up with TensorFlow, which `conftest` begins: memory; quick graphs; Ctrl-C; Keras's policy; binaries."""

import contextlib
import gc
import inspect
import signal
import sys
import weakref

from absl import flags
from absl import logging
from absl.testing import flagsaver
import gin
import pytest
import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops
from tensorflow.python.ops import gen_resource_variable_ops
from tensorflow.python.util import tf_stack
import tf_keras
from tf_keras.src.utils import tf_inspect

from evonorm_tf.devices.graph_memory import released_gradients
from evonorm_tf.gradients import tensorflow_gradient
from tests import blank_figures
from tests.conftest import AS_USERS_DO

# Two logical devices, on which tests of synchronized statistics run two replicas.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)
# A graph's nodes remember the stack on which they were made. Reading it is a twelfth of the time to trace a graph, and
# no test needs it: all of them remember this one.
_STACK = tf_stack.extract_stack()
tf_stack.extract_stack = lambda stacklevel=1: _STACK


def _without_autotuning(dataset):
  """The end of an iterator waits for tf.data's tuning of its parallelism, at times for a minute: no test needs it."""
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset_ops._OptionsDataset(dataset, options)


# A variable's name is an attribute of its operation, of which TensorFlow makes a kernel for each other attribute.
_var_handle_op = gen_resource_variable_ops.var_handle_op
_getfullargspec = tf_inspect.getfullargspec
_of_function = weakref.WeakKeyDictionary()  # a function may hold a model, and that its graphs


def _var_handle_without_name(*args, **kwargs):
  return _var_handle_op(*args, **kwargs | {'debug_name': ''})


def _getfullargspec_once(function):
  """What Keras asks of the same few functions for each layer that is made."""
  function = getattr(function, '__func__', function)
  if not inspect.isfunction(function):
    return _getfullargspec(function)
  if function not in _of_function:
    _of_function[function] = _getfullargspec(function)
  spec = _of_function[function]
  return spec._replace(args=[*spec.args])  # which callers change


if not AS_USERS_DO:
  dataset_ops.DatasetV2._apply_debug_options = _without_autotuning  # called where an iterator is made
  gen_resource_variable_ops.var_handle_op = _var_handle_without_name
  tf_inspect.getfullargspec = _getfullargspec_once


def pytest_collection_finish():
  """What has been imported stays: garbage collections, of which some tests ask for many, need not look through it.

  Those that Python does of itself are rarer than its defaults: a traced graph is so many objects that each costs some.
  """
  gc.collect()
  gc.freeze()
  gc.set_threshold(10_000, 10, 20)


@pytest.fixture(scope='module', autouse=True)
def graphs_of_one_module():
  """The graphs of a module's tests go with it; all graphs of all modules would slow down each garbage collection."""
  with released_gradients():
    yield


@pytest.fixture(scope='module', autouse=True)
def graphs_run_as_traced():
  """TensorFlow does not optimize graphs, most of which run a few times: a fifth of what tests with networks cost.

  Nor does XLA compile the cores of layers that do not ask for it, which each training does anew. The layers' own tests
  replace this fixture, so that their equations are seen as users' graphs compute them.
  """
  if AS_USERS_DO:
    yield
    return
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tensorflow_gradient, 'is_compiled_by_default', lambda: False)
    yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


@pytest.fixture(scope='session', autouse=True)
def figures_are_blank():
  """Where a test is not about what figures show: `drawn_figures`."""
  with contextlib.nullcontext() if AS_USERS_DO else blank_figures.blank_figures():
    yield


@pytest.fixture
def drawn_figures():
  """Figures are drawn, which `figures_are_blank` saves in other quick tests."""
  with blank_figures.drawn_figures():
    yield


@pytest.fixture
def no_garbage(monkeypatch):
  """Garbage is not looked for where fakes leave none: it takes longer than they do."""
  monkeypatch.setattr(gc, 'collect', lambda: 0)


@pytest.fixture(scope='session', autouse=True)
def ctrl_c_raises():
  """Python's own handler of SIGINT, also where it is ignored, here and so in processes that tests start.

  It is where the tests are a script's background job.
  """
  handler = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, handler)


@pytest.fixture
def restored_policy():
  """Keras's global policy is as before, whatever a test makes of it."""
  policy = tf_keras.mixed_precision.global_policy()
  yield
  tf_keras.mixed_precision.set_global_policy(policy)


@pytest.fixture
def no_configuration():
  """An empty gin configuration before and after, without the modules that earlier ones imported."""
  def clear():
    gin.clear_config()
    gin.config._IMPORTS.clear()
  clear()
  yield
  clear()


@pytest.fixture
def call_binary(tmp_path, no_configuration, monkeypatch):
  """A function that calls a binary's `main` in this process; it returns what that exits with, None if it does not."""
  from evonorm_tf.cli import gin_binary  # which defines flags
  flags.FLAGS.mark_as_parsed()
  monkeypatch.setattr(gin_binary, 'end_at_once', sys.exit)
  handler, verbosity = signal.getsignal(signal.SIGINT), logging.get_verbosity()

  def call(main, *bindings, file, model_dir=tmp_path / 'model', **options):
    gin.clear_config()
    with flagsaver.flagsaver(
        gin_file=[str(file)], gin_bindings=list(bindings), model_dir=str(model_dir), **options):
      try:
        return main(['binary'])
      except SystemExit as ended:
        return ended.code

  yield call
  signal.signal(signal.SIGINT, handler)
  logging.set_verbosity(verbosity)
