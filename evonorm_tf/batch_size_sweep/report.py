"""The report of a sweep: a CSV file of all runs, a table of norm-acts × batch sizes, and a plot like the paper's.

The table and the plot show the mean over the seeds and the sample standard deviation.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import csv
import pathlib
import statistics

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import FAILED
from evonorm_tf.batch_size_sweep.runs import METRICS
from evonorm_tf.batch_size_sweep.runs import PENDING
from evonorm_tf.batch_size_sweep.runs import Result
from evonorm_tf.batch_size_sweep.runs import Run
from evonorm_tf.output import markdown
from evonorm_tf.output.figures import INK
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.figures import style
from evonorm_tf.output.model_dir import replacing

PAGE, TABLE, PLOT = 'results.md', 'results.csv', 'accuracy_by_batch_size.png'
_COLUMNS = ('norm_act', 'batch_size', 'seed', *METRICS, 'status', 'message')
# Okabe and Ito's palette for colour-blind readers, without its yellow, which is too pale for a line.
_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
_LINES = ('-', '--', ':')  # one line style for every seven curves
_CROSS = {'marker': 'x', 'markersize': 8, 'markeredgewidth': 2, 'linestyle': 'none'}
# The shift between the error bars of neighbouring curves, and the largest shift between the first and the last curve,
# both in doublings of the batch size.
_DODGE, _MAX_DODGE = 0.035, 0.3


class Cell:
  """The results of all runs with the same norm-act and batch size.

  Args:
    results: the results of these runs, one per seed.

  Attributes:
    accuracies: the accuracies of the successful runs, fractions.
    failed: the number of failed runs.
  """

  def __init__(self, results: Sequence[Result]):
    self.accuracies = [r.metrics['accuracy'] for r in results if r.status == DONE]
    self.failed = sum(r.status == FAILED for r in results)

  @property
  def mean(self) -> float:
    """The mean accuracy, a fraction; there must be at least one successful run."""
    return statistics.fmean(self.accuracies)

  @property
  def deviation(self) -> float | None:
    """The sample standard deviation of the accuracies; None for fewer than two successful runs."""
    return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None


def write_report(model_dir: pathlib.Path, runs: Sequence[Run], results: Mapping[Run, Result]) -> None:
  """Writes results.csv, results.md and accuracy_by_batch_size as .png and .svg, each atomically.

  Args:
    model_dir: the folder of the sweep.
    runs: all runs of the sweep, in the order of the rows of results.csv.
    results: the result of each run, including pending ones.
  """
  with replacing(model_dir / TABLE) as path, open(path, 'w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    for run in runs:
      result = results[run]
      writer.writerow({'norm_act': run.norm_act, 'batch_size': run.batch_size, 'seed': run.seed, **result.metrics,
                       'status': result.status, 'message': markdown.one_line(result.message)})
  save_figure(accuracy_plot(runs, results), model_dir / PLOT)
  with replacing(model_dir / PAGE) as path:
    path.write_text('\n\n'.join(_sections(runs, results)) + '\n', encoding='utf-8')


def accuracy_table(runs: Sequence[Run], results: Mapping[Run, Result]) -> str:
  """Returns a Markdown table of accuracies in percent: one row per norm-act, one column per batch size, largest first.

  A cell such as `43.20 ± 0.51 (n=2, 1 failed)` holds the mean, the sample standard deviation (from two successful runs
  on) and the number of failed runs, if any. The number of successful runs, n, is shown only if cells differ in it.

  Args:
    runs: all runs of the sweep.
    results: the result of each run, including pending ones.
  """
  cells, sizes = _cells(runs, results), _batch_sizes(runs)
  counts = {len(cell.accuracies) for cell in cells.values()} - {0}
  rows = [[label, *(_text(cells[label, size], tell_count=len(counts) > 1) for size in sizes)]
          for label in _labels(runs)]
  return markdown.table(['norm-act', *map(str, sizes)], rows)


def accuracy_plot(runs: Sequence[Run], results: Mapping[Run, Result]) -> Figure:
  """Plots the accuracy against the batch size, from large to small as in the paper, with one curve per norm-act.

  Error bars are sample standard deviations over the seeds. A cross at the bottom marks a batch size at which runs of
  the norm-act have failed and none has succeeded.

  Args:
    runs: all runs of the sweep.
    results: the result of each run, including pending ones.

  Returns:
    The Matplotlib figure, 8 × 4.8 inches.
  """
  cells, sizes, labels = _cells(runs, results), _batch_sizes(runs), _labels(runs)
  figure = new_figure(8, 4.8)
  axes = figure.subplots()
  _style_axes(axes, sizes)
  axes.set_title(_caption(runs), color=INK, fontsize=10)
  curves = [_plot_curve(axes, number, len(labels), label, {size: cells[label, size] for size in sizes})
            for number, label in enumerate(labels)]
  # The legend lists the curves in the order of their right ends, so that they are easy to find.
  shown = sorted(filter(None, curves), key=lambda curve: -curve.lines[0].get_ydata()[-1])
  if not shown:
    axes.text(0.5, 0.5, 'no run is done yet', transform=axes.transAxes, ha='center', va='center', color='#777777')
  if any(cell.failed and not cell.accuracies for cell in cells.values()):
    shown.append(axes.plot([], [], label='every run failed', **_CROSS, color=INK)[0])
  if shown:
    figure.legend(handles=shown, loc='outside right upper', frameon=False, fontsize=10)
  return figure


def _labels(runs: Sequence[Run]) -> list[str]:
  return list(dict.fromkeys(run.norm_act for run in runs))


def _batch_sizes(runs: Sequence[Run]) -> list[int]:
  return sorted({run.batch_size for run in runs}, reverse=True)


def _caption(runs: Sequence[Run]) -> str:
  seeds = len({run.seed for run in runs})
  return f'mean ± sample standard deviation of {seeds} seeds' if seeds > 1 else 'one seed'


def _cells(runs: Sequence[Run], results: Mapping[Run, Result]) -> dict[tuple[str, int], Cell]:
  """Returns the cells by norm-act and batch size."""
  groups = collections.defaultdict(list)
  for run in runs:
    groups[run.norm_act, run.batch_size].append(results[run])
  return {key: Cell(group) for key, group in groups.items()}


def _text(cell: Cell, tell_count: bool) -> str:
  """Returns a cell as text, such as `43.20 ± 0.51 (n=2, 1 failed)`."""
  notes = [f'n={len(cell.accuracies)}'] * (tell_count and bool(cell.accuracies))
  notes += [f'{cell.failed} failed'] * bool(cell.failed)
  if not cell.accuracies:
    return notes[0] if notes else markdown.NO_VALUE
  spread = '' if cell.deviation is None else f' ± {100 * cell.deviation:.2f}'
  return f'{100 * cell.mean:.2f}{spread}' + (f' ({", ".join(notes)})' if notes else '')


def _sections(runs: Sequence[Run], results: Mapping[Run, Result]) -> list[str]:
  """Returns the parts of the page in Markdown."""
  counts = collections.Counter(results[run].status for run in runs)
  state = f'{counts[DONE]} of {len(runs)} runs are done, {counts[FAILED]} failed, {counts[PENDING]} are to come.'
  failures = [f'- {run}: {markdown.literal(markdown.one_line(results[run].message))}'
              for run in runs if results[run].status == FAILED]
  files = [f'- {label}: `{spec}`' for label, spec in {r.norm_act: r.spec for r in runs}.items() if label != spec]
  return [
      '# Accuracy by batch size', state,
      f'Accuracy in %, {_caption(runs)}, by batch size:',
      accuracy_table(runs, results), f'![Accuracy against batch size]({PLOT})', f'All runs: [{TABLE}]({TABLE})',
      *(['## Failed runs', 'The next start of the sweep tries them again.', '\n'.join(failures)] if failures else []),
      *(['## Layer graphs', '\n'.join(files)] if files else []),
  ]


def _style_axes(axes: Axes, sizes: Sequence[int]) -> None:
  style(axes)
  axes.set_xscale('log', base=2)
  axes.set_xticks(sizes, map(str, sizes))
  axes.minorticks_off()
  axes.set_xlim(sizes[0] * 2 ** 0.3, sizes[-1] * 2 ** -0.3)
  axes.set_xlabel('batch size', color=INK, fontsize=11)
  axes.set_ylabel('accuracy', color=INK, fontsize=11)
  axes.yaxis.set_major_formatter(percent)


def _plot_curve(axes: Axes, number: int, count: int, label: str, cells: Mapping[int, Cell]) -> ErrorbarContainer | None:
  """Plots curve `number` of `count`; returns None if it has no points."""
  color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]
  shift = 2 ** (min(_DODGE, _MAX_DODGE / count) * ((count - 1) / 2 - number))
  failed = [size * shift for size, cell in cells.items() if cell.failed and not cell.accuracies]
  axes.plot(failed, [0.03] * len(failed), **_CROSS, color=color, transform=axes.get_xaxis_transform())
  points = {size: cell for size, cell in cells.items() if cell.accuracies}
  if not points:
    return None
  curve = axes.errorbar(
      [size * shift for size in points], [cell.mean for cell in points.values()],
      yerr=[cell.deviation or 0 for cell in points.values()], label=label, color=color, marker=marker, markersize=7,
      linestyle=_LINES[number // len(_COLORS) % len(_LINES)], linewidth=1.8, elinewidth=1.2, capsize=3)
  curve.lines[0].set(markeredgecolor='white', markeredgewidth=0.7)  # as arguments they would apply to the caps, too
  return curve
