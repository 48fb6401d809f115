"""The journal: every result of a search, one JSON line each, appended and flushed to disk as it comes.

It is the only state of a search. The first line holds the configuration; the rest are the records.
"""

import json
import os
import pathlib

from absl import logging

from evonorm_tf import model_dir
from evonorm_tf.model_dir import ModelDirError

VERSION = 1
_NOTES = {'begun'}, {'left'}  # the keys of lines that are no records, but notes of tasks that may crash the process


class Journal:
  """An append-only file of records, open for one process at a time.

  Args:
    path: the file; it is created, with its folder, unless it exists.
    config: what identifies the search, as JSON data. A journal that holds records must have been written
      with the same.

  Attributes:
    records: the records so far, in the order of their arrival.

  Raises:
    ModelDirError: if the journal belongs to another configuration, is damaged before its last line, or is in use.
  """

  def __init__(self, path, config: dict):
    self._path = pathlib.Path(path)
    self._path.parent.mkdir(parents=True, exist_ok=True)
    self._file = open(self._path, 'a+b', buffering=0)
    try:
      model_dir.lock(self._file, 'search')
      self.records = self._replay({'version': VERSION, 'config': config})
    except BaseException:
      self._file.close()
      raise

  def append(self, record: dict) -> None:
    """Writes a record; when this returns it is on disk."""
    self._write(record)
    self.records.append(record)

  def close(self) -> None:
    """Closes the file and lets another process have it."""
    self._file.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _replay(self, header: dict) -> list[dict]:
    """Returns the records of the file, after dropping a torn last line; writes the header of a new file."""
    self._file.seek(0)
    lines = self._file.read().split(b'\n')
    torn = lines.pop()
    if torn:
      logging.warning('%s: the last line is torn (%d bytes) and is dropped.', self._path, len(torn))
      self._file.truncate(sum(len(line) + 1 for line in lines))
    if not lines:
      self._write(header)
      return []
    parsed = _parse(self._path, lines)
    if len(parsed) == 1:  # nothing is recorded, so that a configuration may still be corrected
      self._file.truncate(0)
      self._write(header)
    else:
      model_dir.check_settings(self._path, parsed[0]['config'], header['config'], 'search')
    return parsed[1:]

  def _write(self, record: dict) -> None:
    data = (json.dumps(record, allow_nan=False) + '\n').encode()
    size = os.fstat(self._file.fileno()).st_size
    try:
      written = self._file.write(data)
      os.fsync(self._file.fileno())
    except OSError as e:
      os.ftruncate(self._file.fileno(), size)
      raise ModelDirError(f'{self._path}: cannot write: {e.strerror}. What was recorded before is safe.') from e
    if written < len(data):
      os.ftruncate(self._file.fileno(), size)
      raise ModelDirError(f'{self._path}: cannot write: the disk is full. What was recorded before is safe.')


def read(path) -> tuple[dict, list[dict]]:
  """Returns the configuration and the records of a journal, which may be in use; a torn last line is left out.

  Raises:
    ModelDirError: if the file cannot be read, is damaged before its last line, or holds no header.
  """
  try:
    lines = pathlib.Path(path).read_bytes().split(b'\n')
  except OSError as e:
    raise ModelDirError(f'{path}: cannot be read: {e.strerror}.') from e
  header, *others = _parse(path, lines[:-1] or [b'{}'])
  return header['config'], [line for line in others if line.keys() not in _NOTES]


def _parse(path, lines: list[bytes]) -> list[dict]:
  """Returns the header and the records that the lines hold."""
  parsed = [_parse_line(path, number, line) for number, line in enumerate(lines, 1)]
  version = parsed[0].get('version')
  if type(version) is not int or version != VERSION or not isinstance(parsed[0].get('config'), dict):  # True == 1
    raise ModelDirError(f'{path}, line 1: expected the header of a journal of version {VERSION}.')
  return parsed


def _parse_line(path, number: int, line: bytes) -> dict:
  try:
    record = json.loads(line)
  except (ValueError, RecursionError) as e:
    raise ModelDirError(f'{path}, line {number}: not JSON: {e}') from e
  if not isinstance(record, dict):
    raise ModelDirError(f'{path}, line {number}: expected a JSON object, found {type(record).__name__}.')
  return record
