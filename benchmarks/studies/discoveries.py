"""What the study of discovery shows: a row for each layer that a search re-ranked, a figure, and how searches ended.

tanh, which a search ends with whose proxy is not faithful, stands among the re-ranked layers; no search re-ranks it.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
import statistics

from matplotlib.axes import Axes
import numpy as np
from rich.table import Table
from rich.text import Text
from scipy import stats

from benchmarks.measuring import worker_tasks
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.output.figures import leave_out_outliers
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.figures import style
from evonorm_tf.output.model_dir import complete_lines
from evonorm_tf.output.model_dir import cut_torn_line
from search.equivalence.frozen_vectors import without_frozen_vectors
from search.evolution import Reranking
from search.execution.executors import Executor
from search.execution.executors import WorkerDied
from search.graphs.affine_equation import affine_equation_text
from search.journal import records as records_lib
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.reporting.comparison import core_seconds
from search.reporting.comparison_plots import COLORS
from search.reporting.plots import curves
from search.reporting.plots import draw_references
from search.reporting.ranked_layers import ranking

NETWORKS = 'resnet', 'mobilenet_v2', 'efficientnet'
FIELDS = ('seed', 'layer', 'proxy', 'validation', 'validation_error', 'test', 'test_error',
          *(f'test_{network}' for network in NETWORKS), 'trainings', 'equation')
TANH = LayerGraph((Node('tanh', (0,)),))
Searches = Mapping[str, Sequence[Record]]  # the records by the search's seed, those of layers trained beside included


def train_tanh(reranking: Reranking, path: pathlib.Path, executor: Executor) -> list[Record]:
  """Trains tanh as the re-ranking trains layers, with each of its seeds, unless that was done.

  Args:
    reranking: the re-ranking.
    path: the file of the records, JSON lines.
    executor: runs the trainings; it is closed at the end.

  Raises:
    WorkerDied: if a training dies; those that have ended are in the file.
  """
  cut_torn_line(path)
  records = [Record.from_json(json.loads(line)) for line in complete_lines(path).splitlines()]
  missing = sorted({*range(reranking.seeds)} - {r.seed for r in records})
  tasks = [(seed, reranking.evaluation.with_seed(seed).evaluate, (TANH,)) for seed in missing]
  for seed, outcome in worker_tasks.results(executor, tasks):
    if isinstance(outcome, WorkerDied):
      raise outcome
    records.append(Record.of_outcome(outcome, stage=RERANKING, name='tanh', seed=seed, seconds=outcome.seconds))
    with path.open('a') as file:
      file.write(json.dumps(records[-1].to_json()) + '\n')
  return records


def rows(seed: str, records: Sequence[Record]) -> Iterator[dict[str, object]]:
  """Yields the figures of the re-ranked layers by the names in `FIELDS`, the best by validation accuracy first.

  Accuracies are means over trainings and networks, errors the standard errors over trainings; `proxy` is the score in
  the search.

  Args:
    seed: the search's seed.
    records: its records.
  """
  proxy = {r.name: f'{r.mean_score:.4f}' for r in records if r.stage != RERANKING and r.is_accepted}
  for layer in ranking(records):
    graph = layer.layer_graph
    equation = '' if graph is None else affine_equation_text(without_frozen_vectors(graph))
    trainings = [r for r in records_lib.accepted(records, RERANKING) if r.name == layer.name]
    if not layer.is_accepted or not trainings:
      yield dict.fromkeys(FIELDS, '') | {
          'seed': seed, 'layer': layer.name, 'trainings': len(trainings), 'equation': equation}
      continue
    values = (*_mean_and_error([r.mean_score for r in trainings]), *_mean_and_error(_test_means(trainings)))
    of_networks = [statistics.fmean(scores) for scores in zip(*(_by_network(r) for r in trainings))]
    yield dict(zip(FIELDS, (seed, layer.name, proxy.get(layer.name, ''), *(f'{value:.4f}' for value in values),
                            *(f'{value:.4f}' if value == value else '' for value in of_networks), len(trainings),
                            equation), strict=True))


def verdicts(searches: Searches) -> Table:
  """Returns a table of how far the best layer found, by validation accuracy, is above each known one on test images.

  Trainings with the same seed are compared, which have the same split and order of the images: the mean difference in
  points, half its 95% interval (Student's, over trainings), and how many of the trainings are above.

  Args:
    searches: the searches.
  """
  table = Table(title='Test accuracy of the best layer found, and how many points it is above others')
  for column in ('seed', 'best found', 'above', 'points', 'trainings'):
    table.add_column(column, justify='left' if column in ('best found', 'above') else 'right')
  for seed, records in searches.items():
    ranked = [row for row in rows(seed, records) if row['test']]
    best = next((row for row in ranked if _is_found(row)), None)
    for row in ranked:
      if best is not None and not _is_found(row):
        of_best, of_row = (_tests_by_seed(records, str(each['layer'])) for each in (best, row))
        points = [100 * (of_best[s] - of_row[s]) for s in sorted(of_best.keys() & of_row.keys())]
        table.add_row(seed, Text(str(best['equation'])), str(row['layer']), _interval(points),
                      f'{sum(p > 0 for p in points)} of {len(points)}')
  return table


def _tests_by_seed(records: Sequence[Record], layer: str) -> dict[int | None, float]:
  """Returns the mean test accuracy of a re-ranked layer's trainings, by their seeds."""
  trainings = [r for r in records_lib.accepted(records, RERANKING) if r.name == layer]
  return dict(zip((r.seed for r in trainings), _test_means(trainings)))


def _interval(points: Sequence[float]) -> str:
  """Returns the mean of differences with half its 95% interval as text; without that for a single one."""
  mean, error = _mean_and_error(points)
  return f'{mean:+.1f}' + (f' ± {stats.t.ppf(.975, len(points) - 1) * error:.1f}' if len(points) > 1 else '')


def _by_network(record: Record) -> list[float]:
  """Returns the test accuracies in `NETWORKS`; NaN where there is none."""
  return [(record.test_scores or {}).get(network, float('nan')) for network in NETWORKS]


def _test_means(trainings: Sequence[Record]) -> list[float]:
  return [statistics.fmean((r.test_scores or {}).values()) for r in trainings]


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
  """Returns the mean, and its standard error: NaN of a single value."""
  error = statistics.stdev(values) / len(values)**.5 if len(values) > 1 else float('nan')
  return statistics.fmean(values), error


def draw(searches: Searches, path: pathlib.Path) -> None:
  """Draws the best score so far of each search against core-minutes, and the re-ranked layers' test accuracies.

  Args:
    searches: the searches that have ended.
    path: the PNG file; an SVG file stands beside it.
  """
  figure = new_figure(12, 4.2)
  progress, final = figure.subplots(1, 2)
  for axes in (progress, final):
    style(axes)
  _draw_progress(progress, searches)
  _draw_final(final, searches)
  save_figure(figure, path)


def _draw_progress(axes: Axes, searches: Searches) -> None:
  for color, (seed, records) in zip(COLORS, searches.items()):
    minutes, best = np.array(core_seconds(records)) / 60, curves(records_lib.evaluated(records))[0]
    axes.step(minutes, best, where='post', color=color, linewidth=2, label=f'seed {seed}')
  axes.yaxis.set_major_formatter(percent)
  axes.set(xlabel='core-minutes', ylabel='validation accuracy, proxy task', title='The search: the best layer so far')
  draw_references(axes, records_lib.accepted(next(iter(searches.values())), REFERENCE))
  axes.legend(loc='lower right', framealpha=.9, edgecolor='none')


def _draw_final(axes: Axes, searches: Searches) -> None:
  """Draws a line of points for each kind of layer, the best at the top, in the colours of the searches."""
  table = [_with_kinds([r for r in rows(seed, records) if r['test']]) for seed, records in searches.items()]
  of_kind: dict[str, list[float]] = collections.defaultdict(list)
  for some in table:
    for kind, row in some:
      of_kind[kind].append(float(str(row['test'])))
  heights = {kind: y for y, kind in enumerate(sorted(of_kind, key=lambda kind: statistics.fmean(of_kind[kind])))}
  points: list[tuple[float, float]] = []
  for number, (color, some) in enumerate(zip(COLORS, table)):
    if not some:
      continue
    shift = (number - (len(table) - 1) / 2) * .2
    kinds, own = zip(*some)
    accuracies, errors = ([float(str(row[name])) for row in own] for name in ('test', 'test_error'))
    places = [heights[kind] - shift for kind in kinds]
    axes.errorbar(accuracies, places, xerr=np.nan_to_num(errors), fmt='o', color=color, capsize=2)
    points += zip(accuracies, places)
  leave_out_outliers(axes, points, both=True)
  if axes.get_legend_handles_labels()[0]:
    axes.legend(loc='best', framealpha=.9, edgecolor='none')  # where it covers no point
  axes.set_yticks(range(len(heights)), heights)
  axes.xaxis.set_major_formatter(percent)
  axes.set(xlabel='test accuracy ± standard error, mean of networks',
           title='Trained longer: layers found and known')


def _with_kinds(some: Sequence[dict[str, object]]) -> list[tuple[str, dict[str, object]]]:
  """Returns each row after what it is: the best found layer, another finalist, or a known layer's name."""
  best = next((row for row in some if _is_found(row)), None)
  of_found = lambda row: 'best found' if row is best else 'other finalists'
  return [(of_found(row) if _is_found(row) else str(row['layer']), row) for row in some]


def _is_found(row: Mapping[str, object]) -> bool:
  return str(row['layer']).startswith('candidate ')
