"""The plot of the best candidate's ancestry."""

from collections.abc import Mapping
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from evonorm_tf.output.figures import INK
from evonorm_tf.output.figures import leave_out_outliers
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import style
from search.journal import records as records_lib
from search.journal.record import Record
from search.reporting import comparison
from search.reporting.comparison_plots import COLORS
from search.reporting.comparison_plots import legend_below
from search.reporting.plots import note
from search.reporting.plots import NOTHING

_PALE, _CROSS = '#b9c4d6', '#c0504d'
PROJECTED = 'score projected from a rung'
_DOT = 4.5  # points, half the side of the square that a label leaves free around a point
# Where a label can stand: its distance from the point, in points, and its alignment; the first free one is taken.
_PLACES = [((dx * scale, dy * scale), horizontal, vertical) for scale in (1, 2, 3) for dx, dy, horizontal, vertical in (
    (0, 8, 'center', 'bottom'), (0, -8, 'center', 'top'), (8, 0, 'left', 'center'), (-8, 0, 'right', 'center'),
    (6, 6, 'left', 'bottom'), (-6, 6, 'right', 'bottom'), (6, -6, 'left', 'top'), (-6, -6, 'right', 'top'))]


def ancestry_plot(records: Sequence[Record], name: str = '') -> Figure:
  """Plots the line of descent of the best candidate, and the other children of its ancestors: mean score by index.

  Each ancestor is labelled with its index and the effect of its mutation in percentage points, unless the mutation left
  the score nearly as it was, or there is no room for it. Children that were not accepted are crosses at the bottom.
  Hollow dots are scores that successive halving projected.

  Args:
    records: the search's records of all stages.
    name: the search's name for the title; '' (default) for none.

  Returns:
    The figure, which only says so if no candidate has been accepted.
  """
  figure = new_figure(9, 4.8)
  axes = figure.subplots()
  style(axes)
  axes.set_xlabel('candidate', color=INK)
  axes.set_ylabel('mean validation accuracy', color=INK)
  axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
  axes.yaxis.set_major_formatter(percent)
  best = records_lib.best(records)
  axes.set_title(f'{name}: ' * bool(name) + ('ancestry of the best candidate' if best else ''), fontsize=11, color=INK)
  if best is None:
    note(axes, NOTHING)
    return figure
  steps = comparison.ancestry(records, best)
  _plot_children(axes, steps)
  points = [(step.record.index, step.record.mean_score) for step in steps]
  axes.plot(*zip(*points), '-o', color=COLORS[0], linewidth=2, markersize=7, label='ancestors of the best, and itself',
            zorder=3)
  projected = [point for point, step in zip(points, steps) if not step.record.is_complete]
  if projected:
    axes.plot(*zip(*projected), 'o', color='white', markeredgecolor=COLORS[0], markersize=7, label=PROJECTED, zorder=3)
  axes.margins(.06, .12)
  lines = [line for line in axes.lines if line.get_transform() == axes.transData]
  shown = list(dict.fromkeys(tuple(point) for line in lines for point in line.get_xydata().tolist()))
  leave_out_outliers(axes, shown, kept=points)
  legend_below(figure, axes)
  label_points(axes, _labels(steps), shown)
  return figure


def _labels(steps: Sequence[comparison.Ancestor]) -> dict[tuple[float, float], str]:
  """Returns index and effect of each ancestor by its point, without those whose mutation hardly changed the score.

  There can be dozens of these, such as copies.
  """
  labels = {}
  for step in steps:
    if step.effect is None or abs(step.effect) >= .0005 or step is steps[-1]:
      effect = '' if step.effect is None else f' ({100 * step.effect:+.1f})'
      labels[step.record.index, step.record.mean_score] = f'{step.record.index}{effect}'
  return labels


def label_points(axes: Axes, labels: Mapping[tuple[float, float], str],
                 points: Sequence[tuple[float, float]]) -> None:
  """Writes labels next to points, where they cover no point and no other label; a label without room is left out.

  It is called at the end, when the layout of the figure is final.

  Args:
    axes: the Matplotlib axes.
    labels: the labels by the x and y of their points, in data coordinates; the last is placed first.
    points: the x and y of all points that are not to be covered.
  """
  figure = axes.get_figure()
  figure.draw_without_rendering()  # gives the axes their place
  dot = _DOT * figure.dpi / 72
  taken = [Bbox.from_bounds(x - dot, y - dot, 2 * dot, 2 * dot) for x, y in axes.transData.transform(points)]
  for point, label in reversed(labels.items()):
    text = axes.annotate(label, point, xytext=(0, 0), textcoords='offset points', fontsize=8.5, color=INK, zorder=4,
                         path_effects=[withStroke(linewidth=3, foreground='white')])
    places = []
    for number, (offset, horizontal, vertical) in enumerate(_PLACES):
      text.set(position=offset, ha=horizontal, va=vertical)
      box = text.get_window_extent()
      outside = not (axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1))
      places.append((box.count_overlaps(taken) + 2 * outside, number, box))
    covered, number, box = min(places, key=lambda place: place[:2])
    if covered:
      text.remove()
      continue
    offset, horizontal, vertical = _PLACES[number]
    text.set(position=offset, ha=horizontal, va=vertical)
    taken.append(box)


def _plot_children(axes: Axes, steps: Sequence[comparison.Ancestor]) -> None:
  """Draws the children that are not ancestors themselves, with a line from the parent to each that has a score."""
  line = {step.record.index for step in steps}
  measured, projected, crosses = [], [], []
  for step in steps:
    start = step.record.index, step.record.mean_score
    for child in step.children:
      if child.index not in line and child.scores:
        end = child.index, child.mean_score
        axes.plot(*zip(start, end), '-', color=_PALE, linewidth=.9, zorder=1)
        (measured if child.is_complete else projected).append(end)
      elif child.index not in line:
        crosses.append(child.index)
  if measured:
    axes.plot(*zip(*measured), 'o', color=_PALE, markersize=5, label='their other children', zorder=2)
  if projected:
    axes.plot(*zip(*projected), 'o', color='white', markeredgecolor=_PALE, markersize=5, zorder=2,
              label=f'their other children, {PROJECTED}')
  if crosses:
    axes.plot(crosses, [.02] * len(crosses), 'x', color=_CROSS, markersize=5, alpha=.7,
              transform=axes.get_xaxis_transform(), label='their children that were not accepted')
