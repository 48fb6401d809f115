"""Selections and statistics of a search's records, for its loop, plots, summaries and report.

There are two kinds of scores. Tournaments compare all accepted candidates (`candidates`), including copies of an
earlier outcome and candidates that successive halving stopped, which have projected scores. Plots, rankings and the
report use only scores from a training to the end (`measured`).

What the search asks after every record is read from a `Tally`, which a `History` keeps up.
"""

import collections
from collections.abc import Sequence
import dataclasses
import statistics

from search.graphs.equation import equation_text
from search.graphs.start_values import difference_at_start
from search.journal.candidate import Candidate
from search.journal.history import view
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import OUTCOMES
from search.journal.outcomes import OWN_TEST
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.journal.tally import Tally
from search.journal.tally import TOP as TOP


def of_stage(records: Sequence[Record], stage: str) -> list[Record]:
  """Returns the records of one stage, in the journal's order.

  Args:
    records: the search's records of all stages, in the order of the journal.
    stage: 'reference', 'evolution' or 'reranking'.
  """
  return [r for r in records if r.stage == stage]


def evaluated(records: Sequence[Record]) -> list[Record]:
  """Returns the records of the evolution that are not copies of an earlier candidate's outcome, in the journal's order.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  return [r for r in of_stage(records, EVOLUTION) if not r.is_copy]


def copies(records: Sequence[Record]) -> list[Record]:
  """Returns the records of the evolution that copy the outcome of an earlier candidate, in the journal's order.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  return [r for r in of_stage(records, EVOLUTION) if r.is_copy]


def accepted(records: Sequence[Record], stage: str = EVOLUTION) -> list[Record]:
  """Returns the records of the layers that passed every test in one stage, and therefore have scores.

  Args:
    records: the search's records of all stages, in the order of the journal.
    stage: 'reference', 'evolution' (default) or 'reranking'.
  """
  return [r for r in of_stage(records, stage) if r.is_accepted]


def measured(records: Sequence[Record], stage: str = EVOLUTION) -> list[Record]:
  """Returns the accepted records of one stage whose scores were measured at the end of the training.

  Copies, and candidates that successive halving stopped, are left out.

  Args:
    records: the search's records of all stages, in the order of the journal.
    stage: 'reference', 'evolution' (default) or 'reranking'.
  """
  return [r for r in of_stage(records, stage) if r.is_measured]


def stopped(records: Sequence[Record]) -> list[Record]:
  """Returns the records of the candidates that successive halving stopped, without copies; their scores are projected.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  return [r for r in accepted(evaluated(records)) if not r.is_complete]


def architectures(records: Sequence[Record]) -> list[str]:
  """Returns the names of the architectures, in the order of the first scores; empty as long as there are no scores.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  return view(records, Tally).architectures


def candidates(records: Sequence[Record], names: Sequence[str] = ()) -> list[Candidate]:
  """Returns the accepted candidates of the evolution, in the order of completion, for the population.

  Args:
    records: the search's records of all stages, in the order of the journal.
    names: the architectures, in the order of the candidates' scores (default: as `architectures`).
  """
  names = names or architectures(records)
  return [Candidate(r.index, r.graph, tuple(r.scores[n] for n in names), r.step_time)
          for r in accepted(records) if r.index is not None and r.graph is not None]


def measured_candidates(records: Sequence[Record]) -> list[Candidate]:
  """Returns the `candidates` whose scores were measured at the end of the training, without copies.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  indices = {r.index for r in measured(records)}
  return [c for c in candidates(records) if c.index in indices]


def best(records: Sequence[Record]) -> Record | None:
  """Returns the record of the candidate with the best measured mean score; None if there is none yet.

  Of equal candidates it is the first in the journal.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  return view(records, Tally).best


def finalists(records: Sequence[Record], count: int, min_difference: float = 0.) -> list[Record]:
  """Returns the candidates with the best measured mean scores, one of each function, the best first.

  Two candidates count as one function if their equations are equal, or if all their scores and their gradient norms are
  equal to the last digit. Such functions train alike: tanh(x) and tanh(x) + v0² do, for instance, from v0 = 0. The
  candidate with the better score is kept or, if they are equal, the one proposed first.

  Args:
    records: the search's records of all stages, in the order of the journal.
    count: the largest number of candidates to return.
    min_difference: the least `search.graphs.start_values.difference_at_start` of a candidate from those before it;
      0 (default) for any.
  """
  chosen: list[Record] = []
  met: set[object] = set()
  for record in sorted(measured(records), key=lambda r: (-r.mean_score, r.index)):
    if len(chosen) == count:
      break
    keys: set[object] = {record.graph and equation_text(record.graph)}
    if record.gradient_norm is not None:
      keys.add((*sorted(record.scores.items()), record.gradient_norm))
    if not keys & met and _differs(record, chosen, min_difference):
      chosen.append(record)
    met |= keys
  return chosen


def _differs(record: Record, others: Sequence[Record], least: float) -> bool:
  graph = record.graph
  return not least or graph is None or all(
      difference_at_start(graph, other.graph) >= least for other in others if other.graph)


def over_seeds(records: Sequence[Record]) -> list[Record]:
  """Returns one record for each layer of one stage: where it was trained with several seeds, that of the means.

  Args:
    records: the records of one stage, in the order of the journal.

  Returns:
    The records, in the order of each layer's first. That of a layer with several has the means of the scores and of the
    test scores, and no seed; of a layer that was not accepted with each seed, it is the first that was not accepted.
  """
  by_name: dict[str, list[Record]] = collections.defaultdict(list)
  for record in records:
    by_name[record.name].append(record)
  return [_mean_record(repeated) for repeated in by_name.values()]


def _mean_record(repeated: Sequence[Record]) -> Record:
  failed = [r for r in repeated if not r.is_accepted]
  if failed or len(repeated) == 1:
    return (failed or repeated)[0]
  scores, test_scores = ({name: statistics.fmean(some[name] for some in values) for name in values[0]}
                         for values in ([r.scores for r in repeated], [r.test_scores or {} for r in repeated]))
  return dataclasses.replace(repeated[0], scores=scores, test_scores=test_scores, seed=None)


def standard_error(records: Sequence[Record], name: str) -> float | None:
  """Returns the standard error of a layer's mean score over the seeds of the re-ranking: their deviation by √seeds.

  Args:
    records: the search's records of all stages.
    name: the layer's name, such as 'candidate 17'.

  Returns:
    The standard error, in [0, 1]; None if the re-ranking has fewer than two accepted trainings of the layer.
  """
  scores = [r.mean_score for r in accepted(records, RERANKING) if r.name == name]
  return statistics.stdev(scores) / len(scores)**.5 if len(scores) > 1 else None


def top_mean(records: Sequence[Record]) -> float | None:
  """Returns the mean of the `TOP` best measured mean scores of the evolution, in [0, 1], as in the paper's plots.

  Args:
    records: the search's records of all stages, in the order of the journal.

  Returns:
    The mean, which never falls as candidates come; None as long as there are fewer than `TOP`.
  """
  top = view(records, Tally).top
  return statistics.fmean(top) if len(top) == TOP else None


def counts_by_outcome(records: Sequence[Record]) -> dict[str, int]:
  """Returns the number of evaluated candidates with each outcome, in the order of `OUTCOMES`; copies do not count.

  Rejections by a user's own tests are left out where there are none.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  counts = view(records, Tally).outcomes
  return {outcome: counts[outcome] for outcome in OUTCOMES if outcome != OWN_TEST or counts[outcome]}


def counts_by_filter(records: Sequence[Record]) -> dict[str, int]:
  """Returns the number of drawn graphs that were rejected without an evaluation, by reason, most frequent first.

  The reasons are those of the static filter and, if equivalents are drawn again, the equivalence to a candidate.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  return dict(sorted(view(records, Tally).filtered.items(), key=lambda item: (-item[1], item[0])))


def filtered_share(records: Sequence[Record]) -> float:
  """Returns the share of all drawn graphs that were rejected without an evaluation, in [0, 1]; 0 without candidates.

  All candidates count as drawn graphs that were not rejected, including copies.

  Args:
    records: the search's records of all stages, in the order of the journal.
  """
  tally = view(records, Tally)
  filtered, proposed = tally.filtered.total(), tally.evaluated + tally.copies
  return filtered / (filtered + proposed) if proposed else 0.


def candidates_a_minute(records: Sequence[Record]) -> float | None:
  """Returns the number of evaluated candidates per minute of run time, including rejected ones, but not copies.

  Args:
    records: the search's records of all stages, in the order of the journal. The rate is over the `RECENT` last ones.

  Returns:
    The rate; None if fewer than two candidates have been evaluated, or no time has passed between them.
  """
  times = view(records, Tally).times
  seconds = times[-1] - times[0] if times else 0.
  return 60 * (len(times) - 1) / seconds if seconds > 0 else None
