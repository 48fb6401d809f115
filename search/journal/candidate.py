"""Candidate: a member of the population."""

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
    """The mean of the scores."""
    return sum(self.scores) / len(self.scores)
