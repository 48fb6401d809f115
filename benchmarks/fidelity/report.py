"""The tables and the figure of the study."""

from collections.abc import Mapping
from collections.abc import Sequence
import csv
import pathlib
import statistics

import numpy as np
from rich.table import Table

from benchmarks.fidelity.runs import long_networks
from benchmarks.fidelity.runs import LONG_RATES
from benchmarks.fidelity.runs import LONG_SEEDS
from benchmarks.fidelity.runs import Results
from benchmarks.fidelity.runs import SHORT
from benchmarks.fidelity.scores import kendall
from benchmarks.fidelity.scores import proxies
from benchmarks.fidelity.scores import Proxy
from benchmarks.fidelity.scores import Score
from benchmarks.fidelity.scores import score_all
from benchmarks.fidelity.scores import screening
from benchmarks.fidelity.scores import SCREENING_STEPS
from benchmarks.fidelity.scores import truth
from benchmarks.fidelity.scores import truth_at_rate
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.figures import style
from search.reporting.comparison_plots import COLORS

_SHOWN = 16  # rows of the table on the screen
_COLUMNS = ('proxy', 'tau', 'tau_low', 'tau_high', 'tau_upper', 'tau_upper_low', 'tau_upper_high', 'best_quarter',
            'passing', 'noise', 'tau_other_seed', 'core_seconds', 'expected_best', 'first')


def write(layers: Sequence[str], graphs: Sequence[str], names: Sequence[str], results: Results, output: pathlib.Path
          ) -> Table:
  """Writes truth.csv, proxies.csv and fidelity.png, and returns the table of the best proxies.

  Args:
    layers: the layers of which all trainings have ended.
    graphs: those that are layer graphs.
    names: the networks' names.
    results: the trainings.
    output: the folder.
  """
  expected = truth(layers, names, results)
  _write_truth(output / 'truth.csv', expected, names, results)
  scores = score_all(proxies(names), expected, graphs, results)
  ordered = sorted(scores, key=lambda proxy: -scores[proxy].best)
  with (output / 'proxies.csv').open('w') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(_COLUMNS)
    for proxy in ordered:
      writer.writerow((proxy, *_cells(scores[proxy])))
  draw(scores, len(layers), names, output / 'fidelity.png')
  table = _table(ordered, scores, _reliability(layers, names, results))
  table.caption = 'Long training at one rate, one seed: τ ' + ', '.join(
      f'{kendall(*_in_order(truth_at_rate(rate, layers, names, results), expected)):.2f} at {rate:g}'
      for rate in LONG_RATES)
  return table


def _in_order(*scores: Mapping[str, float]) -> list[np.ndarray]:
  """Returns the scores as arrays, all in the order of the first's layers."""
  return [np.array([some[layer] for layer in scores[0]]) for some in scores]


def _cells(s: Score) -> list[str]:
  values = (s.tau, *s.tau_interval, s.upper, *s.upper_interval, s.quarter, s.passing)
  return [*(f'{value:.3f}' for value in values), '' if s.noise is None else f'{s.noise:.4f}',
          '' if s.other_tau is None else f'{s.other_tau:.3f}', f'{s.core_seconds:.1f}', f'{s.best:.2f}',
          f'{s.first:.3f}']


def _write_truth(path: pathlib.Path, expected: Mapping[str, float], names: Sequence[str], results: Results) -> None:
  networks = long_networks(names)
  constant = sorted({rate for rate, cosine, *_ in SHORT if not cosine})
  with path.open('w') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('layer', 'mean', *networks, *(f'rate in {network}' for network in networks),
                     *(f'least after {SCREENING_STEPS} steps at {rate:g}' for rate in constant)))
    for layer in sorted(expected, key=lambda layer: -expected[layer]):
      best = [results.best_long(layer, network) for network in networks]
      writer.writerow((layer, f'{expected[layer]:.4f}',
                       *(f'{statistics.fmean(map(results.accuracy, runs)):.4f}' for runs in best),
                       *(runs[0].rate for runs in best),
                       *(f'{screening(layer, rate, names, results):.3f}' for rate in constant)))


def _reliability(layers: Sequence[str], names: Sequence[str], results: Results) -> float:
  """Returns τ between the two seeds of long training."""
  by_seed = [np.array([statistics.fmean(results.accuracy(results.best_long(layer, name)[i])
                                        for name in long_networks(names)) for layer in layers])
             for i in range(len(LONG_SEEDS))]
  return kendall(*by_seed)


def _table(ordered: Sequence[Proxy], scores: Mapping[Proxy, Score], reliability: float) -> Table:
  table = Table(title=f'The {_SHOWN} proxies with the highest expected best; '
                      f'τ between the seeds of the truth: {reliability:.2f}')
  table.add_column('rate, schedule, steps: networks', no_wrap=True)
  for column in ('τ, 90%', 'better half, 90%', 'best quarter', 'passing', 'noise', 'core-seconds', 'expected best',
                 'first'):
    table.add_column(column, justify='right')
  for proxy in ordered[:_SHOWN]:
    s = scores[proxy]
    taus = (f'{tau:.2f} ({low:.2f} to {high:.2f})'
            for tau, (low, high) in ((s.tau, s.tau_interval), (s.upper, s.upper_interval)))
    table.add_row(str(proxy), *taus, f'{s.quarter:.2f}', f'{s.passing:.2f}',
                  '–' if s.noise is None else f'{s.noise:.3f}', *_cells(s)[-3:])
  return table


def draw(scores: Mapping[Proxy, Score], count: int, names: Sequence[str], path: pathlib.Path) -> None:
  """Draws fidelity against cost: each proxy a point, those that no cheaper one matches with interval and name.

  Args:
    scores: the scores by proxy.
    count: the number of layers.
    names: the networks' names.
    path: the PNG file; an SVG file stands beside it.
  """
  figure = new_figure(10, 6)
  axes = figure.add_subplot()
  style(axes)
  kinds = {name: [p for p in scores if p.networks == (name,)] for name in names}
  kinds['three networks'] = [p for p in scores if len(p.networks) > 1]
  for color, (kind, some) in zip(COLORS, kinds.items()):
    for passes in (True, False):  # hollow where a quality test would reject one of the best
      points = [(scores[p].core_seconds, scores[p].tau) for p in some if (scores[p].passing == 1.) == passes]
      axes.plot(*np.reshape(points, (-1, 2)).T, 'o', color=color, fillstyle='full' if passes else 'none', alpha=.7,
                label=kind if passes else None)
  front = [p for p in scores if not any(
      scores[q].core_seconds <= scores[p].core_seconds and scores[q].tau > scores[p].tau for q in scores)]
  front.sort(key=lambda p: scores[p].core_seconds)
  for number, proxy in enumerate(front, 1):
    s = scores[proxy]
    axes.vlines(s.core_seconds, *s.tau_interval, color='gray', linewidth=1, zorder=0)
    axes.annotate(str(number), (s.core_seconds, s.tau), xytext=(4, 4), textcoords='offset points')
  axes.set(xscale='log', xlabel='core-seconds a candidate', ylabel="Kendall's τ to long training, with 90% interval",
           title=f'Fidelity of {len(scores)} proxies against cost, over {count} layers; '
                 'hollow: rejects one of the best')
  axes.set_xticks([1, 2, 5, 10, 20, 50, 100], [1, 2, 5, 10, 20, 50, 100])
  axes.tick_params(which='minor', labelbottom=False)
  axes.legend(loc='lower right', fontsize='small')
  axes.text(1.02, 1, '\n'.join(f'{i} {p}' for i, p in enumerate(front, 1)), transform=axes.transAxes, va='top',
            fontsize='x-small')
  save_figure(figure, path)
