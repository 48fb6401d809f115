"""Candidate, an accepted layer graph with its scores, as the population holds it."""

import dataclasses

from evonorm_tf.graph.layer_graph import LayerGraph


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A member of the population: a layer graph that passed every test of its evaluation, and its scores.

  Attributes:
    index: the candidate's number in the search, from 0 in the order of proposal.
    graph: the layer graph, including its dead nodes.
    scores: the validation accuracy for each architecture, in [0, 1]. The architectures have the same order in all
      candidates of a search.
    cost: the time of a training step as a multiple of BN-ReLU's; None (default) if it is not known.

  Example:
    >>> import numpy as np
    >>> import search
    >>> graph = search.SearchSpace().random_graph(np.random.default_rng(0))
    >>> search.Candidate(7, graph, scores=(.25, .5)).mean_score
    0.375
  """
  index: int
  graph: LayerGraph
  scores: tuple[float, ...]
  cost: float | None = None

  @property
  def mean_score(self) -> float:
    """The mean of the scores over the architectures, in [0, 1]."""
    return sum(self.scores) / len(self.scores)
