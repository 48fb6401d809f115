"""Views of a search's records that the loop, the plots, the summaries and the report share.

The records given may be of all stages. Tournaments compare all `candidates`; whatever is shown or ranked rests on
`measured` scores.
"""

import collections
from collections.abc import Sequence
import heapq
import operator
import statistics

from search.graphs.equation import equation_text
from search.journal.candidate import Candidate
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import OUTCOMES
from search.journal.record import Record

TOP = 10  # candidates in the mean that the paper's plots show


def of_stage(records: Sequence[Record], stage: str) -> list[Record]:
  """Returns the records of one stage, in their order."""
  return [r for r in records if r.stage == stage]


def evaluated(records: Sequence[Record]) -> list[Record]:
  """Returns the candidates of the evolution without the copies: one of each function."""
  return [r for r in of_stage(records, EVOLUTION) if not r.is_copy]


def copies(records: Sequence[Record]) -> list[Record]:
  """Returns the candidates of the evolution that were not evaluated, but have the outcome of an earlier one."""
  return [r for r in of_stage(records, EVOLUTION) if r.is_copy]


def accepted(records: Sequence[Record], stage: str = EVOLUTION) -> list[Record]:
  """Returns the records of one stage that passed every test and so have scores."""
  return [r for r in of_stage(records, stage) if r.is_accepted]


def measured(records: Sequence[Record], stage: str = EVOLUTION) -> list[Record]:
  """Returns the accepted records of one stage that were trained to the end: neither copies nor stopped at a rung."""
  return [r for r in of_stage(records, stage) if r.is_measured]


def stopped(records: Sequence[Record]) -> list[Record]:
  """Returns the evaluated candidates that were stopped at a rung, and so have projected scores."""
  return [r for r in accepted(evaluated(records)) if not r.is_complete]


def architectures(records: Sequence[Record]) -> list[str]:
  """Returns the names of the architectures, in the order of the first scores; none until there are scores."""
  return next((list(r.scores) for r in records if r.scores), [])


def candidates(records: Sequence[Record]) -> list[Candidate]:
  """Returns the accepted candidates of the evolution, in the order of completion."""
  names = architectures(records)
  return [Candidate(r.index, r.graph, tuple(r.scores[n] for n in names))
          for r in accepted(records) if r.index is not None and r.graph is not None]


def best(records: Sequence[Record]) -> Record | None:
  """Returns the candidate with the best measured mean score, the first of equals; None if there is none yet."""
  return max(measured(records), key=operator.attrgetter('mean_score'), default=None)


def finalists(records: Sequence[Record], count: int) -> list[Record]:
  """Returns the `count` candidates with the best measured scores, the first of equals, one of each function.

  Two candidates are one function if their equations agree, or if their scores and gradient norms agree to the last
  digit: such functions train alike, as tanh(x) and tanh(x) + v0² do from v0 = 0.
  """
  chosen: list[Record] = []
  met: set[object] = set()
  for record in sorted(measured(records), key=lambda r: (-r.mean_score, r.index)):
    keys: set[object] = {record.graph and equation_text(record.graph)}
    if record.gradient_norm is not None:
      keys.add((*record.scores.values(), record.gradient_norm))
    if not keys & met:
      chosen.append(record)
    met |= keys
  return chosen[:count]


def top_mean(records: Sequence[Record], count: int = TOP) -> float | None:
  """Returns the mean of the `count` best measured mean scores, or of all if they are fewer; None if there are none."""
  top = heapq.nlargest(count, (r.mean_score for r in measured(records)))
  return statistics.fmean(top) if top else None


def counts_by_outcome(records: Sequence[Record]) -> dict[str, int]:
  """Returns the number of evaluated candidates with each of `OUTCOMES`."""
  counts = collections.Counter(r.outcome for r in evaluated(records))
  return {outcome: counts[outcome] for outcome in OUTCOMES}


def counts_by_filter(records: Sequence[Record]) -> dict[str, int]:
  """Returns the number of draws that the static filter rejected, by reason, the most frequent first."""
  counts: collections.Counter[str] = collections.Counter()
  for record in of_stage(records, EVOLUTION):
    counts.update(record.filtered)
  return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def filtered_share(records: Sequence[Record]) -> float:
  """Returns the share of all draws that were rejected before an evaluation; a copy is a draw that was not."""
  filtered, proposed = sum(counts_by_filter(records).values()), len(of_stage(records, EVOLUTION))
  return filtered / (filtered + proposed) if proposed else 0.


def candidates_a_minute(records: Sequence[Record], last: int = 20) -> float | None:
  """Returns the rate of the `last` evaluations, rejected candidates included; None if there are fewer than two."""
  window = evaluated(records)[-last - 1:]
  seconds = window[-1].elapsed - window[0].elapsed if window else 0
  return 60 * (len(window) - 1) / seconds if seconds > 0 else None
