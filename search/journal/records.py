"""What a journal's records say: typed views that the loop, the plots, the summaries and the report share.

A record is JSON data. Its `stage` is one of
- 'reference': a known layer, by `name`, put through the evaluation before the evolution;
- 'evolution': a candidate, with its `index`, `parent`, `graph` and what the static filter rejected before it; `same_as`
  is there if it was not evaluated but has the outcome of that earlier candidate, `origin` if the search began with it;
  one that successive halving stopped, as its `rungs` tell, has projected scores;
- 'reranking': a candidate or reference after a longer training, with `test_scores` beside its `scores`.
Everywhere below, the records given may be of all stages. Tournaments compare all `candidates`; what is shown or ranked
rests on `measured` scores.
"""

import collections
from collections.abc import Sequence
import heapq
import statistics

from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.equation import equation_text
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal.candidate import Candidate
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import is_complete
from search.journal.outcomes import OUTCOMES

TOP = 10  # candidates in the mean that the paper's plots show
def of_stage(records: Sequence[dict], stage: str) -> list[dict]:
  """The records of one stage, in their order."""
  return [r for r in records if r['stage'] == stage]


def evaluated(records: Sequence[dict]) -> list[dict]:
  """The candidates of the evolution, without those that have an earlier one's outcome: one of each function."""
  return [r for r in of_stage(records, EVOLUTION) if 'same_as' not in r]


def accepted(records: Sequence[dict], stage: str = EVOLUTION) -> list[dict]:
  """The records of one stage that passed every test and so have scores."""
  return [r for r in records if r['stage'] == stage and r['outcome'] == ACCEPTED]


def copies(records: Sequence[dict]) -> list[dict]:
  """The candidates of the evolution that were not evaluated, but have the outcome of an earlier one."""
  return [r for r in of_stage(records, EVOLUTION) if 'same_as' in r]


def measured(records: Sequence[dict], stage: str = EVOLUTION) -> list[dict]:
  """The accepted records of one stage that were trained to the end: neither copies nor stopped at a rung."""
  return [r for r in accepted(records, stage) if is_measured(r)]


def is_measured(record: dict) -> bool:
  """Whether the record has scores that were measured at the end of its own training."""
  return record['outcome'] == ACCEPTED and 'same_as' not in record and is_complete(record)


def stopped(records: Sequence[dict]) -> list[dict]:
  """The evaluated candidates of the evolution that were stopped at a rung, and so have projected scores."""
  return [r for r in accepted(evaluated(records)) if not is_complete(r)]


def architectures(records: Sequence[dict]) -> list[str]:
  """The names of the architectures, in the order of the first scores; none as long as there are no scores."""
  return next((list(r['scores']) for r in records if r['scores']), [])


def mean_score(record: dict, scores: str = 'scores') -> float:
  """The average over the architectures, of `scores` or of `test_scores`."""
  return statistics.fmean(record[scores].values())


def seconds(record: dict) -> float:
  """An evaluation's time: its own total, or the sum over the activities."""
  return record['seconds'].get('total', sum(record['seconds'].values()))


def candidates(records: Sequence[dict]) -> list[Candidate]:
  """The accepted candidates of the evolution, in the order of completion."""
  names = architectures(records)
  return [Candidate(r['index'], LayerGraph.from_dict(r['graph']), tuple(r['scores'][n] for n in names))
          for r in accepted(records)]


def name(record: dict) -> str:
  """'bn_relu' for a reference, 'candidate 17' for a candidate."""
  return record.get('name') or f'candidate {record["index"]}'


def is_found(record: dict) -> bool:
  """Whether the record is of a layer that the search has found, and not of a reference."""
  return record['graph'] is not None


def layer_graph(record: dict) -> LayerGraph | None:
  """The layer graph of a candidate or of a known layer; None for a reference that is no layer graph."""
  if is_found(record):
    return LayerGraph.from_dict(record['graph'])
  return known_graph(record['name']) if record['name'] in KNOWN_GRAPHS else None


def best(records: Sequence[dict]) -> dict | None:
  """The record of the candidate of the best measured mean score, the first of equals; None as long as there is none."""
  return max(measured(records), key=mean_score, default=None)


def finalists(records: Sequence[dict], count: int) -> list[dict]:
  """The `count` candidates of the best measured scores, the first of equals, one of each function.

  Two candidates are one function if their equations agree, or their scores and gradient norms to the last digit: such
  functions train alike, as tanh(x) and tanh(x) + v0² do from v0 = 0.
  """
  chosen, met = [], set()
  for record in sorted(measured(records), key=lambda r: (-mean_score(r), r['index'])):
    keys = {equation_text(layer_graph(record))}
    if record['gradient_norm'] is not None:
      keys.add((*record['scores'].values(), record['gradient_norm']))
    if not keys & met:
      chosen.append(record)
    met |= keys
  return chosen[:count]


def top_mean(records: Sequence[dict], count: int = TOP) -> float | None:
  """The mean over the `count` best measured mean scores, or over all as long as they are fewer."""
  top = heapq.nlargest(count, map(mean_score, measured(records)))
  return statistics.fmean(top) if top else None


def counts_by_outcome(records: Sequence[dict]) -> dict[str, int]:
  """How many evaluated candidates of the evolution ended how, for each of `OUTCOMES`."""
  counts = collections.Counter(r['outcome'] for r in evaluated(records))
  return {outcome: counts[outcome] for outcome in OUTCOMES}


def counts_by_filter(records: Sequence[dict]) -> dict[str, int]:
  """How many draws the static filter rejected, by reason, the most frequent first."""
  counts = collections.Counter()
  for record in of_stage(records, EVOLUTION):
    counts.update(record['filtered'])
  return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def filtered_share(records: Sequence[dict]) -> float:
  """The share of all draws that were rejected before an evaluation; a copy is a draw that was not."""
  filtered, proposed = sum(counts_by_filter(records).values()), len(of_stage(records, EVOLUTION))
  return filtered / (filtered + proposed) if proposed else 0.


def candidates_a_minute(records: Sequence[dict], last: int = 20) -> float | None:
  """The rate of the `last` evaluations, rejected candidates included; None as long as there is a single one."""
  window = evaluated(records)[-last - 1:]
  seconds = window[-1]['elapsed'] - window[0]['elapsed'] if window else 0
  return 60 * (len(window) - 1) / seconds if seconds > 0 else None
