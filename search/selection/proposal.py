"""Proposals of candidates: mutated tournament winners, or random graphs, that pass the static filter.

The evolution is the paper's; the static filter, the search for equivalents, other mutations than the
paper's, objectives and niches are additions.
"""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Protocol

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.plain_functions import plain_function
from search.graphs.mutation import mutate
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal.candidate import Candidate
from search.journal.record import Record
from search.selection.population import Population
from search.selection.tournament import draw_tournament
from search.selection.tournament import objectives_of
from search.selection.tournament import pareto_winner

SEEN_BEFORE = 'same layer as an earlier candidate'  # a reason to draw again, beside those of the static filter
MAX_DRAWS = 1_000_000  # the number of draws after which a proposal fails
# The number after which random graphs take the place of what the strategy draws, a third of a second: the mutants of a
# small population, of tanh alone for instance, can all be known.
PATIENCE = 5_000


class Strategy(Protocol):
  """The interface of a search strategy, which draws the graph of the next candidate.

  `TournamentEvolution` and `RandomSearch` implement it, and users can write their own. A strategy
  should keep no state and take all randomness from `rng`, so that a search can be resumed.
  """

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Draws a layer graph. If the search rejects it without an evaluation, it calls this again, `PATIENCE` times.

    Args:
      space: the search space.
      population: the most recent accepted candidates.
      candidates: the number of candidates that were proposed before this one.
      rng: the source of all randomness.

    Returns:
      The layer graph, and the index of the accepted candidate that it was mutated from; None for a random graph.
    """


class EquivalenceCache(Protocol):
  """The interface of a memory of the functions proposed so far; `search.equivalence.Equivalents` implements it."""

  def find(self, graph: LayerGraph) -> int | None:
    """Returns the index of the earlier candidate that computes the same function, or None if there is none.

    Args:
      graph: the layer graph.
    """


@dataclasses.dataclass(frozen=True)
class RandomSearch:
  """The baseline strategy: every candidate is a new random graph (as in the paper).

  Example:
    >>> import numpy as np
    >>> import search
    >>> graph, parent = search.RandomSearch().draw(
    ...   search.SearchSpace(), search.Population(10), 0, np.random.default_rng(0))
    >>> parent is None
    True
  """

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Draws a random layer graph.

    Args:
      space: the search space.
      population: the most recent accepted candidates; not used.
      candidates: the number of candidates that were proposed before this one; not used.
      rng: the source of all randomness.

    Returns:
      The layer graph, and None, because it has no parent.
    """
    return random_graph(space, rng), None


@dataclasses.dataclass(frozen=True)
class TournamentEvolution:
  """The evolution: random graphs at first, then mutations of tournament winners (as in the paper).

  That a winner is mutated twice, and that half of the offspring are random graphs, others recall of the paper.

  Attributes:
    initial_candidates: the number of candidates at the start of the search that are random graphs; candidates of a warm
      start count towards it. Later candidates are random graphs, too, as long as the population is empty.
    fraction: the share of the population that takes part in a tournament, in (0, 1] (default 0.05, believed to be the
      paper's value).
    winner: a function that takes the tournament's candidates, at least one, and a random generator, and returns the
      candidate to mutate: `tournament.pareto_winner` (default), `tournament.pareto_winner_with_cost` or
      `tournament.average_winner`, for instance.
    objective: what the tournament compares: a function of a `Candidate` that returns a number or several, of which more
      is better; the winner is a random member of the Pareto frontier. None (default) for what `winner` compares, which
      otherwise must be `pareto_winner`.
    mutations: the number of mutations of the winner, one after the other, at least 1 (default 2), which may change the
      same node again.
    random_offspring: the probability, in [0, 1], that a new random graph takes the offspring's place in a draw (default
      0.5). Draws that the static filter rejects, or that are an earlier layer, are repeated, so that the share of
      random candidates is smaller where fewer random graphs than mutants are new layers, and larger after `PATIENCE`
      draws in vain.
    mutation: a function of a layer graph, the search space and a random generator that returns the mutated graph:
      `mutation.mutate` (default), the paper's, `live_mutation.mutate_live`, or one of your own.
    niche: a function of a `Candidate` that returns its niche, such as `niches.kind_of_layer`: a niche is then drawn,
      each with the same probability, and the tournament from its members. In a niche of up to 1 / `fraction` members a
      tournament has one. None (default) for none, as in the paper.

  Raises:
    ArgumentError: if `fraction` does not lie in (0, 1], `mutations` is below 1, `random_offspring` does not lie in
      [0, 1], or both `objective` and another `winner` than `pareto_winner` are given.

  Example:
    >>> import search
    >>> search.TournamentEvolution(initial_candidates=100, fraction=.1, mutations=1).random_offspring
    0.5
  """
  initial_candidates: int
  fraction: float = 0.05
  winner: Callable[[list[Candidate], np.random.Generator], Candidate] = pareto_winner
  mutations: int = 2
  random_offspring: float = 0.5
  objective: Callable[[Candidate], float | Sequence[float]] | None = None
  mutation: Callable[[LayerGraph, SearchSpace, np.random.Generator], LayerGraph] = mutate
  niche: Callable[[Candidate], Hashable] | None = None

  def __post_init__(self):
    for name in ('winner', 'objective', 'mutation', 'niche'):
      object.__setattr__(self, name, plain_function(getattr(self, name)))
    if not 0 < self.fraction <= 1:
      raise ArgumentError(f'`fraction` must lie in (0, 1], received {self.fraction}.')
    if self.mutations < 1:
      raise ArgumentError(f'`mutations` must be at least 1, received {self.mutations}.')
    if not 0 <= self.random_offspring <= 1:
      raise ArgumentError(f'`random_offspring` must lie in [0, 1], received {self.random_offspring}.')
    if self.objective is not None and self.winner is not pareto_winner:
      raise ArgumentError('`winner` must be `pareto_winner` where there is an `objective`.')

  def draw(self, space: SearchSpace, population: Population, candidates: int,
           rng: np.random.Generator) -> tuple[LayerGraph, int | None]:
    """Draws a random layer graph, or mutates the winner of a tournament.

    Args:
      space: the search space.
      population: the most recent accepted candidates.
      candidates: the number of candidates that were proposed before this one.
      rng: the source of all randomness.

    Returns:
      The layer graph, and the index of the candidate that it was mutated from; None for a random graph.
    """
    if candidates < self.initial_candidates or not population or self._is_random(rng):
      return random_graph(space, rng), None
    tournament = draw_tournament(self._competitors(population, rng), self.fraction, rng)
    parent = (self.winner(tournament, rng) if self.objective is None
              else pareto_winner(tournament, rng, objectives_of(self.objective)))
    graph = parent.graph
    for _ in range(self.mutations):
      graph = self.mutation(graph, space, rng)
    return graph, parent.index

  def _competitors(self, population: Population, rng: np.random.Generator) -> Population | list[Candidate]:
    if self.niche is None:
      return population
    niches = population.groups(self.niche)
    return niches[int(rng.integers(len(niches)))]

  def _is_random(self, rng: np.random.Generator) -> bool:
    return bool(self.random_offspring) and rng.random() < self.random_offspring


@dataclasses.dataclass(frozen=True)
class Proposal:
  """A proposed candidate, which has no outcome yet.

  Attributes:
    index: its number in the search, from 0 in the order of proposal.
    graph: the layer graph.
    parent: the index of the candidate that it was mutated from. None (default) for a random graph and for a candidate
      of a warm start.
    filtered: the number of graphs that were drawn for this proposal and rejected without an evaluation, by reason: one
      of `static_filter.REASONS`, or `SEEN_BEFORE`; empty by default.
    same_as: the index of the earlier candidate that computes the same function; its outcome is copied. None (default)
      if there is no such candidate.
    origin: for a candidate of a warm start, a known layer's name or 'candidate 17 of another search'; None (default)
      for every other candidate.
    earlier: the record of an earlier search whose outcome is copied, unless `same_as` is set; None (default) if there
      is no such record.
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
  """Draws graphs until one passes the static filter and, if `redraws`, computes a new function.

  After `PATIENCE` draws in vain it draws random graphs, whatever the strategy. The result depends on the arguments
  alone, so a search that is resumed goes on as if it had not been stopped.

  Args:
    index: the index of the proposed candidate.
    strategy: draws the graphs.
    space: the search space.
    population: the most recent accepted candidates.
    equivalents: the functions proposed so far, to which the caller adds the new one; None to ignore equivalents.
    seed: the search's seed.
    redraws: True (default) draws again if the graph is the same layer as an earlier candidate; False proposes
      it with that candidate's index as `same_as`.

  Returns:
    The proposal.

  Raises:
    ArgumentError: if `MAX_DRAWS` draws give no graph to propose, as in a search space that is exhausted.
    KeyboardInterrupt: after Ctrl-C.
  """
  rng = np.random.default_rng([seed, index])
  filtered: collections.Counter[str] = collections.Counter()
  for draws in range(MAX_DRAWS):
    raise_if_interrupted()
    graph, parent = (strategy.draw(space, population, index, rng) if draws < PATIENCE
                     else (random_graph(space, rng), None))
    reason, same_as = static_rejection(graph), None
    if reason is None and equivalents is not None:
      same_as = equivalents.find(graph)
      if redraws and same_as is not None:
        reason = SEEN_BEFORE
    if reason is None:
      return Proposal(index, graph, parent, dict(filtered), same_as)
    filtered[reason] += 1
  end = f' With `candidates = {index}` the search ends with those that it has.' if index else ''
  raise ArgumentError(f'{MAX_DRAWS} draws gave no new graph that passes the static filter: {dict(filtered)}.{end}')
