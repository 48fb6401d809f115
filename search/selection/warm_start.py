"""The start of a search: random graphs (paper section 6), known layers, or the best of an earlier search.

Known layers and earlier candidates are candidates like any other, with the first indices. Dead nodes are put in front
of them up to the space's number of nodes, so that mutations have as much room as in a random graph. Layers that do not
fit into the search space are left out: the S series begins without the layers of the B series.

An earlier search contributes the best candidate of each function that it has trained to the end, as many as fit into
the window; the best enters last and so lives longest. If the earlier search evaluated candidates as this one does,
their outcomes are taken over; otherwise, as after a longer training or on other data, they are evaluated anew.
"""

from collections.abc import Sequence
import dataclasses
import json
import pathlib
from typing import Any
import zlib

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_node
from search.graphs.random_graph import SearchSpace
from search.journal import journal
from search.journal import outcomes
from search.journal import records as records_lib
from search.journal.identity import identity_of
from search.journal.record import Record
from search.journal.saved_search import JOURNAL

RANDOM, KNOWN = 'random', 'known'


@dataclasses.dataclass(frozen=True)
class InitialCandidate:
  """A candidate that a search begins with.

  Attributes:
    graph: the layer graph, with as many nodes as the graphs of the space.
    origin: a known layer's name, or 'candidate 17 of another search'.
    record: the earlier search's record, if its outcome is taken over.
  """
  graph: LayerGraph
  origin: str
  record: Record | None = None


def initial_candidates(initial: str, space: SearchSpace, evaluation: object, window: int, seed: int
                       ) -> list[InitialCandidate]:
  """Returns the candidates that a search begins with, in the order of their indices.

  Args:
    initial: 'random', 'known', or the `model_dir` of an earlier search.
    space: the search space.
    evaluation: this search's evaluation, a dataclass that is compared with the earlier search's.
    window: the largest number of candidates that are taken from an earlier search.
    seed: of the dead nodes.

  Raises:
    ModelDirError: if there is no earlier search, or its journal is damaged.
    ArgumentError: if nothing fits into the search space.
  """
  if initial == RANDOM:
    return []
  found = _known() if initial == KNOWN else _earlier(initial, evaluation, window)
  rng = np.random.default_rng([seed, zlib.crc32(b'dead nodes')])
  fitting = [dataclasses.replace(c, graph=_filled(c.graph, space, rng)) for c in found if _fits(c.graph, space)]
  if not fitting:
    raise ArgumentError(f'`initial` must be {RANDOM!r}, {KNOWN!r} or the `model_dir` of an earlier search with '
                        f'accepted candidates that fit into the search space, received {initial!r}, of which none of '
                        f'{len(found)} fits {space}.')
  return fitting


def identity_of_warm_start(initial: str, candidates: Sequence[InitialCandidate]) -> dict[str, Any]:
  """Returns what a search's results depend on, as JSON data: the candidates, not the folder they were read from."""
  content = json.dumps([(c.graph.to_dict(), c.origin, c.record and c.record.outcome) for c in candidates])
  kind = initial if initial in (RANDOM, KNOWN) else 'earlier search'
  return {'kind': kind, 'content': f'{len(candidates)} candidates, checksum {zlib.crc32(content.encode()):08x}'}


def _known() -> list[InitialCandidate]:
  return [InitialCandidate(make(), name) for name, make in KNOWN_GRAPHS.items()]


def _earlier(model_dir: str, evaluation: object, window: int) -> list[InitialCandidate]:
  config, records = journal.read(pathlib.Path(model_dir) / JOURNAL)
  evaluates_alike = config.get('evaluation') == json.loads(json.dumps(identity_of(evaluation=evaluation)['evaluation']))
  return [InitialCandidate(record.graph.without_dead_nodes(), f'{record.name} {outcomes.ELSEWHERE}',
                           record if evaluates_alike else None)
          for record in reversed(records_lib.finalists(records, window)) if record.graph]


def _fits(graph: LayerGraph, space: SearchSpace) -> bool:
  return len(graph.nodes) <= space.nodes and {n.axes for n in graph.nodes if n.axes} <= set(space.index_sets)


def _filled(graph: LayerGraph, space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """The graph with as many random dead nodes in front as it lacks."""
  first, missing = len(INITIAL_NODES), space.nodes - len(graph.nodes)
  dead = tuple(random_node(first + i, space, rng) for i in range(missing))
  moved = (dataclasses.replace(n, inputs=tuple(i + missing * (i >= first) for i in n.inputs)) for n in graph.nodes)
  return LayerGraph((*dead, *moved))
