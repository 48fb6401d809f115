"""Statistics for the comparison of searches: cost, causes of rejection, rank correlation, primitives, ancestry.

The argument `records` always holds the records of one search, of all stages, in the order of its journal. The argument
`config` is a search's configuration as JSON data, from the first line of its journal.
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
from search.reporting.layer_views import equation_of
from search.selection.proposal import SEEN_BEFORE

_CHANGED_AT_ONCE = 2  # nodes, by the paper's mutations of a winner
CHANCE_GRAPHS = 500  # random graphs that survivors are compared with
COPIED = "copy of an equivalent candidate's outcome"


def core_seconds(records: Sequence[Record]) -> np.ndarray:
  """Returns the cumulative time of the evolution's evaluations, in core-seconds if each worker has one core.

  A candidate whose outcome was taken from an earlier search adds no time.

  Args:
    records: the search's records of all stages.

  Returns:
    Seconds, float `[candidates evaluated]`: the total after each evaluated candidate.
  """
  return np.cumsum([r.total_seconds for r in records_lib.evaluated(records)])


def saved_evaluations(records: Sequence[Record]) -> int:
  """Returns the number of evaluations that a search saved by recognizing graphs that compute the same function.

  These are the graphs that were discarded because they equal an earlier candidate, and the candidates that copied an
  earlier outcome.

  Args:
    records: the search's records of all stages.
  """
  return records_lib.counts_by_filter(records).get(SEEN_BEFORE, 0) + len(records_lib.copies(records))


def saved_core_seconds(records: Sequence[Record]) -> float | None:
  """Returns an estimate of the time that a search saved by recognizing graphs that compute the same function.

  Each of the `saved_evaluations` counts as long as the search's median evaluation.

  Args:
    records: the search's records of all stages.

  Returns:
    The time in core-seconds, with one core for each worker; None if no evaluation was timed.
  """
  timed = [r.total_seconds for r in records_lib.evaluated(records) if r.seconds]
  return saved_evaluations(records) * statistics.median(timed) if timed else None


def strategy_name(config: Mapping[str, Any]) -> str:
  """Returns the name of a search's strategy for a report.

  Args:
    config: the search's configuration, JSON data.

  Returns:
    'Pareto', 'average' or 'random' for the paper's three strategies; for others, the name of the function that chooses
    the winner, or of the strategy's class; 'unknown' if the configuration has neither.
  """
  strategy = config.get('strategy')
  if not isinstance(strategy, dict):
    return 'unknown'
  name = str(strategy.get('winner') or strategy.get('class') or 'unknown')
  return {'pareto_winner': 'Pareto', 'average_winner': 'average', 'RandomSearch': 'random'}.get(name, name)


def rejection_name(config: Mapping[str, Any]) -> str:
  """Returns the rejection tests of a search, such as 'quality and stability', 'quality and own tests', or 'none'.

  Args:
    config: the search's configuration, JSON data.
  """
  evaluation = config.get('evaluation')
  tests = evaluation if isinstance(evaluation, dict) else {}
  names = {'quality': 'quality', 'tests': 'own tests', 'stability': 'stability'}
  return ' and '.join(name for key, name in names.items() if tests.get(key)) or 'none'


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list]:
  """Returns the settings in which searches differ.

  Args:
    configs: the configuration of each search, JSON data.

  Returns:
    By the setting's dotted name, such as 'evaluation.task.steps', its value in each search in the order of `configs`;
    None where a search lacks the setting.
  """
  flat = [dict(_leaves(config)) for config in configs]
  names = dict.fromkeys(name for settings in flat for name in settings)
  rows = {name: [settings.get(name) for settings in flat] for name in names}
  return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def _leaves(data: Any, path: str = '') -> Iterator[tuple[str, Any]]:
  """Yields the dotted path and the value of every leaf of JSON data; lists and empty objects are leaves."""
  if isinstance(data, dict) and data:
    for key, value in data.items():
      yield from _leaves(value, f'{path}.{key}' if path else key)
  else:
    yield path, data


def proxy_and_long_scores(records: Sequence[Record]) -> dict[str, tuple[float, float]]:
  """Returns the layers' mean scores on the proxy task, and after the longer training of the re-ranking.

  A layer counts if it was accepted in both, and trained to the end on the proxy task; a score that a copy took over or
  that successive halving projected does not count.

  Args:
    records: the search's records of all stages.

  Returns:
    By the layer's name, such as 'candidate 17' or 'bn_relu', the pair (proxy score, longer-training score). Both are
    mean validation accuracies over the architectures, in [0, 1].
  """
  proxy = {r.name: r.mean_score for stage in (REFERENCE, EVOLUTION) for r in records_lib.measured(records, stage)}
  reranked = records_lib.over_seeds(records_lib.of_stage(records, RERANKING))
  long = {r.name: r.mean_score for r in reranked if r.is_accepted}
  return {name: (proxy[name], score) for name, score in long.items() if name in proxy}


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
  """Returns Spearman's rank correlation ρ, in [-1, 1]; equal values get the mean of their ranks.

  Args:
    pairs: the two values of each item, such as its scores in two tasks.

  Returns:
    ρ; None for fewer than three pairs, or if all first or all second values are equal.
  """
  if len(pairs) < 3:
    return None
  a, b = (_ranks(values) for values in zip(*pairs))
  deviation = np.std(a) * np.std(b)
  return float(np.mean((a - a.mean()) * (b - b.mean())) / deviation) if deviation else None


def _ranks(values: Sequence[float]) -> np.ndarray:
  """Returns the ranks of the values, from 0 for the lowest; equal values get the mean of their ranks."""
  array = np.asarray(values)
  return np.array([(array < v).sum() + ((array == v).sum() - 1) / 2 for v in array])


def node_shares(graphs: Sequence[LayerGraph]) -> dict[str, float]:
  """Returns the share of each primitive and of each index set of moments among the nodes of graphs.

  Only nodes that the output depends on count. All graphs have the same weight, however many nodes they have.

  Args:
    graphs: the layer graphs.

  Returns:
    Shares in [0, 1] by the name of the primitive or index set; names that do not occur are left out. The shares of the
    primitives add up to 1. The shares of index sets are of all nodes, too, not only of moments.
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

  They show how often primitives occur by chance. The same arguments always give the same graphs.

  Args:
    config: the search's configuration, JSON data; without the key 'space', the space is the paper's.
    count: the number of graphs (default 500).

  Raises:
    ArgumentError: if the configuration's 'space' is not valid.
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
    return SearchSpace(int(given.get('nodes', SearchSpace.nodes)), tuple(given.get('index_sets', INDEX_SETS)),
                       given.get('uniform_over', SearchSpace.uniform_over),
                       tuple(given['primitives']) if given.get('primitives') else None)
  except (AttributeError, TypeError) as e:
    raise ArgumentError(f'`space` must be that of a search, received {given!r}.') from e


@dataclasses.dataclass(frozen=True)
class Ancestor:
  """One candidate in the line of descent of another.

  Attributes:
    record: the candidate's record.
    mutation: the difference between its graph and its parent's, such as 'node 7: add(4, x) → tanh(4)'; '' for the
      first candidate of the line.
    effect: its mean score minus its parent's; None for the first candidate of the line.
    children: the records of all candidates that were mutated from it, in the order of the journal.
  """
  record: Record
  mutation: str
  effect: float | None
  children: list[Record]


def ancestry(records: Sequence[Record], record: Record) -> list[Ancestor]:
  """Returns the line of descent of a candidate: its ancestors, the oldest first, and the candidate itself at the end.

  Args:
    records: the search's records of all stages.
    record: the record of the candidate, from the evolution.
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
  """Returns the difference between the graphs of two candidates, such as 'node 7: add(4, x) → tanh(4)'.

  Args:
    parent: the record of the first candidate.
    child: the record of the second candidate.

  Returns:
    The nodes that differ, separated by semicolons; 'nothing' if there are none; the numbers of nodes, such as
    '8 → 10 nodes', if they differ; and the second one's equation if more nodes differ than the paper's mutation changes
    at once. Node indices count from 4, after the initial nodes x, 0, v0 and v1.
  """
  before, after = parent.graph.nodes, child.graph.nodes
  if len(before) != len(after):
    return f'{len(before)} → {len(after)} nodes'
  changes = [f'node {index}: {_call(a)} → {_call(b)}'
             for index, (a, b) in enumerate(zip(before, after), len(INITIAL_NODES)) if a != b]
  if len(changes) > _CHANGED_AT_ONCE:
    return equation_of(child.graph).replace('\n', '; ')
  return '; '.join(changes) or 'nothing'


def _call(node: Node) -> str:
  names = [INITIAL_NODES[i] if i < len(INITIAL_NODES) else str(i) for i in node.inputs]
  return f'{node.primitive}{f"[{node.axes}]" if node.axes else ""}({", ".join(names)})'


def survivors(records: Sequence[Record]) -> list[LayerGraph]:
  """Returns the graphs of a search's accepted candidates, without copies, in the order of the journal.

  Args:
    records: the search's records of all stages.
  """
  return [r.graph for r in records_lib.accepted(records_lib.evaluated(records))]


def counts_by_reason(records: Sequence[Record]) -> dict[str, int]:
  """Returns the number of graphs that a search drew, by what became of them.

  Args:
    records: the search's records of all stages.

  Returns:
    The number of graphs by their end, in this order: 'filter: …' for each reason to discard a graph without an
    evaluation, the most frequent reason first; copies of an earlier outcome, if there are any; the outcomes of
    evaluations, 'accepted' last.
  """
  copies = len(records_lib.copies(records))
  outcomes = records_lib.counts_by_outcome(records)
  accepted = outcomes.pop(ACCEPTED)
  filtered = {f'filter: {reason}': n for reason, n in records_lib.counts_by_filter(records).items()}
  return {**filtered, **({COPIED: copies} if copies else {}), **outcomes, ACCEPTED: accepted}
