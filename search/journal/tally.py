"""The tally of a search: its counts, bests and rates, kept up as records come.

The functions of `search.journal.records` give its values with their meaning.
"""

import collections
import heapq

from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import RERANKING
from search.journal.record import Record

TOP = 10  # the number of best candidates in the mean score that the paper's plots show
RECENT = 20  # candidates in the curve of the recent mean, and over which the rate is measured
_FORMERLY = {'same function as an earlier candidate': 'same layer as an earlier candidate'}  # reasons in older journals


class Tally:
  """A view of records (see `search.journal.history`) with what a search shows after each of them.

  Attributes:
    by_stage: the number of records by stage.
    accepted: the number of accepted layers without copies, by stage.
    copies: the number of candidates that copy an earlier outcome.
    evaluated: the number of candidates that do not.
    stopped: the number of evaluated candidates that successive halving stopped.
    outcomes: the number of evaluated candidates by outcome.
    filtered: the number of drawn graphs that were rejected without an evaluation, by reason.
    architectures: the names of the architectures, in the order of the first scores; empty before.
    scored_in: the architectures of the stages before the re-ranking, by the key False, and of that, True.
    best: the first candidate with the best measured mean score; None before the first.
    best_by_architecture: the best measured score by architecture.
    top: the `TOP` best measured mean scores, as a heap.
    recent: the last `RECENT` measured mean scores.
    times: the times, in seconds of the search, at which the last `RECENT` + 1 evaluated candidates were recorded.
  """

  def __init__(self) -> None:
    self.by_stage: collections.Counter[str] = collections.Counter()
    self.accepted: collections.Counter[str] = collections.Counter()
    self.copies = self.evaluated = self.stopped = 0
    self.outcomes: collections.Counter[str] = collections.Counter()
    self.filtered: collections.Counter[str] = collections.Counter()
    self.architectures: list[str] = []
    self.scored_in: dict[bool, set[str]] = {False: set(), True: set()}
    self.best: Record | None = None
    self.best_by_architecture: dict[str, float] = {}
    self.top: list[float] = []
    self.recent: collections.deque[float] = collections.deque(maxlen=RECENT)
    self.times: collections.deque[float] = collections.deque(maxlen=RECENT + 1)

  def add(self, record: Record) -> None:
    """Receives the next record.

    Args:
      record: the record.
    """
    self.by_stage[record.stage] += 1
    self.accepted[record.stage] += record.is_accepted and not record.is_copy
    self.architectures = self.architectures or list(record.scores)
    is_final = record.stage == RERANKING
    self.scored_in[is_final] = self.scored_in[is_final] or set(record.scores)
    if record.stage == EVOLUTION:
      self._add_candidate(record)

  def _add_candidate(self, record: Record) -> None:
    self.filtered.update({_FORMERLY.get(reason, reason): number for reason, number in record.filtered.items()})
    if record.is_copy:
      self.copies += 1
      return
    self.evaluated += 1
    self.outcomes[record.outcome] += 1
    self.times.append(record.elapsed)
    self.stopped += record.is_accepted and not record.is_complete
    if record.is_measured:
      self._add_measured(record)

  def _add_measured(self, record: Record) -> None:
    score = record.mean_score
    self.recent.append(score)
    (heapq.heappush if len(self.top) < TOP else heapq.heappushpop)(self.top, score)
    if self.best is None or score > self.best.mean_score:
      self.best = record
    for name, own in record.scores.items():
      self.best_by_architecture[name] = max(own, self.best_by_architecture.get(name, own))
