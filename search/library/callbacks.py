"""Callbacks of a search, which get every record once it is written, and `EarlyStopping`."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from evonorm_tf.errors import ArgumentError
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record

if TYPE_CHECKING:
  from search.library.opened_search import Search


class Callback:
  """The base class of callbacks, whose methods a search calls; each does nothing unless it is overridden.

  A function of a search and a record is a callback, too, and stands for `on_record`. Callbacks are no part of the
  search's settings: a search can be resumed with others. They run in the search's own process between two results, so
  that workers wait for a slow one. An exception that a callback raises ends the search; every record that was written
  is safe, and the same call resumes the search after it.

  Example:
    >>> import search
    >>> class Announcing(search.Callback):
    ...   def on_record(self, found, record):
    ...     if record.is_accepted:
    ...       print(f'{record.name}: {100 * record.mean_score:.1f}%')
    >>> callbacks = [Announcing(), lambda found, record: print(len(found.records))]
  """

  def on_search_begin(self, found: 'Search') -> None:
    """Is called before the first evaluation of a run, also of one that resumes a search.

    Args:
      found: the search, with the records of earlier runs. `found.stop()` ends its evolution; the re-ranking follows.
    """

  def on_record(self, found: 'Search', record: Record) -> None:
    """Is called with every new record of all stages, once it is on disk.

    Args:
      found: the search so far.
      record: the record, the last of `found.records`.
    """

  def on_search_end(self, found: 'Search') -> None:
    """Is called when the search has ended and its report is written.

    Args:
      found: the search.
    """


AnyCallback = Callback | Callable[..., Any]  # a function of the search and a record


class EarlyStopping(Callback):
  """Ends the evolution when the best mean score has not risen for a number of candidates; the re-ranking follows.

  A search that was ended so, and is resumed with this callback, goes on with its re-ranking, also if it was extended
  without the callback meanwhile.

  Args:
    patience: the number of evaluated candidates, rejected ones too, at least 1.
    min_delta: the rise of the best mean score that counts, in [0, 1] (default 0: any).

  Raises:
    ArgumentError: if an argument is out of range.

  Example:
    >>> import search
    >>> callbacks = [search.EarlyStopping(patience=200, min_delta=.002)]
  """

  def __init__(self, patience: int, min_delta: float = 0.):
    if patience < 1:
      raise ArgumentError(f'`patience` must be at least 1, received {patience}.')
    if not 0 <= min_delta <= 1:
      raise ArgumentError(f'`min_delta` must lie in [0, 1], received {min_delta}.')
    self._patience, self._min_delta = patience, min_delta
    self._best, self._since = 0., 0

  def on_search_begin(self, found: 'Search') -> None:
    """Counts the candidates of earlier runs."""
    self._best, self._since = 0., 0
    for record in records_lib.evaluated(found.records):
      if self._since < self._patience:  # what was in flight then does not undo the end
        self._count(record)
    self._stop_if_due(found)

  def on_record(self, found: 'Search', record: Record) -> None:
    """Counts a candidate, and ends the evolution if it is time."""
    if record.stage == EVOLUTION and not record.is_copy:
      self._count(record)
      self._stop_if_due(found)

  def _count(self, record: Record) -> None:
    if record.is_measured and record.mean_score > self._best + self._min_delta:
      self._best, self._since = record.mean_score, 0
    else:
      self._since += 1

  def _stop_if_due(self, found: 'Search') -> None:
    if self._since >= self._patience:
      found.stop()


class Callbacks(Callback):
  """Callbacks that are called one after another.

  Args:
    callbacks: the callbacks, in the order of their calls.

  Raises:
    ArgumentError: if one is neither a `Callback` nor callable.
  """

  def __init__(self, callbacks: Sequence[AnyCallback]):
    for callback in callbacks:
      if isinstance(callback, type) or not (isinstance(callback, Callback) or callable(callback)):
        raise ArgumentError('`callbacks` must be `search.Callback` objects, or functions of a search and a record, '
                            f'received {callback!r}.')
    self._callbacks = [c if isinstance(c, Callback) else _Function(c) for c in callbacks]

  def on_search_begin(self, found: 'Search') -> None:
    """Calls the method of each."""
    for callback in self._callbacks:
      callback.on_search_begin(found)

  def on_record(self, found: 'Search', record: Record) -> None:
    """Calls the method of each."""
    for callback in self._callbacks:
      callback.on_record(found, record)

  def on_search_end(self, found: 'Search') -> None:
    """Calls the method of each."""
    for callback in self._callbacks:
      callback.on_search_end(found)


class _Function(Callback):
  """A function as a callback."""

  def __init__(self, function: Callable[['Search', Record], Any]):
    self._function = function

  def on_record(self, found: 'Search', record: Record) -> None:
    self._function(found, record)
