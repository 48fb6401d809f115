"""Stages of a search, outcomes of an evaluation, rungs of successive halving and costs, as journals name them.

It imports nothing from `search`, so that every other module can use it.
"""

from typing import TypedDict

REFERENCE, EVOLUTION, RERANKING = STAGES = ('reference', 'evolution', 'reranking')
ELSEWHERE = 'of another search'  # ends the `origin` of a candidate that another search has found
ACCEPTED, POOR, OWN_TEST, UNSTABLE, FAILED = OUTCOMES = (
    'accepted', 'rejected: quality', 'rejected: own test', 'rejected: stability', 'failed')
STEP_TIME, KEPT = 'step_time', 'kept'  # the keys of a layer's cost


class Rung(TypedDict, total=False):
  """A rung that a candidate's training has reached, as JSON data.

  A rung of successive halving is a number of training steps, after which the training of a candidate that falls behind
  is stopped; see `search.evaluation.successive_halving`.

  Attributes:
    steps: the number of training steps.
    accuracies: the validation accuracies after these steps, in [0, 1], by architecture.
    bar: the mean accuracy over the architectures that was needed to continue, in [0, 1]; None if there were too few
      earlier candidates to compare with.
    stopped: whether the training was stopped there.
  """
  steps: int
  accuracies: dict[str, float]
  bar: float | None
  stopped: bool
