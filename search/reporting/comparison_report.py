"""The report that compares searches: report.md and its plots in a folder, and the same content for TensorBoard."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import errno
import os
import pathlib
import shutil
from typing import Any

from matplotlib.figure import Figure
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import reason_with_space
from evonorm_tf.output import markdown
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.markdown import NO_VALUE
from evonorm_tf.output.model_dir import check_folder
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.object_folder import is_url
from search.journal import records as records_lib
from search.journal.outcomes import ACCEPTED
from search.journal.record import Record
from search.journal.records import TOP
from search.journal.saved_search import JOURNAL
from search.journal.saved_search import load_search
from search.journal.saved_search import SavedSearch
from search.reporting import comparison
from search.reporting import comparison_plots as plots
from search.reporting.ancestry_plot import ancestry_plot
from search.reporting.layer_views import equation_of
from search.reporting.plots import curves
from search.reporting.plots import NOTHING
from search.reporting.seed_bands import groups_of_seeds
from search.reporting.seed_bands import mean_and_error
from search.reporting.summaries import image

PAGE = 'report.md'
_NOTHING = f'{NOTHING.capitalize()}.'
_EFFICIENCY_NOTE = (
    'Core-seconds are the time that the evaluations took, of one core a worker. Saved were those of draws that compute '
    "an earlier candidate's function, and were redrawn or took its outcome; each counts as the median evaluation. "
    'Mean and best are of measured scores: those that successive halving projects count in tournaments alone.')


def compare_searches(model_dirs: Sequence[str], output: str | None = None) -> pathlib.Path:
  """Writes a report that compares searches, which may still be running.

  Args:
    model_dirs: the folders of the searches, or their URLs in object stores, at least one, all different.
    output: the folder for the report, its plots and TensorBoard events, created if necessary; None (default) for
      'analysis' in the first folder of `model_dirs`, which then must be no URL.

  Returns:
    The path of report.md.

  Raises:
    ModelDirError: if a folder of `model_dirs` holds no search, a damaged one, or one that has evaluated no candidate.
      Nothing is written then.
    ArgumentError: if `model_dirs` is empty or names a folder twice, the search space in a journal is not valid, or
      `output` cannot be written or is the folder of a search.
  """
  if not output and any(map(is_url, model_dirs[:1])):
    raise ArgumentError(f'`output` must be given, since the first of `model_dirs` is a URL: {model_dirs[0]}.')
  searches = _load(model_dirs)
  if output and is_url(output):
    raise ArgumentError(f'`output` must be a folder of this machine, received {output!r}.')
  folder = pathlib.Path(output) if output else pathlib.Path(model_dirs[0]) / 'analysis'
  check_folder(folder, 'output')
  if (folder / JOURNAL).exists():
    raise ArgumentError(f"`output` must be no folder of a search, whose TensorBoard events would be replaced; received "
                        f"'{folder}'. A folder in it will do.")
  figures = _figures(searches)
  sections = _sections(searches, figures)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
      save_figure(figure, folder / f'{name}.png')
    with replacing(folder / PAGE) as path:
      path.write_text('\n\n'.join(part for parts in sections.values() for part in parts) + '\n', encoding='utf-8')
    _write_tensorboard(folder / 'tensorboard', searches, figures, sections)
  except OSError as e:
    reason = reason_with_space(e.errno or errno.EIO, folder)
    raise ArgumentError(f'`output` {str(folder)!r} cannot be written: {reason}.') from e
  return folder / PAGE


def _load(model_dirs: Sequence[str]) -> dict[str, SavedSearch]:
  """Reads the searches; returns them by the name of the folder, or by its path where two folders have the same name."""
  if not model_dirs:
    raise ArgumentError('`model_dirs` must hold at least one folder, received none.')
  places = [m.rstrip('/') if is_url(m) else str(pathlib.Path(m).resolve()) for m in map(os.fspath, model_dirs)]
  if len(set(places)) < len(places):
    raise ArgumentError(f'`model_dirs` must be different folders, received {list(map(str, model_dirs))}.')
  last = [place.rpartition('/')[2] for place in places]
  searches = {}
  for model_dir, name in zip(model_dirs, last):
    search = load_search(model_dir)
    if not records_lib.evaluated(search.records):
      raise ModelDirError(f'{model_dir}: the search has evaluated no candidate yet; there is nothing to compare.')
    searches[name if last.count(name) == 1 else str(model_dir)] = search
  return searches


def _figures(searches: dict[str, SavedSearch]) -> dict[str, Figure]:
  """Returns the plots that have something to show, by the name of their file."""
  records = {name: search.records for name, search in searches.items()}
  configs = {name: search.config for name, search in searches.items()}
  figures = {'rejections': plots.rejection_plot(records)}
  if any(records_lib.top_mean(of_search) is not None for of_search in records.values()):
    figures['efficiency'] = plots.efficiency_plot(records, groups_of_seeds(configs))
  if any(map(comparison.proxy_and_long_scores, records.values())):
    figures['correlation'] = plots.correlation_plot(records)
  if any(map(comparison.survivors, records.values())):
    figures['primitives'] = plots.primitives_plot(records, configs)
  return figures | {f'ancestry_{number}': ancestry_plot(of_search, name)
                    for number, (name, of_search) in enumerate(records.items(), 1) if records_lib.best(of_search)}


def _sections(searches: dict[str, SavedSearch], figures: Collection[str]) -> dict[str, list[str]]:
  """Returns the sections of the report, each a list of Markdown paragraphs, by their name in TensorBoard."""
  records = {name: search.records for name, search in searches.items()}

  def picture(name: str, text: str, instead: str) -> str:
    return f'![{text}]({name}.png)' if name in figures else instead
  return {
      'searches': ['# Comparison of searches', *_settings(searches)],
      'efficiency': ['## Best candidates', *_groups(searches), _efficiency(records), _EFFICIENCY_NOTE,
                     picture('efficiency', 'Mean of the best against candidates and core-seconds',
                             f'No search has {TOP} accepted candidates yet.')],
      'rejections': ['## How draws and candidates ended', _counts(records), '![Outcomes by search](rejections.png)'],
      'correlation': ['## Proxy task and longer training', *_correlations(records),
                      picture('correlation', 'Longer training against proxy task', 'Nothing has been re-ranked yet.')],
      'primitives': ['## Primitives in the survivors', *_primitives(searches),
                     picture('primitives', 'Shares of nodes', _NOTHING)],
      'ancestry': ['## Ancestry of the best candidates', *(
          part for number, name in enumerate(records, 1) for part in _ancestry(name, records[name], number))],
  }


def _row_table(title: str, searches: Mapping[str, Any], rows: Mapping[str, Callable]) -> str:
  """Returns a table with a column for each search; a row's function in `rows` computes its cell from the search."""
  cells = [[row, *map(function, searches.values())] for row, function in rows.items()]
  return markdown.table([title, *searches], cells)


def _settings(searches: dict[str, SavedSearch]) -> list[str]:
  differing = comparison.differing_settings([search.config for search in searches.values()])
  facts = _row_table('search', searches, {
      'folder': lambda search: search.model_dir,
      'selection': lambda search: comparison.strategy_name(search.config),
      'rejection': lambda search: comparison.rejection_name(search.config)})
  if len(searches) == 1:
    return [facts]
  return [facts, 'Settings in which they differ:' if differing else 'All other settings are the same.',
          *([markdown.table(['setting', *searches], [[f'`{name}`', *map(_value, values)]
                                                     for name, values in differing.items()])] if differing else [])]


def _value(value: Any, form: str = '') -> str:
  return NO_VALUE if value is None else f'{value:{form}}'


def _percent(score: float | None) -> str:
  return NO_VALUE if score is None else f'{100 * score:.1f}%'


def _efficiency(records: plots.Searches) -> str:
  def best(records):
    record = records_lib.best(records)
    return NO_VALUE if record is None else f'{record.name}, {_percent(record.mean_score)}'
  return _row_table('search', records, {
      'candidates evaluated': lambda r: len(records_lib.evaluated(r)),
      'accepted': lambda r: records_lib.counts_by_outcome(r)[ACCEPTED],
      **({'of these stopped at a rung': lambda r: len(records_lib.stopped(r))}
         if any(map(records_lib.stopped, records.values())) else {}),
      'core-seconds': lambda r: f'{comparison.core_seconds(r)[-1]:,.0f}',
      'evaluations saved': lambda r: f'{comparison.saved_evaluations(r):,}',
      'core-seconds so saved': lambda r: _value(comparison.saved_core_seconds(r), ',.0f'),
      f'mean of the {TOP} best': lambda r: _percent(records_lib.top_mean(r)),
      'best': best})


def _groups(searches: dict[str, SavedSearch]) -> list[str]:
  """Returns a table of searches that differ in their seed alone; nothing if there are none."""
  groups = groups_of_seeds({name: search.config for name, search in searches.items()})
  if len(groups) == len(searches):
    return []
  rows = []
  for group, names in groups.items():
    of_seeds = [searches[name].records for name in names]
    best = [record.mean_score for records in of_seeds if (record := records_lib.best(records))]
    tops = [top for records in of_seeds if (top := records_lib.top_mean(records)) is not None]
    accepted = sum(records_lib.counts_by_outcome(records)[ACCEPTED] for records in of_seeds)
    rows.append([group, len(names), f'{accepted / len(names):.0f}', _mean(tops, len(names)), _mean(best, len(names))])
  return [markdown.table(['setting', 'seeds', 'accepted', f'mean of the {TOP} best', 'best'], rows),
          'Means over seeds, ± their standard error.']


def _mean(scores: Sequence[float], seeds: int) -> str:
  """Returns a mean over seeds as text; only where each seed has a score, and with an error from two seeds on."""
  if len(scores) < seeds:
    return NO_VALUE
  if seeds == 1:
    return _percent(scores[0])
  mean, error = mean_and_error(scores)
  return f'{100 * mean:.1f} ± {100 * error:.1f}%'


def _counts(records: plots.Searches) -> str:
  counts = {name: comparison.counts_by_reason(r) for name, r in records.items()}
  reasons = dict.fromkeys(reason for by_reason in counts.values() for reason in by_reason)
  return markdown.table(['draws', *counts], [[reason, *(f'{c.get(reason, 0):,}' for c in counts.values())]
                                             for reason in reasons])


def _correlations(records: plots.Searches) -> list[str]:
  rows = []
  for name, of_search in records.items():
    pairs = list(comparison.proxy_and_long_scores(of_search).values())
    rho = comparison.rank_correlation(pairs)
    rows.append([name, len(pairs), NO_VALUE if rho is None else f'{rho:.2f}'])
  return [markdown.table(['search', 'layers', "Spearman's rank correlation"], rows),
          'Of candidates and references that passed both. The candidates are the best of the proxy task: over so '
          'narrow a range of scores the correlation is lower than over all.']


def _primitives(searches: dict[str, SavedSearch]) -> list[str]:
  parts = []
  for name, search in searches.items():
    found = comparison.node_shares(comparison.survivors(search.records))
    chance = comparison.node_shares(comparison.chance_graphs(search.config))
    ratio = {n: found[n] / chance[n] for n in found if chance.get(n)}
    ordered = sorted(ratio, key=lambda n: (-ratio[n], n))
    parts.append(f'- {name}: more often than by chance: {_times(ordered[:3], ratio)}; less often: '
                 f'{_times(ordered[:-4:-1], ratio)}' if len(ordered) > 5 else f'- {name}: too few survivors')
  return ['\n'.join(parts), f'Chance is the share in {comparison.CHANCE_GRAPHS} random graphs of the same space that '
          'pass the static filter. Each graph counts the same; only nodes that its output depends on are counted.']


def _times(names: Sequence[str], ratio: dict[str, float]) -> str:
  return ', '.join(f'{n} (×{ratio[n]:.1f})' for n in names)


def _ancestry(name: str, records: Sequence[Record], number: int) -> list[str]:
  best = records_lib.best(records)
  if best is None:
    return [f'### {name}', _NOTHING]
  steps = comparison.ancestry(records, best)
  rows = [[step.record.name, step.mutation or 'the oldest on record',
           _percent(step.record.mean_score) + ' (projected)' * (not step.record.is_complete),
           NO_VALUE if step.effect is None else f'{100 * step.effect:+.1f}', len(step.children)] for step in steps]
  return [f'### {name}', markdown.table(['candidate', 'mutation', 'mean score', 'effect', 'children'], rows),
          f'```text\n{equation_of(best.layer_graph)}\n```', f'![Ancestry](ancestry_{number}.png)']


def _write_tensorboard(folder: pathlib.Path, searches: dict[str, SavedSearch], figures: dict[str, Figure],
                       sections: dict[str, list[str]]) -> None:
  """Writes curves, in a run for each search, and text and images, in another run; replaces earlier events."""
  shutil.rmtree(folder, ignore_errors=True)
  with tf.device('CPU:0'):
    for name, search in searches.items():
      with tf.summary.create_file_writer(str(folder / name.replace('/', '_'))).as_default(step=0):
        _write_curves(search.records)
    with tf.summary.create_file_writer(str(folder / 'comparison')).as_default(step=0):
      for name, figure in figures.items():
        tf.summary.image(name, image(figure))
      for name, parts in sections.items():
        tf.summary.text(f'report/{name}', '\n\n'.join(part for part in parts if not part.startswith('![')))


def _write_curves(records: Sequence[Record]) -> None:
  """Writes the mean of the ten best, once there are ten; the steps are candidates, or in the other core-seconds."""
  evaluated = records_lib.evaluated(records)
  measured = [i for i, r in enumerate(evaluated) if r.is_measured]
  top, seconds = curves(evaluated)[1], comparison.core_seconds(records)
  for i in measured[TOP - 1:]:
    tf.summary.scalar(f'top_{TOP}_mean/by_candidates', top[i], step=i + 1)
    tf.summary.scalar(f'top_{TOP}_mean/by_core_seconds', top[i], step=int(seconds[i]))
