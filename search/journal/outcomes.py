"""The stages of a search, the outcomes of an evaluation, and the rungs of successive halving, as journals name them.

Workers need nothing else of a journal, so this module imports nothing of the search.
"""

from typing import TypedDict

REFERENCE, EVOLUTION, RERANKING = STAGES = ('reference', 'evolution', 'reranking')
ELSEWHERE = 'of another search'  # ends the `origin` of a candidate that another search has found
ACCEPTED, POOR, UNSTABLE, FAILED = OUTCOMES = ('accepted', 'rejected: quality', 'rejected: stability', 'failed')


class Rung(TypedDict, total=False):
  """A rung of successive halving that a training has reached, as JSON data.

  Attributes:
    steps: the training steps taken so far.
    accuracies: the validation accuracies there, in [0, 1], by architecture.
    bar: the mean accuracy that was needed to go on; None if there was nothing to compare with.
    stopped: whether the training ended there.
  """
  steps: int
  accuracies: dict[str, float]
  bar: float | None
  stopped: bool
