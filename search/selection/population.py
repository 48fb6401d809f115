"""The ageing population: a sliding window of the most recent candidates (paper section 6)."""

import collections
from collections.abc import Iterator

from evonorm_tf.errors import ArgumentError
from search.journal.candidate import Candidate


class Population:
  """The `window` most recent candidates, from which parents are drawn; older ones have aged out.

  Args:
    window: the number of candidates alive at a time.
  """

  def __init__(self, window: int):
    if window < 1:
      raise ArgumentError(f'`window` must be at least 1, received {window}.')
    self._members: collections.deque[Candidate] = collections.deque(maxlen=window)

  def append(self, candidate: Candidate) -> None:
    """Adds a candidate as the youngest; a full window loses its oldest."""
    self._members.append(candidate)

  def __len__(self) -> int:
    return len(self._members)

  def __iter__(self) -> Iterator[Candidate]:
    return iter(self._members)
