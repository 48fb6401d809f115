"""What a study shows of its searches: a row of figures for each, and curves of the ten best with bands over seeds."""

from collections.abc import Mapping
from collections.abc import Sequence
import heapq
import pathlib
import statistics

import numpy as np

from benchmarks.fidelity.runs import CHANCE
from benchmarks.studies.start_functions import by_function
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import percent
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.figures import style
from search.journal import records as records_lib
from search.journal.record import Record
from search.journal.records import TOP
from search.reporting.comparison import core_seconds
from search.reporting.comparison_plots import COLORS
from search.reporting.plots import draw_references
from search.reporting.seed_bands import draw_band

FIELDS = ('setting', 'seed', 'evaluated', 'accepted', 'random_evaluated', 'random_accepted', 'core_seconds', 'best',
          'ten_best', 'ten_best_at_equal_core_seconds', 'minus_random', 'candidate_of_tenth', 'core_seconds_of_tenth',
          'functions', 'functions_of_ten_best', 'ten_best_functions')
RANDOM = 'random'  # the setting with which others are compared
Searches = Mapping[tuple[str, str], Sequence[Record]]  # the records by setting and seed


def top_curve(records: Sequence[Record]) -> np.ndarray:
  """Returns the mean score of the ten best before the first candidate and after each, `[candidates evaluated + 1]`.

  Places among the ten that no accepted candidate has taken count as chance, so that a search in which few candidates
  are accepted has a curve, too.

  Args:
    records: the search's records.
  """
  top, means = [CHANCE] * TOP, [CHANCE]
  for record in records_lib.evaluated(records):
    if record.is_measured:
      heapq.heappushpop(top, record.mean_score)
    means.append(statistics.fmean(top))
  return np.array(means)


def rows(searches: Searches) -> list[dict[str, object]]:
  """Returns the figures of searches, by the names in `FIELDS`; empty where there is none.

  `random_evaluated` and `random_accepted` are of candidates without a parent. `ten_best` is as in `top_curve`; the next
  figure is the same at the core-seconds at which the shortest search ends, since equal times are not equal
  core-seconds: a search also waits for its proposals. `minus_random` is its difference from that of random search with
  the same seed. `candidate_of_tenth` is the number of candidates after which ten were accepted. `functions` is the
  number of different functions where training begins among the accepted layers, `functions_of_ten_best` that among the
  ten best; `ten_best_functions` is as `ten_best`, of functions, each with the mean score of its layers, so that the
  luckiest of many forms of one layer does not count.

  Args:
    searches: the searches.
  """
  ends = [core_seconds(records)[-1] for records in searches.values() if records_lib.evaluated(records)]
  equal = {key: _top_at(records, min(ends, default=0.)) for key, records in searches.items()}
  return [_row(setting, seed, records, equal[setting, seed], equal.get((RANDOM, seed)))
          for (setting, seed), records in searches.items()]


def _row(setting: str, seed: str, records: Sequence[Record], equal: float, random: float | None) -> dict[str, object]:
  evaluated, best, seconds = records_lib.evaluated(records), records_lib.best(records), core_seconds(records)
  accepted = records_lib.measured(evaluated)
  is_random = [r for r in evaluated if r.parent is None]
  tenth = next((i for i, number in enumerate(np.cumsum([r.is_measured for r in evaluated])) if number == TOP), None)
  functions = list(by_function(records).values())
  ten_best = sorted(accepted, key=lambda r: -r.mean_score)[:TOP]
  means = sorted(statistics.fmean(r.mean_score for r in layers) for layers in functions)
  values = (setting, seed, len(evaluated), len(accepted), len(is_random), len(records_lib.measured(is_random)),
            f'{seconds[-1]:.0f}' if evaluated else 0, f'{best.mean_score:.4f}' if best else '',
            f'{top_curve(records)[-1]:.4f}', f'{equal:.4f}', '' if random is None else f'{equal - random:+.4f}',
            '' if tenth is None else tenth + 1, '' if tenth is None else f'{seconds[tenth]:.0f}', len(functions),
            sum(any(r in layers for r in ten_best) for layers in functions),
            f'{statistics.fmean(([CHANCE] * TOP + means)[-TOP:]):.4f}')
  return dict(zip(FIELDS, values, strict=True))


def _top_at(records: Sequence[Record], end: float) -> float:
  """Returns the mean score of the ten best after so many core-seconds."""
  return float(top_curve(records)[np.searchsorted(core_seconds(records), end, side='right')])


def draw(searches: Mapping[str, Sequence[Sequence[Record]]], path: pathlib.Path, references: Sequence[Record] = (),
         initial: int = 0) -> None:
  """Draws the bands of all settings against candidates and against core-seconds.

  Args:
    searches: the records of each seed's search, by the setting's name.
    path: the PNG file; an SVG file stands beside it.
    references: known layers' records, with scores on the same task, for dashed lines (default: none).
    initial: the number of random graphs with which evolution begins, for a mark (default 0, for none).
  """
  figure = new_figure(12, 4.6)
  panels = figure.subplots(1, 2, sharey=True)
  for axes, by_seconds in zip(panels, (False, True)):
    style(axes)
    axes.set_xlabel('core-seconds' if by_seconds else 'candidates evaluated')
    ends = [draw_band(axes, seeds, by_seconds, f'{setting} ({len(seeds)} seed{"s" if len(seeds) > 1 else ""})', color,
                      top_curve)
            for color, (setting, seeds) in zip(COLORS, searches.items())]
    axes.set_xlim(0, min(ends) if by_seconds else max(ends))  # equal core-seconds
  panels[0].set_ylabel(f'mean validation accuracy of the {TOP} best')
  panels[0].yaxis.set_major_formatter(percent)
  panels[0].legend(loc='lower right', fontsize=9)
  if initial:
    panels[0].axvline(initial, color='gray', linewidth=1., linestyle=':')
    panels[0].annotate('mutants from here on', (initial, 1), (4, -4), xycoords=('data', 'axes fraction'),
                       textcoords='offset points', fontsize=8, color='gray', va='top')
  draw_references(panels[1], references)
  save_figure(figure, path)
