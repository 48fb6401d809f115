"""Tournament selection, with the winner by Pareto frontier or by average (as in the paper).

`pareto_winner_with_cost`, which the paper does not have, takes the time of a training step as one more objective.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
import operator

import numpy as np

from evonorm_tf.errors import ArgumentError
from search.journal.candidate import Candidate
from search.selection.population import Population


def draw_tournament(population: Population | Sequence[Candidate], fraction: float, rng: np.random.Generator
                    ) -> list[Candidate]:
  """Draws a tournament: ⌈`fraction` · size⌉ different members of a population, uniformly.

  Args:
    population: the population, or the members of a niche; not empty.
    fraction: the share of the population that takes part, in (0, 1].
    rng: the source of all randomness.

  Returns:
    The members drawn, at least one, in random order.

  Raises:
    ArgumentError: if `fraction` does not lie in (0, 1], or if the population is empty.
  """
  if not 0 < fraction <= 1:
    raise ArgumentError(f'`fraction` must lie in (0, 1], received {fraction}.')
  if not population:
    raise ArgumentError('`population` must have members to draw a tournament from, received an empty one.')
  members = list(population)
  size = math.ceil(fraction * len(members))
  return [members[i] for i in rng.choice(len(members), size, replace=False)]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
  """Returns whether one candidate's scores dominate another's: none is lower, and at least one is higher.

  Args:
    a: the scores of the candidate that may dominate, one for each architecture.
    b: the scores of the other candidate, in the same order.

  Raises:
    ValueError: if the numbers of scores differ.
  """
  return all(i >= j for i, j in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def scores_and_cost(candidate: Candidate) -> tuple[float, ...]:
  """Returns a candidate's scores, and the negative of its cost, −∞ if it has none, as one more score.

  Args:
    candidate: the candidate.
  """
  return *candidate.scores, -math.inf if candidate.cost is None else -candidate.cost


def pareto_frontier(candidates: Sequence[Candidate],
                    objectives: Callable[[Candidate], Sequence[float]] = operator.attrgetter('scores')
                    ) -> list[Candidate]:
  """Returns the Pareto frontier: the candidates whose scores no other candidate's scores dominate.

  Args:
    candidates: the candidates; may be empty.
    objectives: returns what is compared of a candidate (default: its scores), of which more is better.

  Returns:
    The members of the frontier, in the order of `candidates`.
  """
  of_each = [tuple(objectives(c)) for c in candidates]
  frontier: list[tuple[float, ...]] = []
  for own in sorted(set(of_each), reverse=True):  # what dominates another comes before it
    if not any(dominates(other, own) for other in frontier):
      frontier.append(own)
  members = set(frontier)
  return [c for c, own in zip(candidates, of_each) if own in members]


def objectives_of(objective: Callable[[Candidate], float | Sequence[float]]) -> Callable[[Candidate], Sequence[float]]:
  """Returns the function that gives what a user's objective returns as a sequence; NaN counts as −∞.

  Args:
    objective: a function that returns a number or several, of which more is better.
  """
  def objectives(candidate: Candidate) -> Sequence[float]:
    return [-math.inf if math.isnan(value) else float(value) for value in np.ravel(objective(candidate))]
  return objectives


def pareto_winner(tournament: Sequence[Candidate], rng: np.random.Generator,
                  objectives: Callable[[Candidate], Sequence[float]] = operator.attrgetter('scores')) -> Candidate:
  """Returns a uniformly random member of the Pareto frontier, the winner by the paper's choice.

  Args:
    tournament: the candidates, at least one.
    rng: the source of all randomness.
    objectives: returns what is compared of a candidate (default: its scores), of which more is better.

  Example:
    >>> import numpy as np
    >>> import search
    >>> graph = search.SearchSpace().random_graph(np.random.default_rng(0))
    >>> members = [search.Candidate(i, graph, scores) for i, scores in enumerate([(.5, .1), (.4, .4), (.4, .3)])]
    >>> search.pareto_winner(members, np.random.default_rng(0)).index in (0, 1)  # 1 dominates 2
    True
  """
  frontier = pareto_frontier(tournament, objectives)
  return frontier[rng.integers(len(frontier))]


def pareto_winner_with_cost(tournament: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
  """Returns a uniformly random member of the Pareto frontier over the scores and the cost.

  The cost is the time of a training step, if `search.evaluation.Evaluation.measures_cost` is set. A candidate without
  one counts as dearer than all others. Times are never twice the same, so that the arguments of a search no longer
  determine it.

  Args:
    tournament: the candidates, at least one.
    rng: the source of all randomness.

  Example:
    >>> import numpy as np
    >>> import search
    >>> graph = search.SearchSpace().random_graph(np.random.default_rng(0))
    >>> members = [search.Candidate(0, graph, (.5,), cost=1.2), search.Candidate(1, graph, (.4,), cost=1.3)]
    >>> search.pareto_winner_with_cost(members, np.random.default_rng(0)).index
    0
  """
  return pareto_winner(tournament, rng, scores_and_cost)


def average_winner(tournament: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
  """Returns the candidate with the best mean score, the paper's alternative; ties are broken at random.

  Args:
    tournament: the candidates, at least one.
    rng: the source of all randomness.

  Example:
    >>> import numpy as np
    >>> import search
    >>> graph = search.SearchSpace().random_graph(np.random.default_rng(0))
    >>> members = [search.Candidate(0, graph, (.5, .1)), search.Candidate(1, graph, (.4, .4))]
    >>> search.average_winner(members, np.random.default_rng(0)).index
    1
  """
  best = max(c.mean_score for c in tournament)
  winners = [c for c in tournament if c.mean_score == best]
  return winners[rng.integers(len(winners))]
