"""Successive halving: early stopping for candidates that passed the tests but fall behind earlier candidates.

This is an addition to the paper, which trains every such candidate to the end. It is the asynchronous form that stops
trainings and never resumes them (Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020,
https://arxiv.org/abs/1810.05934). A rung is a number of training steps at which a training may stop. It has a bar, the
mean validation accuracy over the architectures that a candidate must reach there to be trained on: the ⌊n/η⌋-th best
among the n accepted candidates recorded at this rung before. While n < η, there is no bar, and all candidates continue.

Tournaments compare projected scores of stopped candidates. Accuracies grow during training, so a candidate that stopped
after 500 of 2,000 steps cannot be compared directly with one that was trained to the end. Its projected score in each
architecture is the accuracy at its last rung plus a gain, the mean increase from that rung to the end among the
candidates that were trained to the end. Everything else, such as the best candidate, the mean of the best, the
re-ranking and the plots, uses measured scores alone.

Cost and benefit, for 28 mutants of known layers in the quickstart's networks, 400 steps, rungs at 100 and 200, over
random orders of arrival (`python -m benchmarks.successive_halving --curves=FILE`): η = 1.5 saves 36% of the training
steps and keeps the best candidate in the top 5 in 94% of the orders; η = 2, 48% and 90%; η = 3, 56% and 36%.

In a gin file (the re-ranking, which compares few candidates, trains all of them to the end):

  evaluation.Evaluation.halving = @successive_halving.SuccessiveHalving()
  reranking/evaluation.Evaluation.halving = None
  successive_halving.SuccessiveHalving.rungs = (250, 500, 1000)  # of 2,000 steps
"""

import bisect
import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import statistics

from evonorm_tf.errors import ArgumentError
from search.journal.history import view
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record


@dataclasses.dataclass(frozen=True)
class Bar:
  """The accuracy to reach at one rung, and the gains from there to the end, measured on earlier candidates.

  A rung is a number of training steps at which a training may stop.

  Attributes:
    score: the lowest mean accuracy over the architectures, in [0, 1], with which training continues; None (default)
      while there are too few earlier candidates to compare with, and every candidate continues.
    gains: the mean increase in accuracy from the rung to the end of the training, by architecture; empty (default)
      while no candidate was trained to the end.
  """
  score: float | None = None
  gains: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def is_reached(self, accuracies: Mapping[str, float]) -> bool:
    """Returns whether the training of a candidate continues after the rung.

    Args:
      accuracies: the candidate's validation accuracies at the rung, in [0, 1], by architecture.
    """
    return self.score is None or statistics.fmean(accuracies.values()) >= self.score

  def projected(self, accuracies: Mapping[str, float]) -> dict[str, float]:
    """Returns the projected scores of a candidate that stops at this rung: its accuracies plus the gains, at most 1.

    Args:
      accuracies: the validation accuracies at the rung, in [0, 1], by architecture.
    """
    return {name: min(1., accuracy + self.gains.get(name, 0.)) for name, accuracy in accuracies.items()}


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
  """The settings of successive halving: the rungs, and the share of candidates that continue at each.

  Attributes:
    rungs: the numbers of training steps at which training may stop, increasing, all below the proxy task's `steps`.
    eta: η, a number above 1. About one in η candidates continues at each rung (default 2).

  Raises:
    ArgumentError: if `rungs` are not increasing positive numbers, or `eta` is not above 1.

  Example:
    >>> import search
    >>> halving = search.SuccessiveHalving(rungs=(50, 100), eta=1.5)  # of 200 steps
  """
  rungs: tuple[int, ...]
  eta: float = 2.

  def __post_init__(self):
    rungs = list(self.rungs)
    if not rungs or rungs != sorted(set(rungs)) or rungs[0] < 1:
      raise ArgumentError(f'`rungs` must be increasing positive numbers of steps, received {self.rungs}.')
    if not self.eta > 1:
      raise ArgumentError(f'`eta` must be greater than 1, received {self.eta}.')

  def bars(self, records: Sequence[Record]) -> tuple[Bar, ...]:
    """Returns the bar of each rung, in the order of `rungs`, from the candidates evaluated so far.

    Args:
      records: the search's records of all stages; only accepted candidates of the evolution count.
    """
    reached = view(records, _Reached)
    return tuple(self._bar(reached, i) for i in range(len(self.rungs)))

  def _bar(self, reached: '_Reached', i: int) -> Bar:
    """Returns the bar of rung i."""
    scores = reached.scores[i] if i < len(reached.scores) else []
    return Bar(scores[-int(len(scores) / self.eta)] if len(scores) >= self.eta else None, reached.mean_gains(i))


class _Reached:
  """A view of records: what candidates reached at each rung.

  Attributes:
    scores: for each rung, the mean accuracies of the accepted candidates that have reached it, ascending.
  """

  def __init__(self) -> None:
    self.scores: list[list[float]] = []
    self._complete: list[int] = []  # for each rung, the number of these candidates that were trained to the end
    self._gains: list[collections.Counter[str]] = []  # the sums of their gains from the rung on, by architecture

  def add(self, record: Record) -> None:
    """Receives the next record."""
    if record.stage != EVOLUTION or not record.scores:
      return
    for i, rung in enumerate(record.rungs or ()):
      if i == len(self.scores):
        self.scores.append([])
        self._complete.append(0)
        self._gains.append(collections.Counter())
      bisect.insort(self.scores[i], statistics.fmean(rung['accuracies'].values()))
      if record.is_complete:
        self._complete[i] += 1
        for name, accuracy in rung['accuracies'].items():
          self._gains[i][name] += record.scores[name] - accuracy

  def mean_gains(self, i: int) -> dict[str, float]:
    """Returns the mean gains from rung i to the end, by architecture; empty while nobody was trained to the end."""
    return {name: gain / self._complete[i] for name, gain in self._gains[i].items()} if i < len(self._gains) else {}
