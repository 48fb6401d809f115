"""The ageing population: a sliding window of the most recent candidates (as in the paper)."""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterator

from evonorm_tf.errors import ArgumentError
from search.journal.candidate import Candidate


class Population:
  """The most recent accepted candidates, from which tournaments are drawn; it starts empty.

  Iteration goes from the oldest to the youngest member, and `len` gives the number of members.

  Args:
    window: the largest number of members, at least 1.

  Raises:
    ArgumentError: if `window` is less than 1.

  Example:
    >>> import numpy as np
    >>> import search
    >>> population = search.Population(window=2)
    >>> graph = search.SearchSpace().random_graph(np.random.default_rng(0))
    >>> for index in range(3):
    ...   population.append(search.Candidate(index, graph, (.5,)))
    >>> [candidate.index for candidate in population]
    [1, 2]
  """

  def __init__(self, window: int):
    if window < 1:
      raise ArgumentError(f'`window` must be at least 1, received {window}.')
    self._members: collections.deque[Candidate] = collections.deque(maxlen=window)
    self._groups: tuple[Callable, list[list[Candidate]]] | None = None  # what `groups` was called with and returned

  def append(self, candidate: Candidate) -> None:
    """Adds a candidate as the youngest member; if the window is full, the oldest member is removed.

    Args:
      candidate: an accepted candidate.
    """
    self._members.append(candidate)
    self._groups = None

  def groups(self, key: Callable[[Candidate], Hashable]) -> list[list[Candidate]]:
    """Returns the members in groups that have the same key, the group of the oldest member first.

    Args:
      key: the function that returns a member's key. It is called once for each member until the next one is added.

    Raises:
      ArgumentError: if a key is not hashable.
    """
    if self._groups is None or self._groups[0] is not key:
      found: dict[Hashable, list[Candidate]] = {}
      for candidate in self._members:
        niche = key(candidate)
        if not isinstance(niche, Hashable):
          raise ArgumentError(f'`niche` must return what can be hashed, such as a tuple, received {niche!r}.')
        found.setdefault(niche, []).append(candidate)
      self._groups = key, list(found.values())
    return self._groups[1]

  def __len__(self) -> int:
    return len(self._members)

  def __iter__(self) -> Iterator[Candidate]:
    return iter(self._members)
