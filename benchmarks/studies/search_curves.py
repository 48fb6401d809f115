"""What a study shows of its searches: a row of figures for each, and curves of the ten best with bands over seeds."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib

from matplotlib.axes import Axes
import numpy as np

from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.figures import style
from search.journal import records as records_lib
from search.journal.record import Record
from search.journal.records import TOP
from search.reporting.comparison import core_seconds
from search.reporting.comparison_plots import COLORS
from search.reporting.seed_bands import draw_band

FIELDS = ('setting', 'seed', 'evaluated', 'accepted', 'core_seconds', 'best', 'mean_of_ten_best',
          'mean_of_ten_best_at_equal_core_seconds')
Searches = Mapping[str, Sequence[Sequence[Record]]]  # the records of each seed, by the setting's name


def rows(searches: Mapping[tuple[str, str], Sequence[Record]]) -> list[dict[str, object]]:
  """Returns the figures of searches, by the names in `FIELDS`.

  Args:
    searches: the records, by setting and seed. The last figure is at the core-seconds at which the shortest ends: equal
      times are not equal core-seconds, since a search also waits for its proposals.
  """
  ends = [core_seconds(records)[-1] for records in searches.values() if records_lib.evaluated(records)]
  return [_row(*key, records, min(ends, default=0.)) for key, records in searches.items()]


def _row(setting: str, seed: str, records: Sequence[Record], end: float) -> dict[str, object]:
  evaluated, best = records_lib.evaluated(records), records_lib.best(records)
  top = records_lib.top_mean(evaluated)
  values = (setting, seed, len(evaluated), len(records_lib.accepted(evaluated)),
            f'{core_seconds(records)[-1]:.0f}' if evaluated else 0, f'{best.mean_score:.4f}' if best else '',
            '' if top is None else f'{top:.4f}', _top_at(records, end))
  return dict(zip(FIELDS, values, strict=True))


def _top_at(records: Sequence[Record], end: float) -> str:
  """Returns the mean score of the ten best after so many core-seconds, as text; empty without any."""
  number = np.searchsorted(core_seconds(records), end, side='right')
  top = records_lib.top_mean(records_lib.evaluated(records)[:number])
  return '' if top is None else f'{top:.4f}'


def draw(searches: Searches, path: pathlib.Path) -> None:
  """Draws the bands of all settings against candidates and against core-seconds.

  Args:
    searches: the searches that have ended.
    path: the PNG file; an SVG file stands beside it.
  """
  figure = new_figure(11, 4.6)
  panels = figure.subplots(1, 2, sharey=True)
  for axes, by_seconds in zip(panels, (False, True)):
    style(axes)
    axes.set_xlabel('core-seconds' if by_seconds else 'candidates evaluated')
    end = min(_draw_bands(axes, searches, by_seconds))
    axes.set_xlim(0, end)  # where all settings can be compared
  panels[0].set_ylabel(f'mean validation accuracy of the {TOP} best')
  panels[0].yaxis.set_major_formatter(percent)
  panels[1].legend(loc='lower right', fontsize=9)
  save_figure(figure, path)


def _draw_bands(axes: Axes, searches: Searches, by_seconds: bool) -> list[float]:
  """Draws a line and a band for each setting; returns where each ends."""
  return [draw_band(axes, seeds, by_seconds, f'{setting} ({len(seeds)} seed{"s" if len(seeds) > 1 else ""})', color)
          for color, (setting, seeds) in zip(COLORS, searches.items())]
