"""A folder in an object store, as fsspec reaches it: names, bytes and files, and one class of errors."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import re
from typing import Any

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.output.model_dir import ModelDirError

_URL_AS_PATH = re.compile(r'[a-z][a-z0-9]+:/[^/]')


def is_url(model_dir: str | os.PathLike) -> bool:
  """Returns whether a `model_dir` lies in an object store.

  Args:
    model_dir: the folder's path or URL.

  Raises:
    ArgumentError: if it is a URL in a `pathlib.Path`, which drops one of its slashes.
  """
  if isinstance(model_dir, pathlib.PurePath) and _URL_AS_PATH.match(str(model_dir)):
    raise ArgumentError(f'`model_dir` must be a string where it is a URL, received {model_dir!r}.')
  return '://' in os.fspath(model_dir)


class ObjectFolder:
  """A folder in an object store; its methods raise what fsspec and the library for the store raise.

  Args:
    url: the URL of the folder.

  Attributes:
    url: the URL, without a slash at its end.

  Raises:
    ModelDirError: if there is no such kind of URL.
    MissingDependencyError: if the package for this kind of URL is missing (an ImportError).
  """

  def __init__(self, url: str):
    self.url = url.rstrip('/')
    self._files, self._root = _file_system(self.url)

  def names(self) -> list[str]:
    """Returns the names of all objects of the folder, relative to it."""
    self._files.invalidate_cache()
    found = self._files.find(self._root) if self._files.exists(self._root) else []
    return [path.removeprefix(self._root).lstrip('/') for path in found]

  def read(self, name: str) -> bytes:
    """Returns the bytes of an object; raises FileNotFoundError if there is none."""
    self._files.invalidate_cache()
    return self._files.cat_file(self._path(name))

  def write(self, name: str, data: bytes) -> None:
    """Writes an object, or replaces it."""
    self._files.pipe_file(self._path(name), data)

  def download(self, name: str, path: pathlib.Path) -> None:
    """Copies an object to a file, whose folder is made if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    self._files.get_file(self._path(name), str(path))

  def upload(self, path: pathlib.Path, name: str) -> None:
    """Copies a file to an object."""
    self._files.put_file(str(path), self._path(name))

  def remove(self, names: Iterable[str]) -> None:
    """Removes objects; those that are not there do no harm."""
    paths = [self._path(name) for name in names]
    try:
      if paths:
        self._files.rm(paths)  # at once, where the store can do that
    except FileNotFoundError:  # where it cannot, it has stopped there
      for path in paths:
        with contextlib.suppress(FileNotFoundError):
          self._files.rm_file(path)

  @contextlib.contextmanager
  def errors(self) -> Iterator[None]:
    """A context in which what is raised becomes a ModelDirError, which names the folder."""
    try:
      yield
    except ModelDirError:
      raise
    except Exception as e:  # of any library for object stores
      raise ModelDirError(f'{self.url} cannot be read or written: {type(e).__name__}: {e}. What was recorded before is '
                          'safe.') from e

  @contextlib.contextmanager
  def errors_as_warnings(self) -> Iterator[None]:
    """A context for work whose failure ends nothing."""
    try:
      yield
    except Exception as e:  # of any library for object stores
      logging.warning('%s: %s: %s', self.url, type(e).__name__, e)

  def _path(self, name: str) -> str:
    return f'{self._root}/{name}'


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
