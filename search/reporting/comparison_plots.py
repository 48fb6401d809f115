"""Plots that compare searches, each search in its own colour. `search.reporting.comparison` computes the numbers."""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
import numpy as np

from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import index_sets
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.output.figures import INK
from evonorm_tf.output.figures import leave_out_outliers
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import style
from search.journal import records as records_lib
from search.journal.outcomes import OUTCOMES
from search.journal.record import Record
from search.journal.records import TOP
from search.reporting import comparison
from search.reporting.plots import curves
from search.reporting.plots import MARKERS
from search.reporting.seed_bands import draw_band

COLORS = ('#27509b', '#d07a1c', '#3f8f4f', '#c0392b', '#7d3c98', '#117864', '#6e4b1f', '#566573')
_LINES = ('-', (0, (5, 2)), (0, (1, 1.2)))  # a second round of the colours is dashed
_OUTCOME_COLORS = ('#3f8f4f', '#f0c08a', '#d6b656', '#b39ac9', '#c0504d')
_CHANCE = '#555555'

Searches = Mapping[str, Sequence[Record]]  # the records of each search, by its name


def efficiency_plot(searches: Searches, groups: Mapping[str, Sequence[str]] | None = None) -> Figure:
  """Plots the mean score of the ten best candidates against candidates evaluated, and against core-seconds.

  The first panel is the paper's plot of the efficiency of searches. Searches that differ in their seed
  alone have one line, their mean, with a band from the lowest to the highest, up to where the shortest of them ends.

  Args:
    searches: the records of each search, of all stages, by the search's name.
      One of them has `TOP` accepted candidates; others have no line.
    groups: the names of the searches that differ in their seed alone, by a name for them, as
      `seed_bands.groups_of_seeds` returns them; None (default) for a line for each search.

  Returns:
    The figure, with two panels.
  """
  figure = new_figure(11, 4.6)
  by_candidates, by_seconds = figure.subplots(1, 2, sharey=True)
  groups = groups or {name: [name] for name in searches}
  of_groups = {group: [searches[name] for name in names] for group, names in groups.items()}
  _plot_top(by_candidates, of_groups, False, 'candidates evaluated')
  _plot_top(by_seconds, of_groups, True, 'core-seconds')
  by_candidates.set_ylabel(f'mean validation accuracy of the {TOP} best', color=INK)
  by_candidates.yaxis.set_major_formatter(percent)
  legend_below(figure, by_candidates)
  return figure


def _numbers(records: Sequence[Record]) -> np.ndarray:
  return np.arange(1, len(records_lib.evaluated(records)) + 1)


def _plot_top(axes: Axes, groups: Mapping[str, Sequence[Sequence[Record]]], by_seconds: bool, label: str) -> None:
  """Draws a line for each search, or the mean and a band for each group of several."""
  style(axes)
  axes.set_xlabel(label, color=INK)
  axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
  for number, (name, seeds) in enumerate(groups.items()):
    if len(seeds) > 1:
      draw_band(axes, seeds, by_seconds, f'{name} ({len(seeds)} seeds)', **_look(number))
      continue
    _, top = curves(records_lib.evaluated(seeds[0]))
    x = comparison.core_seconds(seeds[0]) if by_seconds else _numbers(seeds[0])
    axes.plot(x, top, drawstyle='steps-post', linewidth=2, label=name, **_look(number))


def _look(number: int) -> dict[str, Any]:
  return {'color': COLORS[number % len(COLORS)], 'linestyle': _LINES[number // len(COLORS) % len(_LINES)]}


def legend_below(figure: Figure, *panels: Axes, columns: int = 5) -> None:
  """Adds a legend below panels, with each label once.

  Args:
    figure: the figure.
    *panels: the panels whose labels it has.
    columns: the largest number of columns (default 5).
  """
  handles = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels())}
  if handles:
    columns = min(columns, len(handles))
    figure.legend(handles.values(), handles, loc='outside lower center', ncols=columns, frameon=False, fontsize=9)


def rejection_plot(searches: Searches) -> Figure:
  """Plots the outcomes of evaluated candidates, and the reasons for rejecting graphs without an evaluation, as shares.

  Args:
    searches: the records of each search, of all stages, by the search's name.

  Returns:
    The figure, with two panels, the second only if graphs were rejected so, and a stacked bar for each search.
  """
  counts = {name: records_lib.counts_by_filter(records) for name, records in searches.items()}
  reasons = dict.fromkeys(reason for by_reason in counts.values() for reason in by_reason)
  figure = new_figure(11 if reasons else 6, 1.9 + 0.5 * len(searches))
  evaluated, *filtered = figure.subplots(1, 1 + bool(reasons), sharey=True, squeeze=False).ravel()
  outcomes = {name: records_lib.counts_by_outcome(records) for name, records in searches.items()}
  colors = {o: color for o, color in zip(OUTCOMES, _OUTCOME_COLORS) if any(o in counts for counts in outcomes.values())}
  _stack(evaluated, outcomes, colors, 'share of the candidates evaluated')
  for axes in filtered:
    _stack(axes, counts, dict(zip(reasons, COLORS[::-1])), 'share of the draws rejected without an evaluation')
  evaluated.invert_yaxis()  # the first search above
  return figure


def _stack(axes: Axes, counts: Mapping[str, Mapping[str, int]], colors: Mapping[str, str], label: str) -> None:
  """Draws a stacked bar of shares for each search, with the counts inside where there is room."""
  style(axes)
  axes.grid(axis='y', visible=False)
  names, left = list(counts), np.zeros(len(counts))
  totals = np.maximum([sum(by_reason.values()) for by_reason in counts.values()], 1)
  for reason, color in colors.items():
    number = np.array([by_reason.get(reason, 0) for by_reason in counts.values()])
    axes.barh(names, number / totals, left=left, color=color, height=.7, label=reason)
    for y, (count, share, start) in enumerate(zip(number, number / totals, left)):
      if share > .05:
        axes.text(start + share / 2, y, f'{count:,}', ha='center', va='center', fontsize=8.5, color=INK,
                  bbox={'facecolor': 'white', 'alpha': .65, 'edgecolor': 'none', 'pad': 1.2})
    left += number / totals
  axes.set_xlim(0, 1)
  axes.xaxis.set_major_formatter(percent)
  axes.set_xlabel(label, color=INK)
  axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8.5)


def correlation_plot(searches: Searches) -> Figure:
  """Plots mean scores after the longer training of the re-ranking against mean scores on the proxy task.

  Args:
    searches: the records of each search, of all stages, by the search's name. One of them has re-ranked a layer.

  Returns:
    The figure, with a panel for each search that has.
  """
  scores = {name: comparison.proxy_and_long_scores(records) for name, records in searches.items()}
  scores = {name: pairs for name, pairs in scores.items() if pairs}
  known = dict.fromkeys(label for pairs in scores.values() for label in pairs if not label.startswith('candidate '))
  markers = dict(zip(known, itertools.cycle(MARKERS)))  # the same in all panels
  figure, panels = _panels(len(scores), 3.6, 3.4)
  for number, (axes, (name, pairs)) in enumerate(zip(panels, scores.items())):
    style(axes)
    rho = comparison.rank_correlation(list(pairs.values()))
    title = name if rho is None else f'{name}\nrank correlation {rho:.2f}, n = {len(pairs)}'
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel('proxy task', color=INK)
    axes.set_ylabel('longer training', color=INK)
    for axis in (axes.xaxis, axes.yaxis):
      axis.set_major_formatter(percent)
      axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    found = [point for label, point in pairs.items() if label.startswith('candidate ')]
    if found:
      axes.plot(*zip(*found), 'o', color=COLORS[number % len(COLORS)], markeredgecolor=INK, markeredgewidth=.7,
                label='candidates')
    references = {label: point for label, point in pairs.items() if not label.startswith('candidate ')}
    for label, point in references.items():
      axes.plot(*point, markers[label], color='white', markeredgecolor=INK, markersize=8, linestyle='none', label=label)
    axes.margins(.15)
    leave_out_outliers(axes, found, both=True, kept=list(references.values()))
  legend_below(figure, *panels)
  return figure


def _panels(number: int, width: float, height: float, columns: int = 3) -> tuple[Figure, list[Axes]]:
  """Returns a figure and its panels, at most `columns` in a row; sizes are in inches a panel."""
  columns = min(columns, number)
  rows = -(-number // columns)
  figure = new_figure(max(width * columns, 6), height * rows + .6)
  panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
  for unused in panels[number:]:
    unused.set_visible(False)
  return figure, panels[:number]


def primitives_plot(searches: Searches, configs: Mapping[str, Mapping[str, Any]]) -> Figure:
  """Plots how often each primitive and index set occurs in accepted candidates and in random graphs.

  Copies of a candidate and nodes that the output does not depend on are left out. The random graphs are those that pass
  the static filter.

  Args:
    searches: the records of each search, of all stages, by the search's name. One of them has accepted a candidate.
    configs: the configuration of each search, JSON data, by the search's name; the random graphs are drawn from its
      search space.

  Returns:
    The figure, with a panel for each search that has.

  Raises:
    ArgumentError: if the search space of a configuration is not valid.
  """
  survivors = {name: comparison.survivors(records) for name, records in searches.items()}
  survivors = {name: graphs for name, graphs in survivors.items() if graphs}
  figure, panels = _panels(len(survivors), 4.4, 5.2)
  for number, (axes, (name, graphs)) in enumerate(zip(panels, survivors.items())):
    _plot_shares(axes, comparison.node_shares(graphs), comparison.node_shares(comparison.chance_graphs(configs[name])),
                 COLORS[number % len(COLORS)])
    axes.set_title(f'{name}: {len(graphs)} survivors', fontsize=10, color=INK)
  legend_below(figure, panels[0])
  return figure


def _plot_shares(axes: Axes, found: Mapping[str, float], chance: Mapping[str, float], color: str) -> None:
  """Draws bars for the shares found and marks for those by chance: frequent primitives first, index sets last."""
  style(axes)
  axes.grid(axis='y', visible=False)
  named = {BATCH: 'batch', LAYER: 'layer', INSTANCE: 'instance', GROUP: 'group'}
  names = sorted(set(found) | set(chance), key=lambda n: (n in index_sets(), -found.get(n, 0), -chance.get(n, 0), n))
  heights = [y + (0.6 if n in index_sets() else 0) for y, n in enumerate(names)]
  axes.barh(heights, [found.get(n, 0) for n in names], color=color, alpha=.75, height=.7, label='survivors')
  axes.plot([chance.get(n, 0) for n in names], heights, '|', color=_CHANCE, markersize=13, markeredgewidth=2.2,
            label='random graphs that pass the static filter')
  axes.set_yticks(heights, [f'{n} ({named[n]})' if n in named else n.replace('_', ' ') for n in names])
  axes.invert_yaxis()
  axes.xaxis.set_major_formatter(percent)
  axes.set_xlabel('share of the nodes', color=INK)
