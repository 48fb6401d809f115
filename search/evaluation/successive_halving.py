"""Successive halving: the training of a survivor stops when it falls behind earlier ones.

Not in the paper, which trains every survivor to the end. This is the asynchronous form that stops trainings (Li et al.,
A System for Massively Parallel Hyperparameter Tuning, 2020, https://arxiv.org/abs/1810.05934): at a rung, a number of
training steps, a candidate goes on if its mean accuracy is no worse than the ⌊n/η⌋-th best of the n that were recorded
there before it. The first η - 1 of a rung always go on.

Scores in tournaments: a candidate that stops at 500 of 2,000 steps cannot be compared with one that was trained to the
end, because accuracies grow. Its scores are therefore the accuracies at its last rung plus, in each architecture, the
mean gain from there to the end of the candidates that were trained to the end: what it would reach if it gained as much
as they did. Projected scores count in tournaments only: the best candidate, the mean of the best, the re-ranking and
the plots rest on measured ones.

Cost and benefit, for 28 mutants of known layers in the quickstart's networks, 400 steps, rungs at 100 and 200, over
random orders of arrival (`python -m benchmarks.successive_halving`): η = 1.5 saves 36% of the training steps and keeps
the best candidate in the top 5 in 94% of the orders; η = 2, 48% and 90%; η = 3, 56% and 36%.

In a gin file (the re-ranking, which compares few candidates, trains all of them to the end):

  evaluation.Evaluation.halving = @successive_halving.SuccessiveHalving()
  reranking/evaluation.Evaluation.halving = None
  successive_halving.SuccessiveHalving.rungs = (250, 500, 1000)  # of 2,000 steps
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import statistics

from evonorm_tf.errors import ArgumentError
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record


@dataclasses.dataclass(frozen=True)
class Bar:
  """The bar that a rung sets for an evaluation, from the candidates that were recorded before it.

  Attributes:
    score: the lowest mean accuracy with which a candidate goes on; None while there are too few to compare with.
    gains: the mean gain in accuracy from the rung to the end, by architecture; empty while none was trained to the end.
  """
  score: float | None = None
  gains: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def is_reached(self, accuracies: Mapping[str, float]) -> bool:
    """Returns whether a candidate with these accuracies, by architecture, goes on."""
    return self.score is None or statistics.fmean(accuracies.values()) >= self.score

  def projected(self, accuracies: Mapping[str, float]) -> dict[str, float]:
    """Returns the scores of a candidate that stops here with these accuracies, by architecture, at most 1."""
    return {name: min(1., accuracy + self.gains.get(name, 0.)) for name, accuracy in accuracies.items()}


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
  """The rungs at which training may stop, and the share of candidates that go on.

  Attributes:
    rungs: numbers of training steps, increasing, below the task's number of steps.
    eta: η; a rung keeps one in η candidates (default 2).

  Raises:
    ValueError: if the rungs are not increasing positive numbers, or η is not above 1.
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
    """Returns the bar of each rung, from the accepted candidates of the evolution among a journal's records."""
    accepted = [r for r in records if r.stage == EVOLUTION and r.scores and r.rungs]
    return tuple(self._bar([r for r in accepted if len(r.rungs) > i], i) for i in range(len(self.rungs)))

  def _bar(self, records, i) -> Bar:
    """The bar of rung i, from the records of candidates that have reached it."""
    scores = sorted((statistics.fmean(r.rungs[i]['accuracies'].values()) for r in records), reverse=True)
    complete = [r for r in records if r.is_complete]
    gains = {name: statistics.fmean(r.scores[name] - r.rungs[i]['accuracies'][name] for r in complete)
             for name in (complete[0].scores if complete else ())}
    return Bar(scores[int(len(scores) / self.eta) - 1] if len(scores) >= self.eta else None, gains)
