"""The folder of a search in an object store, such as s3://bucket/run or gs://bucket/run, through fsspec.

The search works in a local copy. Object stores cannot append, so what is written to the journal becomes an object of
its own, before anything else sees it: a part, whose name is its place in the journal. Now and then all parts become
one. The other files, such as reports and TensorBoard's, follow every half minute and at the end.

Object stores have no locks. A driver writes every half minute that it is there, and another one that starts meanwhile
is refused. One that has been silent for `SECONDS_OF_SILENCE`, as on a machine that was taken away, is superseded;
should it come back, it notices, and stops.
"""

import atexit
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import shutil
import socket
import tempfile
import threading
import time
from typing import Any
import uuid

from absl import logging

from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.output.model_dir import ModelDirError

SECONDS_BETWEEN_SIGNS, SECONDS_OF_SILENCE = 30., 100.
SECONDS_TO_AGREE = 1.  # in which two drivers that start at the same time see each other
PARTS = 500  # parts of a journal that become one
_JOURNAL, _SIGN = 'journal.jsonl', 'driver.json'
Copy = Callable[[int, bytes], None]  # stores bytes of the journal, given their place in it


def is_url(model_dir: str | os.PathLike) -> bool:
  """Returns whether a `model_dir` lies in an object store.

  Args:
    model_dir: the folder's path or URL.
  """
  return '://' in os.fspath(model_dir)


@contextlib.contextmanager
def working_folder(model_dir: str | os.PathLike) -> Iterator[tuple[pathlib.Path, Copy | None]]:
  """A context with the folder in which a search works: its own, or the local copy of one in an object store.

  Args:
    model_dir: the search's folder, a path or a URL.

  Yields:
    The folder, and what `Journal` must call with all that it writes; None for a folder of this machine.

  Raises:
    ModelDirError: if the object store cannot be read or written, or another process is running the search.
    MissingDependencyError: if the package for this kind of URL is missing (an ImportError).
  """
  if not is_url(model_dir):
    yield pathlib.Path(model_dir), None
    return
  with tempfile.TemporaryDirectory(prefix='search_') as temporary:
    stored = StoredFolder(os.fspath(model_dir), pathlib.Path(temporary))
    with stored.driven():
      yield stored.local, stored.append


def fetched(url: str) -> pathlib.Path:
  """Returns a local copy of a search's folder as it is now, which lasts as long as this process.

  Args:
    url: the URL of the folder.

  Raises:
    ModelDirError, MissingDependencyError: as `working_folder`.
  """
  temporary = pathlib.Path(tempfile.mkdtemp(prefix='search_'))
  atexit.register(shutil.rmtree, temporary, ignore_errors=True)
  stored = StoredFolder(url, temporary)
  stored.fetch(everything=True)
  return stored.local


class StoredFolder:
  """A search's folder in an object store and its local copy.

  Args:
    url: the URL of the folder.
    folder: an empty folder for the copy.

  Attributes:
    local: the copy's folder, of the same name as the one in the object store.

  Raises:
    ModelDirError: if there is no such kind of URL.
    MissingDependencyError: if the package for this kind of URL is missing (an ImportError).
  """

  def __init__(self, url: str, folder: pathlib.Path):
    self._url, self._driver = url.rstrip('/'), uuid.uuid4().hex
    self.local = folder / self._url.rpartition('/')[2]
    self.local.mkdir()
    self._files, self._root = _file_system(self._url)
    self._parts = 0
    self._sent: dict[str, tuple[int, int]] = {}  # size and time of change of each file at its last upload
    self._successor: str | None = None
    self._ends = threading.Event()

  @contextlib.contextmanager
  def driven(self) -> Iterator[None]:
    """A context in which this process, and no other, runs the search: it fetches the folder and keeps it up to date."""
    with self._as_errors('be read'):
      self._take_over()
      self.fetch()
    thread = threading.Thread(target=self._keep_up, daemon=True)
    thread.start()
    try:
      yield
    finally:
      self._ends.set()
      thread.join()
      if self._successor is None:
        with self._as_errors('be written'):
          self._upload()
          self._remove(_SIGN)

  def fetch(self, everything: bool = False) -> None:
    """Copies the journal and the file of the equivalence cache.

    Args:
      everything: whether to copy all other files, too (default False).

    Raises:
      ModelDirError: if the object store cannot be read, or lacks a part of the journal.
    """
    with self._as_errors('be read'):
      for tries_left in reversed(range(3)):
        try:
          self._fetch(everything)
          return
        except FileNotFoundError:  # the driver has just joined parts
          if not tries_left:
            raise

  def _fetch(self, everything: bool) -> None:
    self._files.invalidate_cache()
    found = self._files.find(self._root) if self._files.exists(self._root) else []
    names = [path.removeprefix(self._root).lstrip('/') for path in found]
    self._fetch_journal(sorted(int(name.rpartition('/')[2]) for name in names if name.startswith(f'{_JOURNAL}/')))
    for name in names:
      if not name.startswith(f'{_JOURNAL}/') and name != _SIGN and (everything or name.endswith('.cache')):
        (self.local / name).parent.mkdir(parents=True, exist_ok=True)
        self._files.get_file(self._path(name), str(self.local / name))

  def append(self, place: int, data: bytes) -> None:
    """Stores bytes that were written to the journal.

    Args:
      place: the number of bytes before them; 0 begins a new journal.
      data: the bytes.

    Raises:
      ModelDirError: if they cannot be stored, or another process has taken the search over.
    """
    if self._successor is not None:
      raise ModelDirError(f'{self._url}: another process has taken this search over ({self._successor}), since this '
                          'one was silent for too long.')
    with self._as_errors('be written'):
      if not place:
        self._remove(_JOURNAL)
      self._put(f'{_JOURNAL}/{place:015d}', data)
      self._parts += 1
      if self._parts >= PARTS:
        self._join_parts()

  def _fetch_journal(self, places: Sequence[int]) -> None:
    """Joins the parts of the journal, in order, without those that the first one holds since they were joined."""
    if not places:
      return
    with open(self.local / _JOURNAL, 'wb') as file:
      for place in places:
        if place > file.tell():
          raise ModelDirError(f'{self._url}/{_JOURNAL}: bytes {file.tell()} to {place} are missing.')
        if place == file.tell():
          file.write(self._files.cat_file(self._path(f'{_JOURNAL}/{place:015d}')))
    self._parts = len(places)

  def _join_parts(self) -> None:
    data = (self.local / _JOURNAL).read_bytes()
    self._put(f'{_JOURNAL}/{0:015d}', data)  # at once; the parts after it are then not read any more
    for path in self._files.find(self._path(_JOURNAL)):
      if int(path.rpartition('/')[2]):
        self._files.rm_file(path)
    self._parts = 1

  def _take_over(self) -> None:
    """Writes the sign of this driver, unless another one was there a short time ago."""
    there = self._sign()
    if there is not None and time.time() - there['at'] < SECONDS_OF_SILENCE:
      raise ModelDirError(
          f'{self._url}: another process is running this search, on {there["host"]}. Wait for it, or give this one a '
          f'`model_dir` of its own. If its machine is gone, try again in {SECONDS_OF_SILENCE:.0f} seconds.')
    self._write_sign()
    time.sleep(SECONDS_TO_AGREE)
    if self._is_superseded():
      raise ModelDirError(f'{self._url}: another process has begun to run this search at the same time, on '
                          f'{self._successor}.')

  def _keep_up(self) -> None:
    """Writes signs and uploads files until the end, or until another driver has taken over."""
    while not self._ends.wait(SECONDS_BETWEEN_SIGNS):
      try:
        if self._is_superseded():
          return
        self._write_sign()
        self._upload()
      except Exception as e:  # of any library for object stores; the journal's own errors end the search
        logging.warning('%s: %s: %s', self._url, type(e).__name__, e)

  def _is_superseded(self) -> bool:
    there = self._sign()
    if there is not None and there['driver'] != self._driver:
      self._successor = there['host']
    return self._successor is not None

  def _sign(self) -> dict[str, Any] | None:
    self._files.invalidate_cache()
    try:
      return json.loads(self._files.cat_file(self._path(_SIGN)))
    except FileNotFoundError:
      return None

  def _write_sign(self) -> None:
    sign = {'driver': self._driver, 'host': socket.gethostname(), 'at': time.time()}
    self._put(_SIGN, json.dumps(sign).encode())

  def _upload(self) -> None:
    """Uploads the files that have changed, but for the journal."""
    for path in sorted(self.local.rglob('*')):
      name, status = path.relative_to(self.local).as_posix(), path.stat()
      state = status.st_size, status.st_mtime_ns
      if path.is_file() and name != _JOURNAL and not path.name.startswith('.') and self._sent.get(name) != state:
        self._put(name, path.read_bytes())
        self._sent[name] = state

  def _put(self, name: str, data: bytes) -> None:
    self._files.pipe_file(self._path(name), data)

  def _remove(self, name: str) -> None:
    if self._files.exists(self._path(name)):
      self._files.rm(self._path(name), recursive=True)

  def _path(self, name: str) -> str:
    return f'{self._root}/{name}'

  @contextlib.contextmanager
  def _as_errors(self, what: str) -> Iterator[None]:
    """A context in which what a library for object stores raises becomes a ModelDirError."""
    try:
      yield
    except ModelDirError:
      raise
    except Exception as e:
      raise ModelDirError(f'{self._url} cannot {what}: {type(e).__name__}: {e}. What was recorded before is safe.'
                          ) from e


def _file_system(url: str) -> tuple[Any, str]:
  """Returns fsspec's file system for a URL, and the path in it."""
  try:
    import fsspec
    return fsspec.core.url_to_fs(url)
  except ImportError as e:
    raise MissingDependencyError(f'`model_dir` {url!r} needs fsspec and its package for such URLs: {e}. For s3:// that '
                                 'is `pip install s3fs`, for gs:// `pip install gcsfs`.') from e
  except ValueError as e:
    raise ModelDirError(f'`model_dir` must be a folder or a URL that fsspec knows, received {url!r}: {e}.') from e
