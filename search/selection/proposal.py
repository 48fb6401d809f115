"""What is evaluated next: a mutated tournament winner, or a random graph; through the static filter (section 6)."""

import collections
from collections.abc import Callable
import dataclasses

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.equivalents import Equivalents
from search.graphs.mutation import mutate
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal.candidate import Candidate
from search.selection.population import Population
from search.selection.tournament import draw_tournament
from search.selection.tournament import pareto_winner

SEEN_BEFORE = 'same function as an earlier candidate'
MAX_DRAWS = 1_000_000


@dataclasses.dataclass(frozen=True)
class RandomSearch:
  """The baseline: every candidate is a fresh random graph."""

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Returns a graph, and no parent."""
    return random_graph(space, rng), None


@dataclasses.dataclass(frozen=True)
class TournamentEvolution:
  """Ageing evolution: random graphs first, then mutations of tournament winners.

  Attributes:
    initial_candidates: how many random graphs come first; as long as none of them has survived, more follow.
    fraction: the share of the population that a tournament draws (the paper's 5%, recalled).
    winner: the choice among a tournament's candidates.
  """
  initial_candidates: int
  fraction: float = 0.05
  winner: Callable[[list[Candidate], np.random.Generator], Candidate] = pareto_winner

  def __post_init__(self):
    if not 0 < self.fraction <= 1:
      raise ArgumentError(f'`fraction` must lie in (0, 1], received {self.fraction}.')

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Returns a graph and its parent's index, None for a random one; `candidates` counts those proposed before."""
    if candidates < self.initial_candidates or not population:
      return random_graph(space, rng), None
    parent = self.winner(draw_tournament(population, self.fraction, rng), rng)
    return mutate(parent.graph, space, rng), parent.index


@dataclasses.dataclass(frozen=True)
class Proposal:
  """A graph to evaluate.

  Attributes:
    index: its number in the search.
    graph: the layer graph.
    parent: the index of the candidate that it is a mutation of, or None.
    filtered: how many draws before this one were rejected without evaluation, by reason.
    same_as: the index of the earlier candidate whose outcome it takes, for it computes the same function; or None.
  """
  index: int
  graph: LayerGraph
  parent: int | None
  filtered: dict[str, int]
  same_as: int | None = None


def propose(index: int, strategy, space: SearchSpace, population: Population, equivalents: Equivalents | None,
            seed: int, redraws: bool = True) -> Proposal:
  """Draws graphs until one passes the static filter and, if `redraws`, has no equivalent.

  The draw depends on the arguments alone, so that a search that is resumed proposes what it would have proposed.

  Args:
    index: the number of the proposal.
    strategy: a `TournamentEvolution` or `RandomSearch`.
    space: the search space.
    population: the candidates alive.
    equivalents: the functions proposed so far, by index; None where equivalents do not matter.
    seed: the search's seed.
    redraws: whether an equivalent of an earlier candidate is drawn anew; else it is proposed with its `same_as`.

  Raises:
    ValueError: if a million draws give no new graph, as in a space that is exhausted.
  """
  rng = np.random.default_rng([seed, index])
  filtered = collections.Counter()
  for _ in range(MAX_DRAWS):
    graph, parent = strategy.draw(space, population, index, rng)
    reason, same_as = static_rejection(graph), None
    if reason is None and equivalents is not None:
      same_as = equivalents.find(graph)
      if redraws and same_as is not None:
        reason = SEEN_BEFORE
    if reason is None:
      return Proposal(index, graph, parent, dict(filtered), same_as)
    filtered[reason] += 1
  raise ArgumentError(f'{MAX_DRAWS} draws gave no new graph that passes the static filter: {dict(filtered)}.')
