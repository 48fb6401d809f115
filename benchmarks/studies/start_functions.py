"""Which layers of a search are one function where training begins, and how their scores differ.

  python -m benchmarks.studies.start_functions results/discover/setting_0_seed_0.jsonl.gz

At the start v0 is 0 and v1 is 1, so that tanh(x·σ(v1)) and tanh(x / v1) differ by a factor at most. A search takes them
for different layers, since training can tell them apart. But where many of the best are one function at the start, and
their scores scatter by as much as the best are apart, the best is the luckiest, not the best.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import statistics
import sys

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.measuring.search_runs import read_compressed
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.affine_equation import affine_equation_text
from search.journal import records as records_lib
from search.journal.record import Record

_GROUPS, _DIGITS, _SHOWN = 4, 4, 12


def probe() -> np.ndarray:
  """Returns a batch whose channels have different means and deviations, [8, 6, 6, 16]."""
  normal = np.random.default_rng(0).normal(size=(8, 6, 6, 16))
  return normal * np.linspace(.5, 2., 16) + np.linspace(-1., 1., 16)


def function_at_start(graph: LayerGraph, x: np.ndarray) -> bytes:
  """Returns what is equal for graphs whose outputs at v0 = 0, v1 = 1 are a·y + b of each other in every channel.

  Args:
    graph: the layer graph.
    x: the batch on which they are compared.
  """
  channels = x.shape[-1]
  with np.errstate(all='ignore'):
    y = graph.evaluate(x, np.zeros(channels), np.ones(channels), _GROUPS)
    y = np.broadcast_to(y, x.shape).reshape(-1, channels)
    y = y - y.mean(0)
    y = y / np.maximum(y.std(0), 1e-30)
  y = np.round(y * np.where(y[np.abs(y).argmax(0), range(channels)] < 0, -1., 1.), _DIGITS) + 0.  # no −0
  return y.tobytes()


def by_function(records: Sequence[Record]) -> dict[bytes, list[Record]]:
  """Returns the accepted candidates by their function at the start, those of the best one first.

  Args:
    records: the search's records.
  """
  x, found = probe(), collections.defaultdict(list)
  for record in sorted(records_lib.measured(records), key=lambda r: -r.mean_score):
    found[function_at_start(record.layer_graph, x)].append(record)
  return dict(found)


def table(found: Mapping[bytes, Sequence[Record]]) -> Table:
  """Returns a table of functions: number of layers, their best and mean score with its deviation, and the best one.

  Args:
    found: the candidates by their function, as `by_function` returns them.
  """
  total = sum(map(len, found.values()))
  shown = Table(title=f'{total} accepted layers are {len(found)} functions where training begins')
  for column in ('layers', 'best, %', 'mean, %', 'deviation', 'the best of them'):
    shown.add_column(column, justify='left' if column.startswith('the') else 'right')
  for layers in list(found.values())[:_SHOWN]:
    scores = [100 * record.mean_score for record in layers]
    deviation = f'{statistics.stdev(scores):.1f}' if len(scores) > 1 else '–'
    equation = affine_equation_text(layers[0].layer_graph).replace('\n', '; ')
    shown.add_row(str(len(scores)), f'{scores[0]:.1f}', f'{statistics.fmean(scores):.1f}', deviation, Text(equation))
  return shown


if __name__ == '__main__':
  for journal in sys.argv[1:]:
    Console(width=140).print(table(by_function(read_compressed(pathlib.Path(journal)))))
