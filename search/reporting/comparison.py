"""Statistics of searches for their comparison: curves, causes of rejection, ranks, primitives, ancestry.

Throughout, `records` are those of one search, of all stages.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import statistics
from typing import Any

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import INDEX_SETS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal import records as records_lib
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.selection.proposal import SEEN_BEFORE

CHANCE_GRAPHS = 500
COPIED = "copy of an equivalent candidate's outcome"


def core_seconds(records: Sequence[Record]) -> np.ndarray:
  """Returns the cumulated time of the evolution's evaluations, in seconds of one core a worker: [candidates evaluated].

  A candidate whose outcome is another search's took no time.
  """
  return np.cumsum([r.total_seconds for r in records_lib.evaluated(records)])


def saved_evaluations(records: Sequence[Record]) -> int:
  """Returns the number of evaluations saved by recognizing equivalent graphs: equivalents redrawn, and copies."""
  return records_lib.counts_by_filter(records).get(SEEN_BEFORE, 0) + len(records_lib.copies(records))


def saved_core_seconds(records: Sequence[Record]) -> float | None:
  """Returns the time that these would have taken, each as long as the median evaluation; None if none was timed."""
  timed = [r.total_seconds for r in records_lib.evaluated(records) if r.seconds]
  return saved_evaluations(records) * statistics.median(timed) if timed else None


def strategy_name(config: Mapping[str, Any]) -> str:
  """Returns 'Pareto', 'average' or 'random' for the paper's three, else the name of the selecting class or function."""
  strategy = config.get('strategy')
  if not isinstance(strategy, dict):
    return 'unknown'
  name = str(strategy.get('winner') or strategy.get('class') or 'unknown')
  return {'pareto_winner': 'Pareto', 'average_winner': 'average', 'RandomSearch': 'random'}.get(name, name)


def rejection_name(config: Mapping[str, Any]) -> str:
  """Returns which of the two tests a search has: 'quality and stability', 'quality', 'stability' or 'none'."""
  evaluation = config.get('evaluation')
  tests = evaluation if isinstance(evaluation, dict) else {}
  return ' and '.join(name for name in ('quality', 'stability') if tests.get(name)) or 'none'


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list]:
  """Returns the settings in which searches differ: by name, the value in each search, None where it has none."""
  flat = [dict(_leaves(config)) for config in configs]
  names = dict.fromkeys(name for settings in flat for name in settings)
  rows = {name: [settings.get(name) for settings in flat] for name in names}
  return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def _leaves(data: Any, path: str = '') -> Iterator[tuple[str, Any]]:
  """Yields path and value of every leaf of JSON data; a list is a leaf."""
  if isinstance(data, dict) and data:
    for key, value in data.items():
      yield from _leaves(value, f'{path}.{key}' if path else key)
  else:
    yield path, data


def proxy_and_long_scores(records: Sequence[Record]) -> dict[str, tuple[float, float]]:
  """Returns the measured mean scores in the proxy task and after the longer training, by name, if both were passed."""
  proxy = {r.name: r.mean_score for stage in (REFERENCE, EVOLUTION) for r in records_lib.measured(records, stage)}
  long = {r.name: r.mean_score for r in records_lib.accepted(records, RERANKING)}
  return {name: (proxy[name], score) for name, score in long.items() if name in proxy}


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
  """Returns Spearman's ρ, the correlation of the ranks, where equal values share the mean of theirs.

  It is None for fewer than three pairs, or if all values of one side are equal.
  """
  if len(pairs) < 3:
    return None
  a, b = (_ranks(values) for values in zip(*pairs))
  deviation = np.std(a) * np.std(b)
  return float(np.mean((a - a.mean()) * (b - b.mean())) / deviation) if deviation else None


def _ranks(values: Sequence[float]) -> np.ndarray:
  """Ranks from 0 on; equal values share the mean of theirs."""
  array = np.asarray(values)
  return np.array([(array < v).sum() + ((array == v).sum() - 1) / 2 for v in array])


def node_shares(graphs: Sequence[LayerGraph]) -> dict[str, float]:
  """Returns the shares of primitives, and of the moments' index sets, among the nodes that the outputs depend on.

  Each graph has the same weight, however many nodes it has.
  """
  shares: dict[str, float] = collections.defaultdict(float)
  for graph in graphs:
    nodes = graph.without_dead_nodes().nodes
    for node in nodes:
      for name in filter(None, (node.primitive, node.axes)):
        shares[name] += 1 / len(nodes) / len(graphs)
  return dict(shares)


def chance_graphs(config: Mapping[str, Any], count: int = CHANCE_GRAPHS) -> list[LayerGraph]:
  """Returns random graphs of a search's space that pass the static filter, as its first candidates do.

  Args:
    config: the configuration of the search; the space is the paper's unless it names another.
    count: the number of graphs.

  Raises:
    ArgumentError: if the configuration's `space` is not valid.
  """
  space = _space(config)
  rng, graphs = np.random.default_rng(0), []
  while len(graphs) < count:
    graph = random_graph(space, rng)
    if static_rejection(graph) is None:
      graphs.append(graph)
  return graphs


def _space(config: Mapping[str, Any]) -> SearchSpace:
  given = config.get('space', {})
  try:
    return SearchSpace(int(given.get('nodes', SearchSpace.nodes)), tuple(given.get('index_sets', INDEX_SETS)))
  except (AttributeError, TypeError) as e:
    raise ArgumentError(f'`space` must be that of a search, received {given!r}.') from e


@dataclasses.dataclass(frozen=True)
class Ancestor:
  """A step in the ancestry of a candidate.

  Attributes:
    record: of the candidate at this step.
    mutation: the change since the step before, in words; '' at the first step.
    effect: the change of the mean score; None at the first step.
    children: the records of all candidates whose parent this is.
  """
  record: Record
  mutation: str
  effect: float | None
  children: list[Record]


def ancestry(records: Sequence[Record], record: Record) -> list[Ancestor]:
  """Returns the line from a random graph to a candidate: its ancestors, the oldest first, and itself.

  Args:
    records: of all stages.
    record: the candidate's, of the evolution.
  """
  by_index = {r.index: r for r in records_lib.of_stage(records, EVOLUTION)}
  line = [record]
  while line[0].parent in by_index and by_index[line[0].parent] not in line:
    line.insert(0, by_index[line[0].parent])
  steps = []
  for parent, child in zip([None, *line], line):
    children = [r for r in by_index.values() if r.parent == child.index]
    effect = None if parent is None else child.mean_score - parent.mean_score
    steps.append(Ancestor(child, '' if parent is None else describe_mutation(parent, child), effect, children))
  return steps


def describe_mutation(parent: Record, child: Record) -> str:
  """Returns the difference between two candidates' graphs of one size, e.g. 'node 7: add(4, x) → tanh(4)'."""
  before, after = parent.graph.nodes, child.graph.nodes
  if len(before) != len(after):
    return f'{len(before)} → {len(after)} nodes'
  changes = [f'node {index}: {_call(a)} → {_call(b)}'
             for index, (a, b) in enumerate(zip(before, after), len(INITIAL_NODES)) if a != b]
  return '; '.join(changes) or 'nothing'


def _call(node: Node) -> str:
  names = [INITIAL_NODES[i] if i < len(INITIAL_NODES) else str(i) for i in node.inputs]
  return f'{node.primitive}{f"[{node.axes}]" if node.axes else ""}({", ".join(names)})'


def survivors(records: Sequence[Record]) -> list[LayerGraph]:
  """Returns the graphs of the evaluated candidates that passed every test."""
  return [r.graph for r in records_lib.accepted(records_lib.evaluated(records))]


def counts_by_reason(records: Sequence[Record]) -> dict[str, int]:
  """Returns the number of draws by their end: the static filter's reasons, copies, outcomes, 'accepted' last."""
  copies = len(records_lib.copies(records))
  outcomes = records_lib.counts_by_outcome(records)
  accepted = outcomes.pop(ACCEPTED)
  filtered = {f'filter: {reason}': n for reason, n in records_lib.counts_by_filter(records).items()}
  return {**filtered, **({COPIED: copies} if copies else {}), **outcomes, ACCEPTED: accepted}
