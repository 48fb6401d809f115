"""The neighbours of known layers in the search space: mutants that pass the static filter and are different layers."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import statistics

import numpy as np
from rich.table import Table

from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.equivalents import Equivalents
from search.graphs.mutation import mutate
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal.outcomes import ACCEPTED

FIELDS = 'origin', 'mutations', 'number', 'outcome', 'score', 'detail', 'equation'
Row = Mapping[str, str]
_MOST_DRAWS = 10_000  # for a mutant that is a layer of its own


def mutants(graph: LayerGraph, mutations: int, count: int, space: SearchSpace, seed: int) -> list[LayerGraph]:
  """Returns mutants of a layer graph that the search would evaluate, all different from it and from each other.

  Args:
    graph: the layer graph, with as many nodes as the space has.
    mutations: the number of mutations, one after the other, each of which may be neutral.
    count: the number of mutants; fewer if so many draws give no other.
    space: the search space.
    seed: the seed of the mutations.
  """
  rng, met, found = np.random.default_rng(seed), Equivalents(), []
  met.add(graph, 0)
  for _ in range(_MOST_DRAWS):
    mutant = graph
    for _ in range(mutations):
      mutant = mutate(mutant, space, rng)
    if static_rejection(mutant) is None and met.find(mutant) is None:
      found.append(mutant)
      met.add(mutant, len(found))
      if len(found) == count:
        break
  return found


def table(rows: Iterable[Row], accepted: Sequence[float]) -> Table:
  """Returns a table: how many neighbours of each kind are accepted, their scores, and where these would stand.

  Args:
    rows: the evaluations, by the names in `FIELDS`.
    accepted: the mean scores of the candidates that a search has accepted, to compare with; may be empty.
  """
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    groups.setdefault((row['origin'], row['mutations']), []).append(row)
  shown = Table(title=f'Known layers and their mutants; "above" counts the {len(accepted)} candidates of a search that '
                      'the best of a row would lead')
  for column in ('origin', 'mutations', 'evaluated', 'accepted', 'mean score', 'best score', 'above'):
    shown.add_column(column, justify='right' if column != 'origin' else 'left')
  for (origin, mutations), some in groups.items():
    scores = [float(row['score']) for row in some if row['outcome'] == ACCEPTED]
    cells = ['–'] * 3
    if scores:
      above = sum(max(scores) > other for other in accepted)
      cells = [f'{statistics.fmean(scores):.3f}', f'{max(scores):.3f}', str(above) if accepted else '–']
    shown.add_row(origin, mutations, str(len(some)), str(len(scores)), *cells)
  return shown
