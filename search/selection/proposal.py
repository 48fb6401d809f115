"""Proposals of candidates: mutated tournament winners or random graphs that pass the static filter (section 6)."""

import collections
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Protocol

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.mutation import mutate
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal.candidate import Candidate
from search.journal.record import Record
from search.selection.population import Population
from search.selection.tournament import draw_tournament
from search.selection.tournament import pareto_winner

SEEN_BEFORE = 'same function as an earlier candidate'
MAX_DRAWS = 1_000_000


class Strategy(Protocol):
  """Draws the next graph: a `TournamentEvolution`, a `RandomSearch`, or a strategy of the user's own."""

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Returns a graph and its parent's index, None for a random graph.

    Args:
      space: the search space.
      population: the candidates alive.
      candidates: how many were proposed before.
      rng: all randomness.
    """


class EquivalenceCache(Protocol):
  """The functions proposed so far, such as `search.equivalence.Equivalents`."""

  def find(self, graph: LayerGraph) -> int | None:
    """Returns the index of the candidate that computes the same function, or None."""


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
    initial_candidates: the number of random graphs that come first; more follow as long as none has survived.
    fraction: the share of the population that a tournament draws (the paper's 5%, recalled).
    winner: chooses among a tournament's candidates.
  """
  initial_candidates: int
  fraction: float = 0.05
  winner: Callable[[list[Candidate], np.random.Generator], Candidate] = pareto_winner

  def __post_init__(self):
    if not 0 < self.fraction <= 1:
      raise ArgumentError(f'`fraction` must lie in (0, 1], received {self.fraction}.')

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Returns a graph and its parent's index, None for a random graph; see `Strategy`."""
    if candidates < self.initial_candidates or not population:
      return random_graph(space, rng), None
    parent = self.winner(draw_tournament(population, self.fraction, rng), rng)
    return mutate(parent.graph, space, rng), parent.index


@dataclasses.dataclass(frozen=True)
class Proposal:
  """A candidate that has no outcome yet.

  Attributes:
    index: its number in the search.
    graph: the layer graph.
    parent: the index of the candidate that it is a mutation of, or None.
    filtered: how many draws before this one were rejected without evaluation, by reason.
    same_as: the index of the earlier candidate that computes the same function and whose outcome it takes, or None.
    origin: for a candidate that the search begins with, a known layer's name or 'candidate 17 of another search'.
    earlier: the record of an earlier search whose outcome it takes, or None.
  """
  index: int
  graph: LayerGraph
  parent: int | None = None
  filtered: Mapping[str, int] = dataclasses.field(default_factory=dict)
  same_as: int | None = None
  origin: str | None = None
  earlier: Record | None = None


def propose(index: int, strategy: Strategy, space: SearchSpace, population: Population,
            equivalents: EquivalenceCache | None, seed: int, redraws: bool = True) -> Proposal:
  """Draws graphs until one passes the static filter and, if `redraws`, has no equivalent.

  The draw depends on the arguments alone, so a search that is resumed proposes what it would have proposed.

  Args:
    index: the number of the proposal.
    strategy: draws the graphs.
    space: the search space.
    population: the candidates alive.
    equivalents: the functions proposed so far; None if equivalents do not matter.
    seed: the search's seed.
    redraws: whether an equivalent of an earlier candidate is drawn anew; else it is proposed with its `same_as`.

  Raises:
    ArgumentError: if a million draws give no new graph, as in a space that is exhausted.
  """
  rng = np.random.default_rng([seed, index])
  filtered: collections.Counter[str] = collections.Counter()
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
