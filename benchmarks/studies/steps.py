"""How far layers are from each other: the mutants that it takes to go from one to the next, by kind of mutation.

  python -m benchmarks.studies.steps

Each step leads from a layer to one that trains better, on the way to EvoNorm-B0, BN-ReLU or EvoNorm-S0. The graphs
have 10 nodes, of which those that the layer does not need are dead and drawn anew for each mutant. A mutant takes the
step if it is the second layer where training begins, up to γ and β. Mutants count as candidates if they are not the
first layer and pass the static filter; some are twins, so that a search that evaluates no layer twice needs fewer. The
counts of 20,000 mutants each are written to results/discover/steps.csv (two minutes).
"""

from collections.abc import Callable
from collections.abc import Sequence
import csv
import pathlib

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.studies.start_functions import function_at_start
from benchmarks.studies.start_functions import probe
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from search.graphs.live_mutation import mutate_live
from search.graphs.mutation import mutate
from search.graphs.random_graph import filled
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

FIELDS = 'from', 'to', 'mutation', 'mutants', 'candidates', 'steps'
_MUTANTS, _OUTPUT = 20_000, pathlib.Path('results/discover/steps.csv')
_FILTERED = 2000  # mutants to which the static filter is applied, which is slow; the others are like them
_MUTATIONS: dict[str, Callable] = {"the paper's": mutate, 'live': mutate_live}

_X, _ZERO = 0, 1
_S, _S_GROUP = Node('centered_second_moment', (_X,), BATCH), Node('centered_second_moment', (_X,), GROUP)
_X_BY_S = LayerGraph((_S, Node('div', (_X, 4))))
_X_BY_MAX = LayerGraph((_S, Node('max', (4, _X)), Node('div', (_X, 5))))
_TANH = LayerGraph((Node('tanh', (_X,)),))
_TANH_BY_S = LayerGraph((_S, Node('div', (_X, 4)), Node('tanh', (5,))))
_SWISH = LayerGraph((Node('sigmoid', (_X,)), Node('mul', (_X, 4))))
_MINUS_MEAN = (Node('first_moment', (_X,), BATCH), Node('neg', (4,)), Node('add', (_X, 5)))

STEPS: Sequence[tuple[str, LayerGraph, str, LayerGraph]] = (
    ('tanh(x)', _TANH, 'tanh(x / s)', _TANH_BY_S),
    ('tanh(x / s)', _TANH_BY_S, 'x / s', _X_BY_S),
    ('x / s', _X_BY_S, 'x / max(s, x)', _X_BY_MAX),
    ('x / max(s, x)', _X_BY_MAX, 'x / max(s, x + s)',
     LayerGraph((_S, Node('add', (_X, 4)), Node('max', (4, 5)), Node('div', (_X, 6))))),
    ('x / s', _X_BY_S, 'max(x, 0) / s', LayerGraph((_S, Node('div', (_X, 4)), Node('max', (5, _ZERO))))),
    ('x − μ', LayerGraph(_MINUS_MEAN), 'max(x − μ, 0)', LayerGraph((*_MINUS_MEAN, Node('max', (6, _ZERO))))),
    ('x·σ(x)', _SWISH, 'x·σ(x) / s[w,h,c/g]', LayerGraph((*_SWISH.nodes, _S_GROUP, Node('div', (5, 6))))),
)


def counts(start: LayerGraph, end: LayerGraph, mutation: Callable, mutants: int) -> tuple[int, int]:
  """Returns the number of mutants that are candidates, estimated from some of them, and of those that are `end`.

  Args:
    start: the layer that is mutated, without dead nodes.
    end: the layer to reach.
    mutation: the mutation, `search.mutate` for instance.
    mutants: the number of mutants.
  """
  space, rng, x = SearchSpace(), np.random.default_rng(0), probe()
  first, second = (function_at_start(graph, x) for graph in (start, end))
  looked_at, candidates, steps = min(mutants, _FILTERED), 0, 0
  for number in range(mutants):
    mutant = mutation(filled(start, space, rng), space, rng)
    function = function_at_start(mutant, x)
    steps += function == second
    if number < looked_at:
      candidates += function != first and static_rejection(mutant) is None
  return round(candidates / looked_at * mutants), steps


def table(rows: Sequence[dict[str, str]]) -> Table:
  """Returns a table of the candidates that each step takes, by the kind of mutation.

  Args:
    rows: the counts, by the names in `FIELDS`.
  """
  shown = Table(title=Text(f'Candidates that it takes from one layer to the next, of {rows[0]["mutants"]} mutants '
                           '(s without index set: over b,w,h)'))
  for column in ('from', 'to', *_MUTATIONS):
    shown.add_column(column, justify='right' if column in _MUTATIONS else 'left')
  cells = {(row['from'], row['to'], row['mutation']): row for row in rows}
  for start, _, end, _ in STEPS:
    own = [cells[start, end, mutation] for mutation in _MUTATIONS]
    shown.add_row(Text(start), Text(end), *(f'{int(row["candidates"]) / int(row["steps"]):,.0f} ({row["steps"]} times)'
                                if int(row['steps']) else f'more than {int(row["candidates"]):,}' for row in own))
  return shown


def main() -> None:
  """Counts, writes and prints the table."""
  rows = []
  for start, from_graph, end, to_graph in STEPS:
    for name, mutation in _MUTATIONS.items():
      candidates, steps = counts(from_graph, to_graph, mutation, _MUTANTS)
      rows.append(dict(zip(FIELDS, map(str, (start, end, name, _MUTANTS, candidates, steps)), strict=True)))
  _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
  with _OUTPUT.open('w') as file:
    writer = csv.DictWriter(file, FIELDS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
  Console(width=140).print(table(rows))


if __name__ == '__main__':
  main()
