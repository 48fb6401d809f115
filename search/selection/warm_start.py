"""The start of a search: random graphs (as in the paper) or a warm start, from known layers or an earlier search.

The layers of a warm start are candidates like any other, with the first indices. Random dead nodes are put before the
nodes of such a graph up to the search space's number of nodes, so that mutations have as much room as in a random
graph. Layers that do not fit into the search space are left out: a search for the S series begins without the layers of
the B series.

An earlier search contributes its best candidates, at most as many as the population holds: one of each function, and
only those that it trained to the end. The best one is proposed last, so that it stays in the population longest. If
both searches have the same evaluation, the outcomes are copied. Otherwise, for instance if the training is longer or
the data differ, the candidates are evaluated again.
"""

from collections.abc import Sequence
import dataclasses
import json
import re
from typing import Any
import zlib

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import ModelDirError
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import filled
from search.graphs.random_graph import SearchSpace
from search.journal import outcomes
from search.journal import records as records_lib
from search.journal.identity import completed
from search.journal.identity import identity_of
from search.journal.record import Record
from search.journal.saved_search import load_search

RANDOM, KNOWN = 'random', 'known'  # values of `initial`; any other is the `model_dir` of an earlier search


@dataclasses.dataclass(frozen=True)
class InitialCandidate:
  """A candidate of a warm start.

  Attributes:
    graph: the layer graph. `initial_candidates` returns graphs with as many nodes as the search space has.
    origin: a known layer's name, or 'candidate 17 of another search'.
    record: the record of an earlier search whose outcome is copied; None (default) if the candidate has to be
      evaluated.
  """
  graph: LayerGraph
  origin: str
  record: Record | None = None


def initial_candidates(initial: str, space: SearchSpace, evaluation: object, window: int, seed: int
                       ) -> list[InitialCandidate]:
  """Returns the candidates of a warm start, in the order of their indices.

  Args:
    initial: the source: 'random' for none, 'known' for the known layers, or the `model_dir` of an earlier search for
      its best candidates.
    space: the search space. Layers with more nodes or other index sets are left out.
    evaluation: this search's evaluation, a dataclass; outcomes are copied if the earlier search has an equal one.
    window: the largest number of candidates that are taken from an earlier search.
    seed: the seed of the random dead nodes.

  Returns:
    The candidates, at least one; none if `initial` is 'random'.

  Raises:
    ModelDirError: if `initial` names a folder without a search, or one with a damaged journal.
    ArgumentError: if none of the layers fits into the search space.
  """
  if initial == RANDOM:
    return []
  found = _known() if initial == KNOWN else _earlier(initial, evaluation, window)
  rng = np.random.default_rng([seed, zlib.crc32(b'dead nodes')])
  fitting = [dataclasses.replace(c, graph=filled(c.graph, space, rng)) for c in found if _fits(c.graph, space)]
  if not fitting:
    raise ArgumentError(f'`initial` must be {RANDOM!r}, {KNOWN!r} or the `model_dir` of an earlier search with '
                        f'accepted candidates that fit into the search space, received {initial!r}, of which none of '
                        f'{len(found)} fits {space}.')
  return fitting


def begin(model_dir: str, initial: str, space: SearchSpace, evaluation: object, window: int, seed: int
          ) -> tuple[list[InitialCandidate], dict[str, Any]]:
  """Returns the candidates with which a search begins, or once began, and their part of the search's identity.

  A search that has all of them on record takes them from its own journal: the earlier search that it took them from may
  have gone on since, or be gone.

  Args:
    model_dir: the search's folder, which may not exist yet.
    initial, space, evaluation, window, seed: as for `initial_candidates`.

  Raises:
    ModelDirError, ArgumentError: as `initial_candidates`.
  """
  begun = _on_record(model_dir, _kind(initial)) if initial != RANDOM else None
  if begun:
    return begun
  candidates = initial_candidates(initial, space, evaluation, window, seed)
  return candidates, identity_of_warm_start(initial, candidates)


def _on_record(model_dir: str, kind: str) -> tuple[list[InitialCandidate], dict[str, Any]] | None:
  """Returns what a search has begun with and its identity, by its journal; None if that does not have all of it."""
  try:
    saved = load_search(model_dir, everything=False)
  except ModelDirError:
    return None  # a new search, or one whose journal will be refused
  identity = saved.config.get('initial')
  if not isinstance(identity, dict) or identity.get('kind') != kind:
    return None
  number = re.match(r'(\d+) candidates', str(identity.get('content')))
  if not number:
    return None
  first = {r.index: InitialCandidate(r.graph, r.origin)
           for r in records_lib.of_stage(saved.records, outcomes.EVOLUTION)
           if r.index is not None and r.index < int(number[1]) and r.graph and r.origin}
  if len(first) < int(number[1]):
    return None
  return [first[index] for index in range(len(first))], identity


def identity_of_warm_start(initial: str, candidates: Sequence[InitialCandidate]) -> dict[str, Any]:
  """Returns a description of a warm start, as a part of the search's identity: the arguments its results depend on.

  A search may be resumed only if its identity is unchanged. The description depends on the candidates, and not on the
  folder from which they were read, which may be moved.

  Args:
    initial: 'random', 'known', or the `model_dir` of an earlier search.
    candidates: the result of `initial_candidates`.

  Returns:
    JSON data with two strings: 'kind' is 'random', 'known' or 'earlier search', and 'content' has the number of
    candidates and a checksum of their graphs, origins and copied outcomes.
  """
  content = json.dumps([(c.graph.to_dict(), c.origin, c.record and c.record.outcome) for c in candidates])
  checksum = zlib.crc32(content.encode())
  return {'kind': _kind(initial), 'content': f'{len(candidates)} candidates, checksum {checksum:08x}'}


def _kind(initial: str) -> str:
  """Returns the kind of a start, as an identity has it."""
  return initial if initial in (RANDOM, KNOWN) else 'earlier search'


def _known() -> list[InitialCandidate]:
  """Returns the known layers as candidates, in the order of `KNOWN_GRAPHS`."""
  return [InitialCandidate(make(), name) for name, make in KNOWN_GRAPHS.items()]


def _earlier(model_dir: str, evaluation: object, window: int) -> list[InitialCandidate]:
  """Returns the best candidates of an earlier search, at most `window`, the best last."""
  saved = load_search(model_dir)
  here = completed(json.loads(json.dumps(identity_of(evaluation=evaluation))))  # as that of `saved` is
  evaluates_alike = saved.config.get('evaluation') == here['evaluation']
  return [InitialCandidate(record.graph.without_dead_nodes(), f'{record.name} {outcomes.ELSEWHERE}',
                           record if evaluates_alike else None)
          for record in reversed(records_lib.finalists(saved.records, window)) if record.graph]


def _fits(graph: LayerGraph, space: SearchSpace) -> bool:
  """Returns whether the graph has no more nodes, no other index sets and no other primitives than the search space."""
  return (len(graph.nodes) <= space.nodes and {n.axes for n in graph.nodes if n.axes} <= set(space.index_sets)
          and {n.primitive for n in graph.nodes} <= {p.name for p in space.primitives_drawn})
