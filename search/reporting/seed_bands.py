"""Searches that differ in their seed alone, and the band of their scores."""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import os
import re
import statistics
from typing import Any

from matplotlib.axes import Axes
import numpy as np

from search.journal import records as records_lib
from search.journal.record import Record
from search.reporting.comparison import core_seconds
from search.reporting.plots import curves

_POINTS = 400  # of a band
_SEED = re.compile(r'[\s_.-]*(seed)?[\s_.-]*\d*$')  # at the end of a search's name


def groups_of_seeds(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
  """Returns searches that differ in their seed alone, by what their names have in common.

  Args:
    configs: the configuration of each search, JSON data, by the search's name.

  Returns:
    The names of each group's searches, in the order of `configs`. A group's name is the common beginning of theirs
    without a seed at its end, such as 'random' of 'random_seed_0' and 'random_seed_1', or all of them where they have
    none in common; a search without another of its kind is a group of its own, under its name.
  """
  groups: dict[str, list[str]] = collections.defaultdict(list)
  for name, config in configs.items():
    groups[_without_seed(config)].append(name)
  named: dict[str, list[str]] = {}
  for names in groups.values():
    seeds = {configs[name].get('seed') for name in names}
    if len(seeds) < len(names):  # the same search twice: other limits, perhaps
      named |= {name: [name] for name in names}
    else:
      common = _common_name(names)
      is_free = common not in named and (common not in configs or names == [common])
      named[common if is_free else ', '.join(names)] = names
  return named


def _without_seed(config: Mapping[str, Any]) -> str:
  """Returns a configuration as text, without its seed and what follows from it."""
  kept = {key: value for key, value in config.items() if key != 'seed'}
  if isinstance(kept.get('initial'), dict) and kept['initial'].get('kind') == 'known':
    kept['initial'] = 'known'  # its checksum is of random dead nodes, too
  return json.dumps(kept, sort_keys=True)


def _common_name(names: Sequence[str]) -> str:
  common = os.path.commonprefix(names)
  return names[0] if len(names) == 1 else _SEED.sub('', common) or ', '.join(names)


def top_curve(records: Sequence[Record]) -> np.ndarray:
  """Returns the mean score of the ten best before the first candidate and after each; NaN before the tenth.

  Args:
    records: the search's records.
  """
  return np.concatenate([[np.nan], curves(records_lib.evaluated(records))[1]])


def top_band(searches: Sequence[Sequence[Record]], by_seconds: bool,
             curve: Callable[[Sequence[Record]], np.ndarray] = top_curve) -> tuple[np.ndarray, np.ndarray]:
  """Returns x and the mean score of the ten best so far of each search there, up to where the shortest search ends.

  Args:
    searches: the records of searches that differ in their seed; each has evaluated a candidate.
    by_seconds: whether x is core-seconds; otherwise it is the number of candidates evaluated.
    curve: what returns a search's scores before its first candidate and after each (default: `top_curve`).

  Returns:
    x, `[points]`, and the scores, `[searches, points]`.
  """
  xs = [core_seconds(records) if by_seconds else np.arange(1, len(records_lib.evaluated(records)) + 1)
        for records in searches]
  x = np.linspace(0, min(each[-1] for each in xs), _POINTS)
  tops = [curve(records) for records in searches]
  return x, np.array([top[np.searchsorted(each, x, side='right')] for each, top in zip(xs, tops)])


def draw_band(axes: Axes, searches: Sequence[Sequence[Record]], by_seconds: bool, label: str, color: str,
              curve: Callable[[Sequence[Record]], np.ndarray] = top_curve, **look: Any) -> float:
  """Draws the mean of `top_band` as a line, with a band from the lowest to the highest; returns where it ends.

  Args:
    axes: the Matplotlib axes.
    searches: as for `top_band`.
    by_seconds: as for `top_band`.
    label: the line's label.
    color: the color of both.
    curve: as for `top_band`.
    **look: further properties of the line.
  """
  x, scores = top_band(searches, by_seconds, curve)
  known = ~np.isnan(scores).any(0)
  axes.plot(x[known], scores[:, known].mean(0), color=color, linewidth=2, label=label, **look)
  axes.fill_between(x[known], scores[:, known].min(0), scores[:, known].max(0), color=color, alpha=.2, linewidth=0)
  return x[-1]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
  """Returns the mean of values and its standard error, their deviation by the root of their number.

  Args:
    values: at least two values.
  """
  return statistics.fmean(values), statistics.stdev(values) / len(values)**.5
