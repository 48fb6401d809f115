"""Tournament selection: a random part of the population, its winner by Pareto frontier or average (section 6)."""

from collections.abc import Sequence
import math

import numpy as np

from evonorm_tf.errors import ArgumentError
from search.journal.candidate import Candidate
from search.selection.population import Population


def draw_tournament(population: Population, fraction: float, rng: np.random.Generator) -> list[Candidate]:
  """Returns ⌈fraction · size⌉ different members of the population, drawn uniformly.

  Raises:
    ArgumentError: unless `fraction` lies in (0, 1] and the population has members.
  """
  if not 0 < fraction <= 1:
    raise ArgumentError(f'`fraction` must lie in (0, 1], received {fraction}.')
  if not population:
    raise ArgumentError('`population` must have members to draw a tournament from, received an empty one.')
  members = list(population)
  size = math.ceil(fraction * len(members))
  return [members[i] for i in rng.choice(len(members), size, replace=False)]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
  """Returns whether the scores `a` are at least as good as `b` everywhere, and better somewhere."""
  return all(i >= j for i, j in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def pareto_frontier(candidates: Sequence[Candidate]) -> list[Candidate]:
  """Returns the candidates that no other dominates, in their order."""
  return [c for c in candidates if not any(dominates(other.scores, c.scores) for other in candidates)]


def pareto_winner(tournament: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
  """Returns a uniformly random member of the Pareto frontier over the architectures' scores (the paper's choice)."""
  frontier = pareto_frontier(tournament)
  return frontier[rng.integers(len(frontier))]


def average_winner(tournament: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
  """Returns the candidate with the best mean score; `rng` breaks ties."""
  best = max(c.mean_score for c in tournament)
  winners = [c for c in tournament if c.mean_score == best]
  return winners[rng.integers(len(winners))]
