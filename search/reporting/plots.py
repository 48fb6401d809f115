"""Plots of one search (as in the paper): the mean of the ten best against candidates evaluated, the Pareto frontier.

The plots show the evaluated candidates. Copies, which take over the outcome of an equivalent candidate, are left out.
Only measured scores are shown: a candidate that successive halving stopped counts among the outcomes but has no dot.
"""

import bisect
from collections.abc import Sequence
import itertools
import math
import operator
import statistics

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
import numpy as np

from evonorm_tf.output.figures import INK
from evonorm_tf.output.figures import leave_out_outliers
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import style
from search.journal import records as records_lib
from search.journal.candidate import Candidate
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import FAILED
from search.journal.outcomes import OWN_TEST
from search.journal.outcomes import POOR
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import UNSTABLE
from search.journal.record import Record
from search.journal.records import TOP
from search.selection.tournament import pareto_frontier

ACCEPTED_LABEL, BEST_LABEL, TOP_LABEL = 'accepted candidate', 'best so far', f'mean of the {TOP} best so far'
FRONTIER_LABEL = 'Pareto frontier'
NOTHING = 'no candidate has been accepted yet'

_COLORS = {ACCEPTED: '#3f8f4f', POOR: '#f0c08a', OWN_TEST: '#d6b656', UNSTABLE: '#b39ac9', FAILED: '#c0504d'}
_DOT, _BEST, _TOP = '#9db8de', '#d07a1c', '#27509b'
_REFERENCE_COLORS = ('#c0392b', '#7d3c98', '#117864', '#6e4b1f', '#566573')
MARKERS = ('^', 's', 'D', 'v', 'P', 'X', '*')
_PANEL, _MAX_COLUMNS = 3.9, 3  # inches; panels in a row


def progress_plot(records: Sequence[Record]) -> Figure:
  """Plots a search's progress against candidates evaluated: mean scores above, cumulative counts of outcomes below.

  As long as there are no scores, only the counts are plotted.

  Args:
    records: the search's records of all stages, in the order of the journal; may be empty.

  Returns:
    The figure, on an Agg canvas.
  """
  evaluated, references = records_lib.evaluated(records), records_lib.accepted(records, REFERENCE)
  if not references and not any(r.is_measured for r in evaluated):  # no scores yet: counts alone
    figure = new_figure(9, 2.6)
    _plot_outcomes(figure.subplots(), evaluated)
    return figure
  figure = new_figure(9, 6)
  upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
  _plot_scores(upper, evaluated, references)
  _plot_outcomes(lower, evaluated)
  return figure


def pareto_scatter(records: Sequence[Record]) -> Figure:
  """Plots the accepted candidates' scores with their Pareto frontier, in a panel for each pair of architectures.

  The frontier is over the scores in all architectures, so a member may lie below other candidates in a single panel.
  With only one architecture, the panel shows its score against the candidate's index.

  Args:
    records: the search's records of all stages, in the order of the journal; may be empty.

  Returns:
    The figure, on an Agg canvas.
  """
  names = records_lib.architectures(records)
  pairs = list(itertools.combinations(range(len(names)), 2)) or [(None, 0)]
  columns = min(len(pairs), _MAX_COLUMNS)
  rows = math.ceil(len(pairs) / columns)
  figure = new_figure(_PANEL * columns + 1, (_PANEL - 0.2) * rows + 1)
  panels = figure.subplots(rows, columns, squeeze=False).ravel()
  candidates = records_lib.measured_candidates(records)
  frontier = pareto_frontier(candidates)
  references = records_lib.accepted(records, REFERENCE)
  for axes, (a, b) in itertools.zip_longest(panels, pairs, fillvalue=(None, None)):
    style(axes)
    if b is None:
      axes.set_visible(False)
      continue
    dots = _scatter(axes, candidates, frontier, a, b)
    _mark_references(axes, references, a, b)
    leave_out_outliers(axes, list(zip(*_points(candidates, a, b))), both=a is not None, kept=_marks(references, a, b))
    _label_panel(axes, names, a, b)
  if candidates:
    figure.colorbar(dots, ax=panels, label='candidate', shrink=0.8, pad=0.01, aspect=30).ax.tick_params(labelsize=9)
  stopped = len(records_lib.stopped(records))
  figure.suptitle(f'{len(frontier)} of {len(candidates)} accepted candidates on the Pareto frontier' +
                  f'; {stopped} that stopped at a rung are left out' * bool(stopped), color=INK, fontsize=11)
  _add_legend(figure, *panels[0].get_legend_handles_labels(), max_columns=2 * columns)
  return figure


def _add_legend(figure: Figure, handles: list, labels: list[str], max_columns: int) -> None:
  """Adds a legend below the panels, in rows of about the same length."""
  if handles:
    rows = math.ceil(len(handles) / max_columns)
    figure.legend(handles, labels, loc='outside lower center', ncols=math.ceil(len(handles) / rows), frameon=False,
                  fontsize=9)


def note(axes: Axes, text: str) -> None:
  """Writes a note in the middle of axes that have no data.

  Args:
    axes: the axes.
    text: the note, one line.
  """
  axes.text(0.5, 0.5, text, transform=axes.transAxes, ha='center', va='center', color='#777777',
            bbox={'facecolor': 'white', 'edgecolor': 'none'})


def curves(evaluated: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
  """Returns the best mean score so far, and the mean of the ten best so far, after each candidate.

  Args:
    evaluated: the records of the evaluated candidates, without copies, in the order of the journal.

  Returns:
    Two float arrays `[candidates]`, neither of which ever falls: NaN before the first measured score, and before the
    tenth in the mean.
  """
  scores: list[float] = []
  best, top = [], []
  for record in evaluated:
    if record.is_measured:
      bisect.insort(scores, record.mean_score)
    best.append(scores[-1] if scores else math.nan)
    top.append(statistics.fmean(scores[-TOP:]) if len(scores) >= TOP else math.nan)
  return np.array(best), np.array(top)


def _plot_scores(axes: Axes, evaluated: Sequence[Record], references: Sequence[Record]) -> None:
  """Draws dots for the measured scores, the curves of the best and of the mean of the ten best, and the references."""
  style(axes)
  axes.yaxis.set_major_formatter(percent)
  count = len(next(iter([*references, *(r for r in evaluated if r.scores)])).scores)
  axes.set_ylabel('validation accuracy' + (f', mean of {count} architectures' if count > 1 else ''))
  dots = [(i, r.mean_score) for i, r in enumerate(evaluated, 1) if r.is_measured]
  if dots:
    steps = np.arange(1, len(evaluated) + 1)
    best, top = curves(evaluated)
    axes.plot(*zip(*dots), 'o', color=_DOT, markersize=4.5, markeredgewidth=0, alpha=0.8, label=ACCEPTED_LABEL)
    axes.plot(steps, best, color=_BEST, linewidth=1.4, drawstyle='steps-post', label=BEST_LABEL)
    if len(dots) >= TOP:
      axes.plot(steps, top, color=_TOP, linewidth=2.4, drawstyle='steps-post', label=TOP_LABEL)
    leave_out_outliers(axes, dots, kept=[(0, r.mean_score) for r in references])
    axes.legend(loc='lower right', fontsize=9, framealpha=0.9, edgecolor='none')
  draw_references(axes, references)


def draw_references(axes: Axes, references: Sequence[Record]) -> None:
  """Draws references as dashed lines, with name and score on their right, so that these do not overlap.

  The limits of the axes become fixed: everything else must have been drawn.

  Args:
    axes: axes with scores on y.
    references: the records of the references, each with scores.
  """
  ordered = sorted(references, key=operator.attrgetter('mean_score'))
  for number, record in enumerate(ordered):
    axes.axhline(record.mean_score, color=_reference_color(number), linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
  low, high = axes.get_ylim()
  axes.set_ylim(low, high)  # the labels must not change the limits
  heights = [r.mean_score for r in ordered]
  for number, (record, y, label_y) in enumerate(zip(ordered, heights, _spread(heights, 0.055 * (high - low)))):
    axes.annotate(
        f'{record.name} {100 * y:.1f}%', (1, y), (1.035, label_y),
        xycoords=('axes fraction', 'data'), textcoords=('axes fraction', 'data'), annotation_clip=False,
        color=_reference_color(number), fontsize=9, va='center',
        arrowprops={'arrowstyle': '-', 'color': _reference_color(number), 'linewidth': 0.8, 'shrinkA': 0, 'shrinkB': 0,
                    'relpos': (0, 0.5)})


def _reference_color(number: int) -> str:
  return _REFERENCE_COLORS[number % len(_REFERENCE_COLORS)]


def _spread(values: Sequence[float], gap: float) -> list[float]:
  """Returns positions at least `gap` apart that are nearest to the ascending `values`, in least squares, by pooling."""
  blocks = []  # sum and number of value − i·gap, with ascending means
  for i, value in enumerate(values):
    total, count = value - i * gap, 1
    while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
      total, count = total + blocks[-1][0], count + blocks.pop()[1]
    blocks.append((total, count))
  means = [total / count for total, count in blocks for _ in range(count)]
  return [mean + i * gap for i, mean in enumerate(means)]


def _plot_outcomes(axes: Axes, evaluated: Sequence[Record]) -> None:
  """Draws the cumulative counts of outcomes, stacked."""
  style(axes)
  axes.set_xlabel('candidates evaluated')
  axes.set_ylabel('outcomes')
  axes.xaxis.set_major_locator(MaxNLocator(integer=True))
  axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
  axes.set_xlim(0, max(len(evaluated), 1))
  outcomes = list(records_lib.counts_by_outcome(evaluated))
  counts = [np.cumsum([0] + [r.outcome == outcome for r in evaluated]) for outcome in outcomes]
  stopped = len(records_lib.stopped(evaluated))
  notes = {ACCEPTED: f', {stopped} stopped at a rung'} if stopped else {}
  axes.stackplot(np.arange(len(evaluated) + 1), counts, colors=[_COLORS[outcome] for outcome in outcomes],
                 labels=[f'{name} ({count[-1]}{notes.get(name, "")})' for name, count in zip(outcomes, counts)])
  axes.set_ylim(0, max(len(evaluated), 1))
  axes.legend(loc='upper left', fontsize=8, frameon=False, ncols=2)


def _scatter(axes: Axes, candidates: Sequence[Candidate], frontier: Sequence[Candidate], a: int | None, b: int):
  """Draws dots for all candidates, and larger ones for the frontier; returns the first ones for the colour bar."""
  if not candidates:
    return note(axes, NOTHING)
  style = {'cmap': 'viridis', 'vmin': 0, 'vmax': max([1] + [c.index for c in candidates])}
  dots = axes.scatter(*_points(candidates, a, b), c=[c.index for c in candidates], s=18, linewidths=0,
                      label=ACCEPTED_LABEL, **style)
  axes.scatter(*_points(frontier, a, b), c=[c.index for c in frontier], s=64, edgecolors=INK, linewidths=1.3,
               label=FRONTIER_LABEL, zorder=3, **style)
  return dots


def _points(candidates: Sequence[Candidate], a: int | None, b: int) -> tuple[list[float], list[float]]:
  """Returns x and y: the scores in architectures a and b, or the indices and the scores in b if a is None."""
  return [c.index if a is None else c.scores[a] for c in candidates], [c.scores[b] for c in candidates]


def _mark_references(axes: Axes, references: Sequence[Record], a: int | None, b: int) -> None:
  for number, record in enumerate(references):
    scores, color = list(record.scores.values()), _reference_color(number)
    if a is None:
      axes.axhline(scores[b], color=color, linewidth=1.1, linestyle=(0, (5, 3)), label=record.name)
    else:
      axes.scatter(scores[a], scores[b], marker=MARKERS[number % len(MARKERS)], s=70, color=color,
                   edgecolors='white', linewidths=0.9, label=record.name, zorder=4)


def _marks(references: Sequence[Record], a: int | None, b: int) -> list[tuple[float, float]]:
  """Returns the points of the references in a panel; x is 0 where they are horizontal lines."""
  scores = [list(r.scores.values()) for r in references]
  return [(0 if a is None else each[a], each[b]) for each in scores]


def _label_panel(axes: Axes, names: Sequence[str], a: int | None, b: int) -> None:
  axes.set_ylabel(names[b] if names else 'validation accuracy')
  axes.set_xlabel('candidate' if a is None else names[a])
  for axis in [axes.yaxis] if a is None else [axes.xaxis, axes.yaxis]:
    axis.set_major_formatter(percent)
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
