"""The choice of the next candidate: population, tournaments, proposals and warm starts, without TensorFlow.

The evolution is the paper's, with what others recall of its offspring.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.selection.population import Population as Population
  from search.selection.proposal import Proposal as Proposal
  from search.selection.proposal import RandomSearch as RandomSearch
  from search.selection.proposal import Strategy as Strategy
  from search.selection.proposal import TournamentEvolution as TournamentEvolution
  from search.selection.proposer import Proposer as Proposer
  from search.selection.tournament import average_winner as average_winner
  from search.selection.tournament import pareto_frontier as pareto_frontier
  from search.selection.tournament import pareto_winner as pareto_winner
  from search.selection.warm_start import InitialCandidate as InitialCandidate

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'population': ('Population',),
    'proposal': ('Proposal', 'RandomSearch', 'Strategy', 'TournamentEvolution'),
    'proposer': ('Proposer',),
    'tournament': ('average_winner', 'pareto_frontier', 'pareto_winner'),
    'warm_start': ('InitialCandidate',),
})
