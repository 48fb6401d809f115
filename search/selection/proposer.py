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
from search.selection.population import Population
from search.selection.proposal import Proposal
from search.selection.proposal import propose
from search.selection.warm_start import InitialCandidate


class Proposer:
  """Proposes candidate after candidate; tells what is on record of them beside their outcomes.

  Args:
    strategy: a `TournamentEvolution` or `RandomSearch`.
    space: the search space.
    population: the candidates alive; empty.
    initial: what the search begins with; they have the first indices.
    equivalents: one of `equivalence.MODES`. What the search begins with is never redrawn.
    seed: the search's seed.
  """

  def __init__(self, strategy, space: SearchSpace, population: Population, initial: Sequence[InitialCandidate],
               equivalents: str, seed: int):
    if equivalents not in MODES:
      raise ArgumentError(f'`equivalents` must be one of {MODES}, received {equivalents!r}.')
    self._strategy, self._space, self._population, self._seed = strategy, space, population, seed
    self._initial = initial
    self._equivalents = None if equivalents == EVALUATE else Equivalents()
    self._redraws = equivalents == REDRAW

  def replay(self, records: Iterable[dict]) -> None:
    """Takes the evolution's records of an earlier run, in the order of completion."""
    for record in records:
      if self._equivalents is not None and 'same_as' not in record:
        self._equivalents.add(records_lib.layer_graph(record), record['index'])
      self.take(record)

  def take(self, record: dict) -> None:
    """Takes the record of a proposal: an accepted candidate joins the population."""
    for candidate in records_lib.candidates([record]):
      self._population.append(candidate)

  def propose(self, index: int) -> Proposal:
    """Returns proposal number `index`, whose function is known from now on."""
    if index < len(self._initial):
      graph = self._initial[index].graph
      same_as = None if self._equivalents is None else self._equivalents.find(graph)
      proposal = Proposal(index, graph, None, {}, same_as)
    else:
      proposal = propose(index, self._strategy, self._space, self._population, self._equivalents, self._seed,
                         self._redraws)
    if self._equivalents is not None and proposal.same_as is None:
      self._equivalents.add(proposal.graph, index)
    return proposal

  def outcome(self, proposal: Proposal) -> dict | None:
    """The record of an earlier search that the proposal takes its outcome from, or None."""
    return self._initial[proposal.index].record if proposal.index < len(self._initial) else None

  def fields(self, proposal: Proposal) -> dict:
    """What a proposal's record holds beside its outcome."""
    fields = {'index': proposal.index, 'parent': proposal.parent, 'graph': proposal.graph.to_dict(),
              'filtered': proposal.filtered}
    if proposal.same_as is not None:
      fields['same_as'] = proposal.same_as
    if proposal.index < len(self._initial):
      fields['origin'] = self._initial[proposal.index].origin
    return fields
