"""The proposer of a search, which keeps its first candidates, its population and the layers proposed so far."""

from collections.abc import Iterable
from collections.abc import Sequence
import os

from evonorm_tf.errors import ArgumentError
from search.equivalence.equivalents import AFFINE
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
  """The proposer of a search: proposes its candidates one by one, and learns from their records.

  Args:
    strategy: draws the graphs of all candidates but the first ones in `initial`.
    space: the search space.
    population: an empty population, to which the proposer adds the accepted candidates.
    initial: the candidates of a warm start, which are proposed first; may be empty.
    equivalents: the treatment of a candidate that is the same layer as an earlier one: 'redraw' draws another graph
      instead, 'reuse' copies the earlier outcome, 'evaluate' evaluates it like any other. With 'redraw', a candidate in
      `initial` copies the outcome, since it cannot be drawn again.
    seed: the search's seed.
    same_layer: what counts as one layer, 'affine' (default), 'start' or 'exact'; see `search.equivalence.equivalents`.
    cache: the file in which the equivalence cache keeps what it computes; None (default) for none.

  Raises:
    ArgumentError: if `equivalents` or `same_layer` is none of these.
  """

  def __init__(self, strategy: Strategy, space: SearchSpace, population: Population,
               initial: Sequence[InitialCandidate], equivalents: str, seed: int, same_layer: str = AFFINE,
               cache: str | os.PathLike | None = None):
    if equivalents not in MODES:
      raise ArgumentError(f'`equivalents` must be one of {MODES}, received {equivalents!r}.')
    self._strategy, self._space, self._population, self._seed = strategy, space, population, seed
    self._names: list[str] = []  # of the architectures, in the order of the first scores
    self._accepted: set[int] = set()
    self._initial = initial
    known = Equivalents(same_layer, cache)
    self._equivalents = None if equivalents == EVALUATE else known
    self._redraws = equivalents == REDRAW

  def replay(self, records: Iterable[Record]) -> None:
    """Restores the state of an earlier run of the search from its records; call it before `propose` and `take`.

    Args:
      records: the records of the evolution, in the order of completion.
    """
    for record in records:
      if self._equivalents is not None and not record.is_copy and record.graph and record.index is not None:
        self._equivalents.add(record.graph, record.index)
      self.take(record)

  def take(self, record: Record) -> None:
    """Takes note of a candidate's result: an accepted candidate joins the population.

    Args:
      record: the candidate's record.
    """
    self._names = self._names or list(record.scores)
    for candidate in records_lib.candidates([record], self._names):
      self._accepted.add(candidate.index)
      self._population.append(candidate)

  def propose(self, index: int) -> Proposal:
    """Proposes a candidate; later proposals count its function as known.

    Args:
      index: the candidate's index, from 0 up. Each index is proposed once, in ascending order.

    Returns:
      The proposal: a candidate of the warm start if `index` is one of theirs, otherwise a drawn one.

    Raises:
      ArgumentError: if a million draws give no graph to propose, as in a search space that is exhausted, or if the
        strategy names a parent that is no accepted candidate.
    """
    if index < len(self._initial):
      proposal = self._initial_proposal(index)
    else:
      proposal = propose(index, self._strategy, self._space, self._population, self._equivalents, self._seed,
                         self._redraws)
    if proposal.parent is not None and proposal.parent not in self._accepted:
      raise ArgumentError(f'`draw` of {type(self._strategy).__name__} must return the number of an accepted candidate '
                          f'as the parent, or None, received {proposal.parent!r} for candidate {index}.')
    if self._equivalents is not None and proposal.same_as is None:
      self._equivalents.add(proposal.graph, index)
    return proposal

  def close(self) -> None:
    """Closes the file of the equivalence cache."""
    if self._equivalents is not None:
      self._equivalents.close()

  def _initial_proposal(self, index: int) -> Proposal:
    given = self._initial[index]
    same_as = None if self._equivalents is None else self._equivalents.find(given.graph)
    return Proposal(index, given.graph, same_as=same_as, origin=given.origin, earlier=given.record)
