"""The journal: every result of a search, one JSON line each, appended and flushed to disk as it comes.

It is the only state of a search. The first line holds the configuration; the others are records and notes. Notes are
written for tasks that run in the search's own process, such as the evaluation of a candidate: {"begun": task} before a
task that may crash the process, and {"left": task} if the task was left in an orderly way, as after Ctrl-C.
All lines but the notes end with a checksum; see `search.journal.checksums`.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import errno
import itertools
import json
import os
import pathlib
import threading
from typing import Any
from typing import IO

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import reason_with_space
from evonorm_tf.output import model_dir
from evonorm_tf.output.model_dir import ModelDirError
from search.journal import checksums
from search.journal.history import History
from search.journal.identity import completed
from search.journal.record import Record
from search.journal.record_checks import parse_records
from search.journal.registrations import check_registered

VERSION = 1
_BEGINNING = f'{{"version": {VERSION}, "config": '.encode()  # of every journal
_NOTES = {'begun'}, {'left'}  # the keys of lines that are not records, but notes on tasks that may crash the process


class Journal:
  """An append-only file of records, open for one process at a time; a context manager that closes it.

  Opening it reads the records that the file holds. A torn last line, as a crash may leave it, is dropped.

  Args:
    path: the file; it is created, with its folder, unless it exists.
    config: the search's configuration, JSON data (see `identity.identity_of`). If the journal already has records, they
      must have been written with an equal configuration.
    copy: is called with all that is written, after the number of bytes before it; its errors undo the writing. None
      (default) for nothing.

  Attributes:
    records: the records so far, in the order in which they were written, a `History`.

  Raises:
    ModelDirError: if the journal belongs to another configuration, is damaged before its last line, holds a record that
      is not valid or does not fit its checksum, is no journal, is in use by another process, or cannot be written.
  """

  def __init__(self, path: str | os.PathLike, config: dict[str, Any],
               copy: Callable[[int, bytes], None] | None = None):
    self._path, self._copy, self._lock = pathlib.Path(path), copy, threading.Lock()
    self._deaths: collections.Counter[str] = collections.Counter()
    self._begun: str | None = None
    self._ahead = 0  # the number of records that are written and not appended yet
    model_dir.check_folder(self._path.parent)
    new_folders = [folder for folder in self._path.parents if not folder.exists()]
    self._path.parent.mkdir(parents=True, exist_ok=True)
    self._file = open(self._path, 'a+b', buffering=0)
    try:
      model_dir.lock(self._file, 'search')
      self.records = History(self._replay({'version': VERSION, 'config': config}))
      for folder in (self._path.parent, *(new.parent for new in new_folders)):
        model_dir.sync(folder)  # the names in a folder are data of their own
    except BaseException:
      self._file.close()
      raise

  def append(self, record: Record) -> None:
    """Writes a record, unless `write_ahead` has done so; it is on disk when this returns.

    Args:
      record: the record, which also becomes the last of `records`.

    Raises:
      ModelDirError: if the file cannot be written; the earlier records are safe. Or if it is no longer there.
    """
    if self._ahead:
      self._ahead -= 1
    else:
      self.check_is_there()
      self._write(record.to_json())
    self.records.append(record)
    self._begun = None

  def write_ahead(self, records: Sequence[Record]) -> None:
    """Writes records that come together, with one flush to disk for all; each of them must be appended next.

    Args:
      records: the records, in the order of their `append`.

    Raises:
      ModelDirError: as `append`; none of them is then written.
    """
    self.check_is_there()
    self._write(*(record.to_json() for record in records))
    self._ahead = len(records)

  def begin(self, task: str) -> None:
    """Notes that a task begins which may crash this process. The next record must be the task's.

    Args:
      task: the task's name, such as 'evolution 17'.

    Raises:
      ModelDirError: if the file cannot be written; the earlier records are safe. Or if it is no longer there.
    """
    self.check_is_there()
    self._write({'begun': task})
    self._begun = task

  def deaths(self, task: str) -> int:
    """Returns the number of earlier processes that died during a task, which they neither recorded nor left.

    Args:
      task: the task's name, such as 'evolution 17'. It must have no record yet.
    """
    return self._deaths[task]

  def check_is_there(self) -> None:
    """Checks that the file is still where it was opened.

    Raises:
      ModelDirError: if it was removed, moved or replaced.
    """
    model_dir.check_is_there(self._file, 'search')

  def close(self) -> None:
    """Closes the file, so that other processes can open it; notes that a task in progress was left in order.

    Another thread may call it, where a command ends at once; it then writes nothing into what is being written.
    """
    if self._begun is not None and self._lock.acquire(timeout=.3):
      try:
        with contextlib.suppress(ModelDirError):  # a full disk was reported already; one death too many does no harm
          self._write_locked({'left': self._begun})
        self._begun = None
      finally:
        self._lock.release()
    self._file.close()

  def __enter__(self) -> 'Journal':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def _replay(self, header: dict[str, Any]) -> list[Record]:
    """Returns the records of the file, after dropping a torn last line; writes the header of a new file."""
    with open(self._path, 'rb') as file:
      lines = _Lines(self._path, file)
      there = lines.header()
      if there is None and lines.torn and lines.torn[:len(_BEGINNING)] != _BEGINNING[:len(lines.torn)]:
        raise ModelDirError(f'{self._path}, line 1: expected the header of a journal of version {VERSION}. The file is '
                            'left as it is; move it away, or give this search a `model_dir` of its own.')
      recorded = (line for number, line in lines if not self._take_note(number, line))
      first = next(recorded, None)
      if there is not None and first is not None:
        _check_registered(self._path, there['config'])
        model_dir.check_settings(self._path, completed(there['config']), completed(header['config']), 'search')
      records = [] if first is None else parse_records(self._path, itertools.chain([first], recorded))
    if lines.torn:  # only now: a file that was refused above is left as it is
      logging.warning('%s: the last line is torn (%d bytes) and is dropped.', self._path, len(lines.torn))
      self._file.truncate(lines.size)
      if self._copy is not None and lines.size:
        self._copy(0, self._path.read_bytes())
    if there is None:
      self._write(header)
    elif first is None and there != json.loads(json.dumps(header)):  # it may still be corrected
      self._file.truncate(0)
      self._deaths.clear()
      self._write(header)
    return records

  def _take_note(self, number: int, line: dict[str, Any]) -> bool:
    """Returns whether a line is a note, and counts the note. Counts of tasks that have a record are never used."""
    is_note = line.keys() in _NOTES
    if is_note:
      (kind, task), = line.items()
      if not isinstance(task, str):
        raise ModelDirError(f'{self._path}, line {number}: expected the name of a task, found {task!r}.')
      self._deaths[task] += 1 if kind == 'begun' else -1
    return is_note

  def _write(self, *lines: dict[str, Any]) -> None:
    with self._lock:
      self._write_locked(*lines)

  def _write_locked(self, *lines: dict[str, Any]) -> None:
    """Appends lines and flushes them to disk; if that fails, removes what was written of them."""
    data = b''.join(map(_encoded, lines))
    size = os.fstat(self._file.fileno()).st_size
    try:
      written = self._file.write(data)
      os.fsync(self._file.fileno())
    except OSError as e:
      os.ftruncate(self._file.fileno(), size)
      reason = reason_with_space(e.errno or errno.EIO, self._path)
      raise ModelDirError(f'{self._path}: cannot write: {reason}. What was recorded before is safe.') from e
    if written < len(data):
      os.ftruncate(self._file.fileno(), size)
      reason = reason_with_space(errno.ENOSPC, self._path)
      raise ModelDirError(f'{self._path}: cannot write: {reason}. What was recorded before is safe.')
    if self._copy is not None:
      try:
        self._copy(size, data)
      except BaseException:
        os.ftruncate(self._file.fileno(), size)
        raise


def _encoded(line: dict[str, Any]) -> bytes:
  """Returns the bytes of a line, with a checksum unless it is a note."""
  data = json.dumps(line, allow_nan=False).encode()
  return (data if line.keys() in _NOTES else checksums.with_checksum(data)) + b'\n'


def read(path: str | os.PathLike) -> tuple[dict[str, Any], list[Record]]:
  """Returns the configuration and the records of a journal without changing it; another process may be writing it.

  Args:
    path: the journal's file. A torn last line is left out.

  Returns:
    The configuration, JSON data, with the values that journals of earlier versions do not name (see
    `identity.completed`), and the records in the order in which they were written.

  Raises:
    ModelDirError: if the file cannot be read, is damaged before its last line, has no valid first line, or holds a
      record that is not valid or does not fit its checksum.
  """
  try:
    with open(path, 'rb') as file:
      lines = _Lines(path, file)
      header = lines.header()
      if header is None:
        raise ModelDirError(f'{path}, line 1: expected the header of a journal of version {VERSION}.')
      _check_registered(path, header['config'])
      return completed(header['config']), parse_records(
          path, (line for _, line in lines if line.keys() not in _NOTES))
  except OSError as e:
    raise ModelDirError(f'{path}: cannot be read: {e.strerror}.') from e


class _Lines:
  """The lines of a journal, read one after the other, so that a large one does not lie in memory.

  Args:
    path: the journal's path, for messages.
    file: the file, open for reading.

  Attributes:
    size: the bytes of the whole lines that were read.
    torn: the last line, if it does not end; empty before it is reached.
  """

  def __init__(self, path: str | os.PathLike, file: IO[bytes]):
    self._path, self._file = path, file
    self.size, self.torn = 0, b''

  def header(self) -> dict[str, Any] | None:
    """Returns the JSON data of the first line, None if there is none; raises ModelDirError if it is not valid."""
    _, header = next(self._parsed(1), (0, None))
    if header is None:
      return None
    version = header.get('version')
    if type(version) is not int or version != VERSION or not isinstance(header.get('config'), dict):  # True == 1
      raise ModelDirError(f'{self._path}, line 1: expected the header of a journal of version {VERSION}.')
    return header

  def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
    return self._parsed(2)

  def _parsed(self, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number and the JSON data of each further line."""
    for number, line in enumerate(self._file, first):
      if not line.endswith(b'\n'):
        self.torn = line
        return
      self.size += len(line)
      yield number, _parse_line(self._path, number, line[:-1])


def _check_registered(path: str | os.PathLike, config: dict[str, Any]) -> None:
  """Raises ModelDirError unless this process has the primitives and index sets that the search needs."""
  try:
    check_registered(config)
  except ArgumentError as e:
    raise ModelDirError(f'{path}: {e}') from e


def _parse_line(path: str | os.PathLike, number: int, line: bytes) -> dict[str, Any]:
  """Returns the JSON object in a line, without its checksum; raises ModelDirError if there is no valid one."""
  try:
    data = json.loads(line)
  except (ValueError, RecursionError) as e:
    raise ModelDirError(f'{path}, line {number}: not JSON: {e}') from e
  if not isinstance(data, dict):
    raise ModelDirError(f'{path}, line {number}: expected a JSON object, found {type(data).__name__}.')
  try:
    checksums.take_checksum(line, data)
  except ArgumentError as e:
    raise ModelDirError(f'{path}, line {number}: {e}') from e
  return data
