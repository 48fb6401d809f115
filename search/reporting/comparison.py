"""What can be learnt from finished searches, as numbers: curves, causes of rejection, ranks, primitives, ancestry.

Everywhere the records are those of one search, of all stages, as `search.journal.records` describes them.
"""

import collections
from collections.abc import Sequence
import dataclasses
import statistics

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import INDEX_SETS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal import records as records_lib
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.selection.proposal import SEEN_BEFORE

CHANCE_GRAPHS = 500
COPIED = "copy of an equivalent candidate's outcome"


def core_seconds(records: Sequence[dict]) -> np.ndarray:
  """The time that the evaluations of the evolution took, summed up to each of them; of one core a worker.

  One whose result is another search's took none.
  """
  return np.cumsum([records_lib.seconds(r) for r in records_lib.evaluated(records)])


def saved_evaluations(records: Sequence[dict]) -> int:
  """How many evaluations were saved by knowing which graphs are one function: equivalents redrawn, and copies."""
  return records_lib.counts_by_filter(records).get(SEEN_BEFORE, 0) + len(records_lib.copies(records))


def saved_core_seconds(records: Sequence[dict]) -> float | None:
  """What these would have taken if each took as long as the median evaluation; None where none was timed."""
  timed = [records_lib.seconds(r) for r in records_lib.evaluated(records) if r['seconds']]
  return saved_evaluations(records) * statistics.median(timed) if timed else None


def strategy_name(config: dict) -> str:
  """'Pareto', 'average' or 'random' for the paper's three, else the name of the class or function that selects."""
  strategy = config.get('strategy')
  if not isinstance(strategy, dict):
    return 'unknown'
  name = str(strategy.get('winner') or strategy.get('class') or 'unknown')
  return {'pareto_winner': 'Pareto', 'average_winner': 'average', 'RandomSearch': 'random'}.get(name, name)


def rejection_name(config: dict) -> str:
  """Which of the two tests a search has: 'quality and stability', 'quality', 'stability' or 'none'."""
  evaluation = config.get('evaluation')
  tests = evaluation if isinstance(evaluation, dict) else {}
  return ' and '.join(name for name in ('quality', 'stability') if tests.get(name)) or 'none'


def differing_settings(configs: Sequence[dict]) -> dict[str, list]:
  """The settings in which searches differ: by name, the value in each search; None where there is none."""
  flat = [dict(_leaves(config)) for config in configs]
  names = dict.fromkeys(name for settings in flat for name in settings)
  rows = {name: [settings.get(name) for settings in flat] for name in names}
  return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def _leaves(data, path: str = ''):
  """Yields path and value of every leaf of JSON data; a list is a leaf."""
  if isinstance(data, dict) and data:
    for key, value in data.items():
      yield from _leaves(value, f'{path}.{key}' if path else key)
  else:
    yield path, data


def proxy_and_long_scores(records: Sequence[dict]) -> dict[str, tuple[float, float]]:
  """By name, the measured mean scores in the proxy task and after the longer training, of what passed both."""
  proxy = {records_lib.name(r): records_lib.mean_score(r)
           for stage in (REFERENCE, EVOLUTION) for r in records_lib.measured(records, stage)}
  long = {records_lib.name(r): records_lib.mean_score(r) for r in records_lib.accepted(records, RERANKING)}
  return {name: (proxy[name], score) for name, score in long.items() if name in proxy}


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
  """Spearman's ρ: the correlation of the ranks, equal values sharing theirs; None where it says nothing.

  That is of fewer than three pairs, or where all values of one side are equal.
  """
  if len(pairs) < 3:
    return None
  a, b = (_ranks(values) for values in zip(*pairs))
  deviation = np.std(a) * np.std(b)
  return float(np.mean((a - a.mean()) * (b - b.mean())) / deviation) if deviation else None


def _ranks(values: Sequence[float]) -> np.ndarray:
  """Ranks from 0 on; equal values get the mean of theirs."""
  array = np.asarray(values)
  return np.array([(array < v).sum() + ((array == v).sum() - 1) / 2 for v in array])


def node_shares(graphs: Sequence[LayerGraph]) -> dict[str, float]:
  """The shares of primitives, and of the moments' index sets, among all nodes that the graphs' outputs depend on.

  Each graph counts the same, however many nodes it has.
  """
  shares = collections.Counter()
  for graph in graphs:
    nodes = graph.without_dead_nodes().nodes
    for node in nodes:
      for name in filter(None, (node.primitive, node.axes)):
        shares[name] += 1 / len(nodes) / len(graphs)
  return dict(shares)


def chance_graphs(config: dict, count: int = CHANCE_GRAPHS) -> list[LayerGraph]:
  """Random graphs of a search's space that pass the static filter: what its first candidates are like.

  Args:
    config: of the search; a space that it does not tell is the paper's.
    count: how many.
  """
  space = _space(config)
  rng, graphs = np.random.default_rng(0), []
  while len(graphs) < count:
    graph = random_graph(space, rng)
    if static_rejection(graph) is None:
      graphs.append(graph)
  return graphs


def _space(config: dict) -> SearchSpace:
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
    mutation: what changed from the step before, in words; '' at the first step.
    effect: the change of the mean score; None at the first step.
    children: the records of all candidates whose parent this is.
  """
  record: dict
  mutation: str
  effect: float | None
  children: list[dict]


def ancestry(records: Sequence[dict], record: dict) -> list[Ancestor]:
  """The way from a random graph to a candidate: its ancestors, the oldest first, and itself.

  Args:
    records: of all stages.
    record: the candidate's, of the evolution.
  """
  by_index = {r['index']: r for r in records_lib.of_stage(records, EVOLUTION)}
  line = [record]
  while line[0]['parent'] in by_index and by_index[line[0]['parent']] not in line:
    line.insert(0, by_index[line[0]['parent']])
  steps = []
  for parent, child in zip([None, *line], line):
    children = [r for r in by_index.values() if r['parent'] == child['index']]
    effect = None if parent is None else records_lib.mean_score(child) - records_lib.mean_score(parent)
    steps.append(Ancestor(child, '' if parent is None else describe_mutation(parent, child), effect, children))
  return steps


def describe_mutation(parent: dict, child: dict) -> str:
  """What differs between two graphs of one size, e.g. 'node 7: add(4, x) → tanh(4)'."""
  graphs = [LayerGraph.from_dict(r['graph']) for r in (parent, child)]
  if len(graphs[0].nodes) != len(graphs[1].nodes):
    return f'{len(graphs[0].nodes)} → {len(graphs[1].nodes)} nodes'
  changes = [f'node {index}: {_call(a)} → {_call(b)}'
             for index, (a, b) in enumerate(zip(graphs[0].nodes, graphs[1].nodes), len(INITIAL_NODES)) if a != b]
  return '; '.join(changes) or 'nothing'


def _call(node) -> str:
  names = [INITIAL_NODES[i] if i < len(INITIAL_NODES) else str(i) for i in node.inputs]
  return f'{node.primitive}{f"[{node.axes}]" if node.axes else ""}({", ".join(names)})'


def survivors(records: Sequence[dict]) -> list[LayerGraph]:
  """The graphs of the evaluated candidates that passed every test."""
  return [records_lib.layer_graph(r) for r in records_lib.accepted(records_lib.evaluated(records))]


def counts_by_reason(records: Sequence[dict]) -> dict[str, int]:
  """How many draws ended how: by the static filter's reasons, as copies, by an evaluation's outcome, accepted last."""
  copies = len(records_lib.copies(records))
  outcomes = records_lib.counts_by_outcome(records)
  accepted = outcomes.pop(ACCEPTED)
  filtered = {f'filter: {reason}': n for reason, n in records_lib.counts_by_filter(records).items()}
  return {**filtered, **({COPIED: copies} if copies else {}), **outcomes, ACCEPTED: accepted}
