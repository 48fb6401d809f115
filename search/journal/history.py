"""The records of a search as one growing sequence, with views of them that are kept up as records come.

A view answers what a search asks after every record, such as which candidate is the best so far, without going through
all records again.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import cast
from typing import Protocol
from typing import TypeVar

from search.journal.record import Record


class View(Protocol):
  """The interface of a view: a class without arguments, whose objects receive each record once, in order."""

  def add(self, record: Record) -> None:
    """Receives the next record.

    Args:
      record: the record.
    """


_View = TypeVar('_View', bound=View)


class History(Sequence[Record]):
  """The records of a search in the journal's order, to which new ones are appended.

  It equals every other sequence with the same records.

  Args:
    records: the first records (default: none).
  """
  def __init__(self, records: Iterable[Record] = ()):
    self._records = list(records)
    self._views: dict[type, tuple[View, int]] = {}  # kind -> the view and the number of records that it has received

  def append(self, record: Record) -> None:
    """Adds a record as the last one.

    Args:
      record: the record.
    """
    self._records.append(record)

  def view(self, kind: type[_View]) -> _View:
    """Returns the one view of a kind, which has received all records; it only has to receive those that are new to it.

    Args:
      kind: the class of the view.
    """
    if kind not in self._views:
      self._views[kind] = kind(), 0
    kept, received = self._views[kind]
    for record in self._records[received:]:
      kept.add(record)
    self._views[kind] = kept, len(self._records)
    return cast(_View, kept)

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: Any) -> Any:
    return self._records[index]

  def __iter__(self) -> Iterator[Record]:
    return iter(self._records)

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Sequence) and self._records == list(other)

  def __repr__(self) -> str:
    return f'History({self._records!r})'


def view(records: Sequence[Record], kind: type[_View]) -> _View:
  """Returns a view of records: that of a `History`, and of any other sequence a new one.

  Args:
    records: the search's records of all stages, in the order of the journal.
    kind: the class of the view.
  """
  return (records if isinstance(records, History) else History(records)).view(kind)
