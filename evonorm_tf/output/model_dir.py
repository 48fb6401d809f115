"""A model directory: one process at a time, settings that stay, and files that are complete at any time."""

from collections.abc import Iterator
import contextlib
import fcntl
import json
import os
import pathlib
from typing import IO

from evonorm_tf.errors import ArgumentError


class ModelDirError(ArgumentError):
  """A `model_dir` that cannot be used. The message names the file and what is wrong."""


def lock(file: IO, work: str, argument: str = 'model_dir') -> None:
  """Keeps other processes off until the file is closed; they have to lock the same one.

  Args:
    file: an open file of the directory. It must not be replaced meanwhile: the lock is the open file's, not the name's.
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


def check_settings(path, there: dict, here: dict, work: str, argument: str = 'model_dir') -> None:
  """Refuses to go on with other settings than those on disk.

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
    told = '; '.join(differences).encode(errors='backslashreplace').decode()  # half a character cannot be printed
    raise ModelDirError(f'{path} belongs to a {work} of another configuration: {told}. '
                        f'Give this {work} {_own(argument)}.')


def _own(argument: str) -> str:
  return f'{"an" if argument[0] in "aeiou" else "a"} `{argument}` of its own'


def _differences(there, here, path: str = '') -> Iterator[str]:
  """Yields a text for every leaf in which two trees of JSON data differ."""
  if isinstance(there, dict) and isinstance(here, dict):
    for key in sorted(set(there) | set(here)):
      yield from _differences(there.get(key), here.get(key), f'{path}.{key}' if path else key)
  elif there != here:
    yield f'`{path}` is {here!r} here and {there!r} there'


@contextlib.contextmanager
def replacing(path) -> Iterator[pathlib.Path]:
  """Gives the path of a temporary file, which is on disk and replaces `path` in one step when it is written."""
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.tmp')
  yield temporary
  sync(temporary)
  os.replace(temporary, path)
  sync(path.parent)  # the names in a folder are data of their own


def write_json(path, data, indent: int | None = None, end: str = '') -> None:
  """Writes JSON such that the file is complete whenever the process ends.

  Args:
    path: of the file.
    data: JSON data.
    indent: as `json.dumps` takes it.
    end: what follows the data: a line break where people read the file.
  """
  with replacing(path) as temporary:
    temporary.write_text(json.dumps(data, indent=indent) + end, encoding='utf-8')


def sync(path: pathlib.Path) -> None:
  """Brings a file, or the names in a folder, to disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
