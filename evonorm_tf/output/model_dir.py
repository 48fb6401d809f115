"""Model directories: a lock for one process at a time, settings that must not change, and atomic writes of files."""

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
  """A `model_dir` cannot be used; the message names the file and what is wrong."""


def lock(file: IO, work: str, argument: str = 'model_dir') -> None:
  """Keeps out other processes that lock the same file, until the file is closed.

  Args:
    file: an open file of the directory. It must not be replaced meanwhile: the lock belongs to the file, not to its
      name.
    work: what runs there, such as 'search'.
    argument: what the user calls the directory.

  Raises:
    ModelDirError: if another process has the lock.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as e:
    raise ModelDirError(f'{file.name}: another process is running this {work}. Wait for it, or give this one '
                        f'{_own(argument)}.') from e


def check_settings(path: str | os.PathLike, there: dict, here: dict, work: str, argument: str = 'model_dir') -> None:
  """Refuses to go on with settings other than those on disk.

  Args:
    path: the file that holds the settings, for the message.
    there: the settings on disk, JSON data.
    here: the settings now; tuples count as JSON's lists.
    work: what they belong to, such as 'search'.
    argument: what the user calls the directory.

  Raises:
    ModelDirError: naming each setting that differs.
  """
  differences = list(_differences(there, json.loads(json.dumps(here))))
  if differences:
    text = '; '.join(differences).encode(errors='backslashreplace').decode()  # a lone surrogate cannot be printed
    raise ModelDirError(f'{path} belongs to a {work} of another configuration: {text}. '
                        f'Give this {work} {_own(argument)}.')


def _own(argument: str) -> str:
  return f'{"an" if argument[0] in "aeiou" else "a"} `{argument}` of its own'


def _differences(there: Any, here: Any, path: str = '') -> Iterator[str]:
  """Yields a text for every leaf in which two trees of JSON data differ."""
  if isinstance(there, dict) and isinstance(here, dict):
    for key in sorted(set(there) | set(here)):
      yield from _differences(there.get(key), here.get(key), f'{path}.{key}' if path else key)
  elif there != here:
    yield f'`{path}` is {here!r} here and {there!r} there'


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields the path of a temporary file, which the caller writes; then it is synced to disk and replaces `path`."""
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.tmp')
  yield temporary
  sync(temporary)
  os.replace(temporary, path)
  sync(path.parent)  # the names in a folder are data of their own


def write_json(path: str | os.PathLike, data: Any, indent: int | None = None, end: str = '') -> None:
  """Writes a JSON file atomically: a process that is interrupted leaves no partial file.

  Args:
    path: the file.
    data: JSON data.
    indent: as `json.dumps` takes it.
    end: text after the data, such as a line break where people read the file.
  """
  with replacing(path) as temporary:
    temporary.write_text(json.dumps(data, indent=indent) + end, encoding='utf-8')


def sync(path: pathlib.Path) -> None:
  """Flushes a file, or the names in a folder, to disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
