"""The folder of a search in an object store, such as s3://bucket/run or gs://bucket/run.

The search works in a local copy. Object stores cannot append, so what is written to the journal becomes an object of
its own, before anything else sees it: a part, whose name is its place in the journal. Now and then all parts become
one. The other files, such as reports and TensorBoard's, follow at intervals and at the end.

Object stores have no locks either. Each driver, the process that runs the search, begins a journal of its own, a copy
of the last one under a higher number, and the highest number counts: what a former driver still writes, as one whose
machine was suspended, lands where nobody reads. Every half minute a driver gives a sign. Another one that starts
meanwhile waits for the next sign, and is then refused; a driver that was superseded notices, and stops.
"""

import atexit
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import tempfile
import threading
import time
from typing import Any
import uuid

from absl import logging

from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.object_folder import is_url
from evonorm_tf.output.object_folder import ObjectFolder

SECONDS_BETWEEN_SIGNS, SECONDS_OF_SILENCE = 30., 80.  # of a driver; after which it counts as gone
SECONDS_TO_AGREE = 1.  # in which two drivers that start at the same time see each other
SECONDS_BETWEEN_UPLOADS, SHARE = 30., .1  # of one file, at least; of the time that its uploads may take
LAYER_FILE = r'layer_\d+\.(json|png|svg)'  # a layer's files in a report
PARTS = 500  # of a journal, which then become one; the next time, twice as many
_JOURNAL, _SIGN, _CONFIGURATION, _REPORT = 'journal.jsonl', 'driver.json', 'operative_config.gin', 'report'
_OF_LAYER = re.compile(rf'{_REPORT}/{LAYER_FILE}')
_PART = re.compile(r'journal/(\d{6}-[0-9a-f]{32})/(\d{15})')  # a driver's journal, and a place in it
Copy = Callable[[int, bytes], None]  # stores bytes of the journal, given their place in it


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


def fetched(url: str, copy: pathlib.Path | None = None, everything: bool = True) -> pathlib.Path:
  """Returns a local copy of a search's folder as it is now, which lasts as long as this process.

  Args:
    url: the URL of the folder.
    copy: the result of an earlier call, which is brought up to date; None (default) for a new copy.
    everything: whether to copy all files (default), and not the journal alone.

  Raises:
    ModelDirError, MissingDependencyError: as `working_folder`.
  """
  if copy is None:
    temporary = pathlib.Path(tempfile.mkdtemp(prefix='search_'))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
  else:
    temporary = copy.parent
  stored = StoredFolder(url, temporary)
  stored.fetch(everything)
  return stored.local


class StoredFolder:
  """A search's folder in an object store and its local copy.

  Args:
    url: the URL of the folder.
    folder: a folder for the copy, empty or with an earlier one.

  Attributes:
    local: the copy's folder, of the same name as the one in the object store.

  Raises:
    ModelDirError: if there is no such kind of URL.
    MissingDependencyError: if the package for this kind of URL is missing (an ImportError).
  """

  def __init__(self, url: str, folder: pathlib.Path):
    self._objects, self._driver = ObjectFolder(url), uuid.uuid4().hex
    self.local = folder / self._objects.url.rpartition('/')[2]
    self.local.mkdir(exist_ok=True)
    self._epoch = ''  # the name of this driver's journal, which begins with its number
    self._parts, self._most_parts = 0, PARTS
    self._former_sign: dict[str, Any] | None = None
    self._signs, self._signed_at = 0, 0.
    self._successor: str | None = None  # the host of the driver that has taken over
    self._uploads: dict[str, tuple[tuple[int, int], float]] = {}  # by file: its state, and when it may be sent again
    self._ends = threading.Event()

  @contextlib.contextmanager
  def driven(self) -> Iterator[None]:
    """A context in which this process, and no other, runs the search: it fetches the folder and keeps it up to date."""
    with self._objects.errors():
      self._await_silence()
      try:
        self._begin_epoch()
      except BaseException:
        self._objects.remove([self._part(0), *([_SIGN] if self._signs else [])])
        raise
    threads = [threading.Thread(target=target, daemon=True) for target in (self._give_signs, self._keep_up)]
    for thread in threads:
      thread.start()
    try:
      yield
    finally:
      self._ends.set()
      for thread in threads:
        thread.join()
      with self._objects.errors():
        if not self._is_superseded():
          self._upload(at_once=True)
          self._objects.remove([_SIGN])

  def fetch(self, everything: bool = False) -> None:
    """Copies the journal, the configuration and the file of the equivalence cache.

    Args:
      everything: whether to copy all other files, too (default False).

    Raises:
      ModelDirError: if the object store cannot be read, or lacks a part of the journal.
    """
    with self._objects.errors():
      for tries_left in reversed(range(3)):
        try:
          self._fetch(everything)
          return
        except FileNotFoundError:  # the driver has just joined parts
          if not tries_left:
            raise

  def append(self, place: int, data: bytes) -> None:
    """Stores bytes that were written to the journal.

    Args:
      place: the number of bytes before them; 0 begins the journal anew.
      data: the bytes.

    Raises:
      ModelDirError: if they cannot be stored, or another process has taken the search over.
    """
    with self._objects.errors():
      if self._successor is not None or time.monotonic() - self._signed_at > SECONDS_OF_SILENCE / 2:
        self._check_not_superseded()
      self._objects.write(self._part(place), data)
      self._parts += 1
      if not place:
        self._remove_later_parts()
      if self._parts >= self._most_parts:
        self._join_parts()

  def _fetch(self, everything: bool) -> None:
    names = self._objects.names()
    places = _places(names)
    if places:
      self._fetch_journal(max(places), sorted(places[max(places)]))
    elif _JOURNAL in names:  # of a folder that was copied here
      self._objects.download(_JOURNAL, self.local / _JOURNAL)
    else:  # an earlier copy may have one, of a search that has gone since
      (self.local / _JOURNAL).unlink(missing_ok=True)
    for name in names:
      is_kept = name not in (_JOURNAL, _SIGN) and not _PART.fullmatch(name)
      if is_kept and (everything or name == _CONFIGURATION or name.endswith('.cache')):
        self._objects.download(name, self.local / name)

  def _fetch_journal(self, epoch: str, places: Sequence[int]) -> None:
    """Joins the parts of a journal, in order, without those that the first one holds since they were joined."""
    with replacing(self.local / _JOURNAL) as path, open(path, 'wb') as file:
      for place in places:
        if place > file.tell():
          raise ModelDirError(f'{self._objects.url}: bytes {file.tell()} to {place} of the journal are missing.')
        if place == file.tell():
          file.write(self._objects.read(f'journal/{epoch}/{place:015d}'))

  def _join_parts(self) -> None:
    self._objects.write(self._part(0), (self.local / _JOURNAL).read_bytes())  # the parts after it no longer count
    self._remove_later_parts()
    self._most_parts *= 2

  def _remove_later_parts(self) -> None:
    """Removes all parts of this driver's journal but the first."""
    places = _places(self._objects.names()).get(self._epoch, ())
    self._objects.remove(self._part(place) for place in places if place)
    self._parts = 1

  def _await_silence(self) -> None:
    """Waits until no other driver gives signs, by this machine's clock alone; there is no wait after an orderly end."""
    self._former_sign = self._sign()
    if self._former_sign is None:
      return
    logging.warning('%s: a driver on %s did not end in order, or is still there. Waiting %.0f seconds for its sign.',
                    self._objects.url, self._former_sign['host'], SECONDS_OF_SILENCE)
    deadline = time.monotonic() + SECONDS_OF_SILENCE
    while time.monotonic() < deadline:
      time.sleep(min(2., SECONDS_OF_SILENCE / 10))
      now = self._sign()
      if now is None:  # it has just ended
        return
      if now != self._former_sign:
        raise ModelDirError(f'{self._objects.url}: another process is running this search, on {now["host"]}. Wait for '
                            'it, or give this one a `model_dir` of its own.')

  def _begin_epoch(self) -> None:
    """Begins a journal with the contents of the last one, unless another driver has just begun one, too."""
    former = _places(self._objects.names())
    self._fetch(everything=False)
    self._epoch = f'{max(map(_number, former), default=0) + 1:06d}-{self._driver}'
    path = self.local / _JOURNAL
    self._objects.write(self._part(0), path.read_bytes() if path.exists() else b'')
    self._parts = 1
    time.sleep(SECONDS_TO_AGREE)
    self._check_not_superseded()
    self._write_sign()
    self._objects.remove(f'journal/{epoch}/{place:015d}' for epoch, places in former.items() for place in places)

  def _give_signs(self) -> None:
    while not self._ends.wait(SECONDS_BETWEEN_SIGNS):
      with self._objects.errors_as_warnings():
        if self._is_superseded():
          return
        self._write_sign()

  def _keep_up(self) -> None:
    while self._successor is None and not self._ends.wait(SECONDS_BETWEEN_UPLOADS / 3):
      with self._objects.errors_as_warnings():
        self._upload()

  def _check_not_superseded(self) -> None:
    if self._is_superseded():
      raise ModelDirError(f'{self._objects.url}: another process has taken this search over, on {self._successor}.')

  def _is_superseded(self) -> bool:
    """Returns whether another driver has given a sign since this one began, or begun a journal that counts instead."""
    if self._successor is None:
      there = self._sign()
      is_other = there is not None and there['driver'] != self._driver and there != self._former_sign
      own = _number(self._epoch)
      higher = [epoch for epoch in _places(self._objects.names())
                if _number(epoch) > own or not self._signs and _number(epoch) == own and epoch > self._epoch]
      if is_other or higher:
        self._successor = there['host'] if is_other and there else 'another machine'
    return self._successor is not None

  def _sign(self) -> dict[str, Any] | None:
    try:
      return json.loads(self._objects.read(_SIGN))
    except FileNotFoundError:
      return None

  def _write_sign(self) -> None:
    self._signs += 1
    sign = {'driver': self._driver, 'host': socket.gethostname(), 'sign': self._signs}
    self._objects.write(_SIGN, json.dumps(sign).encode())
    self._signed_at = time.monotonic()

  def _upload(self, at_once: bool = False) -> None:
    """Uploads the files that have changed, but for the journal; `at_once` does so before it is time again, too."""
    for path in sorted(self.local.rglob('[!.]*')):
      name = path.relative_to(self.local).as_posix()
      if name == _JOURNAL or not path.is_file():
        continue
      status, start = path.stat(), time.monotonic()
      state = status.st_size, status.st_mtime_ns
      sent, next_at = self._uploads.get(name, (None, 0.))
      if state != sent and (at_once or start >= next_at):
        self._objects.upload(path, name)
        self._uploads[name] = state, start + max(SECONDS_BETWEEN_UPLOADS, (time.monotonic() - start) / SHARE)
    if at_once and (self.local / _REPORT).is_dir():  # of which an earlier one may have had more layers
      self._objects.remove(name for name in self._objects.names()
                           if _OF_LAYER.fullmatch(name) and not (self.local / name).exists())

  def _part(self, place: int) -> str:
    return f'journal/{self._epoch}/{place:015d}'


def _places(names: Sequence[str]) -> dict[str, set[int]]:
  """Returns the places of the parts of each driver's journal."""
  places: dict[str, set[int]] = {}
  for match in filter(None, map(_PART.fullmatch, names)):
    places.setdefault(match[1], set()).add(int(match[2]))
  return places


def _number(epoch: str) -> int:
  """Returns the number of a driver's journal."""
  return int(epoch.partition('-')[0])
