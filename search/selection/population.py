"""Candidates and the ageing population: a sliding window of the most recent ones (paper section 6)."""

import collections
from collections.abc import Iterator
import dataclasses

from evonorm_tf.graph.layer_graph import LayerGraph


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A layer graph that has passed every test.

  Attributes:
    index: its number in the search, from 0 in the order of proposal.
    graph: the layer graph, dead nodes included.
    scores: one validation accuracy an architecture, in [0, 1], always in the same order.
  """
  index: int
  graph: LayerGraph
  scores: tuple[float, ...]

  @property
  def mean_score(self) -> float:
    return sum(self.scores) / len(self.scores)


class Population:
  """The `window` most recent candidates, from which parents are drawn; older ones have aged out.

  Args:
    window: how many candidates are alive at a time.
  """

  def __init__(self, window: int):
    if window < 1:
      raise ValueError(f'`window` must be at least 1, received {window}.')
    self._members = collections.deque(maxlen=window)

  def append(self, candidate: Candidate) -> None:
    """Adds a candidate as the youngest; a full window loses its oldest."""
    self._members.append(candidate)

  def __len__(self) -> int:
    return len(self._members)

  def __iter__(self) -> Iterator[Candidate]:
    return iter(self._members)
