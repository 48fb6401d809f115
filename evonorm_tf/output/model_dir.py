"""Model directories, the folders of results: locks, checks of settings that must not change, and atomic writes."""

from collections.abc import Iterator
import contextlib
import fcntl
import json
import os
import pathlib
from typing import Any
from typing import IO

from evonorm_tf.errors import ArgumentError


class ModelDirError(ArgumentError):
  """An error for a `model_dir` that cannot be used; the message names the file and the problem."""


def check_folder(path: str | os.PathLike, argument: str = 'model_dir') -> None:
  """Checks that a path is a folder, or that one can be made there; nothing on the way may be a file.

  Args:
    path: the path.
    argument: the name of the user's argument that gives the path, for the error message; default 'model_dir'.

  Raises:
    ModelDirError: if the path or one above it is there and is no folder.
  """
  path = pathlib.Path(path)
  there = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
  if there and not there.is_dir():
    raise ModelDirError(f'`{argument}` must be a folder, received {path}: {there} is a file.')


def lock(file: IO, work: str, argument: str = 'model_dir') -> None:
  """Locks a file against other processes that call this function, until the file is closed.

  Args:
    file: an open file in the model directory. It must not be replaced while it is locked, since the lock belongs to the
      file and not to its name.
    work: a noun for the work that needs the directory, such as 'search', for the error message.
    argument: the name of the user's argument that gives the directory, for the error message; default 'model_dir'.

  Raises:
    ModelDirError: if another process has locked the file, or its file system has no locks.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as e:
    raise ModelDirError(f'{file.name}: another process is running this {work}. Wait for it, or give this one '
                        f'{_own(argument)}.') from e
  except OSError as e:
    raise ModelDirError(f'{file.name}: its file system cannot lock files ({e.strerror}), so that another process could '
                        f'run this {work} at the same time. Give it {_own(argument)} on another one.') from e


def check_is_there(file: IO, work: str) -> None:
  """Checks that an open file is still what its path names; what is written to a removed file, or beside it, is lost.

  Args:
    file: the open file, in the model directory.
    work: a noun for the work that goes on in the directory, such as 'search', for the error message.

  Raises:
    ModelDirError: if the file or its folder was removed, moved or replaced.
  """
  try:
    is_there = os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))
  except OSError:
    is_there = False
  if not is_there:
    raise ModelDirError(f'{file.name}: the file or its folder was removed, moved or replaced during this {work}, which '
                        'stops here. Bring it back, and the same command goes on; or begin anew.')


def check_settings(path: str | os.PathLike, there: dict, here: dict, work: str, argument: str = 'model_dir') -> None:
  """Checks that the current settings equal those with which a model directory was started.

  Args:
    path: the path of the file that contains the settings, for the error message.
    there: the settings from that file, JSON data.
    here: the current settings, data that JSON can represent; a tuple equals a list.
    work: a noun for the work that has these settings, such as 'search', for the error message.
    argument: the name of the user's argument that gives the directory, for the error message; default 'model_dir'.

  Raises:
    ModelDirError: if settings differ; the message names each of them with both values.
  """
  differences = list(_differences(there, json.loads(json.dumps(here))))
  if differences:
    text = '; '.join(differences).encode(errors='backslashreplace').decode()  # a lone surrogate cannot be printed
    raise ModelDirError(f'{path} belongs to a {work} of another configuration: {text}. '
                        f'Give this {work} {_own(argument)}.')


def without_folder(name: str, value: Any) -> Any:
  """Returns a setting as it counts for `check_settings`: a data folder may move, so '(a folder)' stands for any.

  Args:
    name: the setting's name; that of a data folder is or ends with 'data_dir'.
    value: its value. None (or 'None', gin's text), which stands for the bundled data, is left as it is.
  """
  return '(a folder)' if name.rpartition('.')[2] == 'data_dir' and value not in (None, 'None') else value


def _own(argument: str) -> str:
  return f'{"an" if argument[0] in "aeiou" else "a"} `{argument}` of its own'


def _differences(there: Any, here: Any, path: str = '') -> Iterator[str]:
  """Yields a text for each leaf at which two trees of JSON data differ."""
  if isinstance(there, dict) and isinstance(here, dict):
    for key in sorted(set(there) | set(here)):
      yield from _differences(there.get(key), here.get(key), f'{path}.{key}' if path else key)
  elif there != here:
    yield f'`{path}` is {here!r} here and {there!r} there'


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """A context that replaces a file atomically.

  It yields the path of a temporary file in the same folder, which the caller writes. On exit, the temporary file is
  synced to disk and takes the place of `path`; after an exception, `path` is left unchanged.

  Args:
    path: the path of the file, which need not exist.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.tmp')
  with naming(path):
    yield temporary
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)  # the names in a folder are separate data


def complete_lines(path: str | os.PathLike) -> str:
  """Returns the text of a file without what a kill may have left of a last line; an empty one without a file.

  Args:
    path: the path of the file, to which lines are appended.
  """
  return _parted(path)[0].decode()


def cut_torn_line(path: str | os.PathLike, begin: bytes = b'') -> None:
  """Cuts off what a kill may have left of a file's last line, so that another one can be appended.

  Args:
    path: the path of the file, to which lines are appended; it need not exist.
    begin: how each line begins (default: anyhow).

  Raises:
    ModelDirError: if what is left begins otherwise, so that the file may be another one; it stays as it is.
  """
  complete, rest = _parted(path)
  if not begin.startswith(rest[:len(begin)]):
    raise ModelDirError(f'{path}: expected lines that begin with {begin.decode()!r}, found {rest[:40]!r}.')
  if rest:
    os.truncate(path, len(complete))


def _parted(path: str | os.PathLike) -> tuple[bytes, bytes]:
  """Returns the bytes of a file to the end of its last complete line, and those after it."""
  path = pathlib.Path(path)
  data = path.read_bytes() if path.exists() else b''
  length = data.rfind(b'\n') + 1
  return data[:length], data[length:]


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
  """A context in which an OSError that names no file, as from writing to an open one, is raised with a file's path.

  Args:
    path: the path of the file that is written in the context.
  """
  try:
    yield
  except OSError as e:
    if e.errno is None or e.filename is not None:
      raise
    raise OSError(e.errno, e.strerror, str(path)) from e


def write_json(path: str | os.PathLike, data: Any, indent: int | None = None, end: str = '') -> None:
  """Writes a JSON file atomically, so that an interrupted process leaves no partial file.

  Args:
    path: the path of the file.
    data: the JSON data.
    indent: the number of spaces per level of indentation; None, the default, for a single line.
    end: text to write after the data, such as a line break; by default none.
  """
  with replacing(path) as temporary:
    temporary.write_text(json.dumps(data, indent=indent) + end, encoding='utf-8')


def sync(path: pathlib.Path) -> None:
  """Flushes a file, or the list of names in a folder, to disk.

  Args:
    path: the path of the file or folder.
  """
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
