"""The proposals of one search: what it begins with, its population, and the functions that it has met."""

from collections.abc import Iterable
from collections.abc import Sequence

from evonorm_tf.errors import ArgumentError
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EVALUATE
from search.equivalence.equivalents import MODES
from search.equivalence.equivalents import REDRAW
from search.graphs.random_graph import SearchSpace
from search.journal import records as records_lib
from search.journal.record import Record
from search.selection.population import Population
from search.selection.proposal import Proposal
from search.selection.proposal import propose
from search.selection.proposal import Strategy
from search.selection.warm_start import InitialCandidate


class Proposer:
  """Proposes one candidate after the other, and takes their records into account.

  Args:
    strategy: draws the graphs.
    space: the search space.
    population: the candidates alive; empty.
    initial: the candidates that the search begins with; they have the first indices.
    equivalents: one of `equivalence.MODES`. What the search begins with is never redrawn.
    seed: the search's seed.
  """

  def __init__(self, strategy: Strategy, space: SearchSpace, population: Population,
               initial: Sequence[InitialCandidate], equivalents: str, seed: int):
    if equivalents not in MODES:
      raise ArgumentError(f'`equivalents` must be one of {MODES}, received {equivalents!r}.')
    self._strategy, self._space, self._population, self._seed = strategy, space, population, seed
    self._initial = initial
    self._equivalents = None if equivalents == EVALUATE else Equivalents()
    self._redraws = equivalents == REDRAW

  def replay(self, records: Iterable[Record]) -> None:
    """Takes the evolution's records of an earlier run, in the order of completion."""
    for record in records:
      if self._equivalents is not None and not record.is_copy and record.graph and record.index is not None:
        self._equivalents.add(record.graph, record.index)
      self.take(record)

  def take(self, record: Record) -> None:
    """Takes the record of a proposal: an accepted candidate joins the population."""
    for candidate in records_lib.candidates([record]):
      self._population.append(candidate)

  def propose(self, index: int) -> Proposal:
    """Returns proposal number `index`, whose function is known from now on."""
    if index < len(self._initial):
      proposal = self._initial_proposal(index)
    else:
      proposal = propose(index, self._strategy, self._space, self._population, self._equivalents, self._seed,
                         self._redraws)
    if self._equivalents is not None and proposal.same_as is None:
      self._equivalents.add(proposal.graph, index)
    return proposal

  def _initial_proposal(self, index: int) -> Proposal:
    given = self._initial[index]
    same_as = None if self._equivalents is None else self._equivalents.find(given.graph)
    return Proposal(index, given.graph, same_as=same_as, origin=given.origin, earlier=given.record)
