"""What a search begins with: random graphs (paper section 6), known layers, or the best of an earlier search.

Known layers and earlier candidates are candidates like others, with the first indices. They get dead nodes in front up
to the space's number of nodes, so that mutations have the room that they have in a random graph. What does not fit into
the search space is left out: the S series begins without the B series' layers.

An earlier search gives the best of each function that it has trained to the end, as many as the window takes; the best
enters last and so lives longest. Where it has evaluated as this search does, their outcomes count as they are; else, as
with a longer training or other data, they are evaluated anew.
"""

from collections.abc import Sequence
import dataclasses
import json
import pathlib
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
from search.journal.record_checks import check_records
from search.journal.saved_search import JOURNAL

RANDOM, KNOWN = 'random', 'known'


@dataclasses.dataclass(frozen=True)
class InitialCandidate:
  """A graph that a search begins with.

  Attributes:
    graph: the layer graph, of as many nodes as the space's graphs.
    origin: a known layer's name, or 'candidate 17 of another search'.
    record: the earlier search's record, if its outcome is taken over.
  """
  graph: LayerGraph
  origin: str
  record: dict | None = None


def initial_candidates(initial: str, space: SearchSpace, evaluation, window: int, seed: int) -> list[InitialCandidate]:
  """Returns what a search begins with, in the order of the indices.

  Args:
    initial: 'random', 'known', or the `model_dir` of an earlier search.
    space: the search space.
    evaluation: how this search evaluates.
    window: how many candidates of an earlier search are taken, at most.
    seed: of the dead nodes.

  Raises:
    ModelDirError: if there is no earlier search, or its journal is damaged.
    ValueError: if nothing fits into the search space.
  """
  if initial == RANDOM:
    return []
  found = _known() if initial == KNOWN else _earlier(initial, evaluation, window)
  rng = np.random.default_rng([seed, zlib.crc32(b'dead nodes')])
  fitting = [dataclasses.replace(c, graph=_filled(c.graph, space, rng)) for c in found if _fits(c.graph, space)]
  if not fitting:
    raise ArgumentError(f'`initial` must be {RANDOM!r}, {KNOWN!r} or the `model_dir` of an earlier search with accepted '
                        f'candidates that fit into the search space, received {initial!r}, of which none of {len(found)} '
                        f'fits {space}.')
  return fitting


def identity_of_warm_start(initial: str, candidates: Sequence[InitialCandidate]) -> dict:
  """What a search's results depend on, as JSON data: not where the earlier search's folder is, but what it gave."""
  content = json.dumps([(c.graph.to_dict(), c.origin, c.record and c.record['outcome']) for c in candidates])
  kind = initial if initial in (RANDOM, KNOWN) else 'earlier search'
  return {'kind': kind, 'content': f'{len(candidates)} candidates, checksum {zlib.crc32(content.encode()):08x}'}


def _known() -> list[InitialCandidate]:
  return [InitialCandidate(make(), name) for name, make in KNOWN_GRAPHS.items()]


def _earlier(model_dir: str, evaluation, window: int) -> list[InitialCandidate]:
  path = pathlib.Path(model_dir) / JOURNAL
  config, records = journal.read(path)
  check_records(path, records)
  evaluates_alike = config.get('evaluation') == json.loads(json.dumps(identity_of(evaluation=evaluation)['evaluation']))
  return [InitialCandidate(records_lib.layer_graph(record).without_dead_nodes(),
                           f'{records_lib.name(record)} {outcomes.ELSEWHERE}', record if evaluates_alike else None)
          for record in reversed(records_lib.finalists(records, window))]


def _fits(graph: LayerGraph, space: SearchSpace) -> bool:
  return len(graph.nodes) <= space.nodes and {n.axes for n in graph.nodes if n.axes} <= set(space.index_sets)


def _filled(graph: LayerGraph, space: SearchSpace, rng: np.random.Generator) -> LayerGraph:
  """The graph behind as many random dead nodes as it lacks."""
  first, missing = len(INITIAL_NODES), space.nodes - len(graph.nodes)
  dead = tuple(random_node(first + i, space, rng) for i in range(missing))
  moved = (dataclasses.replace(n, inputs=tuple(i + missing * (i >= first) for i in n.inputs)) for n in graph.nodes)
  return LayerGraph((*dead, *moved))
