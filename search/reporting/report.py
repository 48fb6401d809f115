"""The report of a search: its final ranking, the layers found, and how the candidates ended (paper section 6).

Order and choice of layers follow validation accuracy; test accuracies are reported and decide nothing.
"""

import collections
from collections.abc import Iterable
from collections.abc import Sequence
import datetime
import math
import pathlib
import re
import statistics

from rich import box
from rich.table import Table
from rich.text import Text

from evonorm_tf.output import markdown
from evonorm_tf.output.figures import figure_to_png
from evonorm_tf.output.markdown import NO_VALUE
from evonorm_tf.output.markdown import one_line
from evonorm_tf.output.model_dir import replacing
from search.graphs.drawing import save_drawing
from search.graphs.equation import equation_latex
from search.graphs.equation import equation_text
from search.journal import records as records_lib
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import OUTCOMES
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.reporting.plots import pareto_scatter
from search.reporting.plots import progress_plot

FOUND = 3  # layers that are reported, as in the paper
_NUMBER = re.compile(r'\b\d[\d.]*(e[+-]?\d+)?')
_AFFINE_NOTE = ('In BN-ReLU, BN-SiLU, GN-ReLU and GN-SiLU, v1 and v0 stand for the gain and bias of the normalization; '
                'γ and β stay 1 and 0.')


def ranking(records: Sequence[dict]) -> list[dict]:
  """The records of the re-ranking, the best mean validation score first, what failed there last.

  As long as nothing has been re-ranked, the candidates and references of measured scores, by these, in the proxy task.
  """
  entries = records_lib.of_stage(records, RERANKING) or (
      records_lib.accepted(records, REFERENCE) + records_lib.measured(records))
  return sorted(entries, key=lambda r: -records_lib.mean_score(r) if r['outcome'] == ACCEPTED else math.inf)


def found_layers(records: Sequence[dict], found: int = FOUND) -> list[dict]:
  """The `found` best candidates of the ranking that did not fail in it."""
  return [r for r in ranking(records) if records_lib.is_found(r) and r['outcome'] == ACCEPTED][:found]


def final_table(records: Sequence[dict], found: int = FOUND, test_images: int | None = None,
                steps: int | None = None) -> Table:
  """The best layers found, beside the references: equations and accuracies in %.

  Args:
    records: of all stages.
    found: how many of the candidates are shown; those that failed in the re-ranking are shown too.
    test_images: the number of test images, for the caption.
    steps: training steps of the re-ranking, for the caption.

  Returns:
    A table for the terminal, in the order of the ranking.
  """
  rows = _rows(records, found)
  layer, _, *titles = header = _header(rows)
  table = Table(title='Layers found, beside the references', caption=_caption(records, test_images, steps),
                title_style='bold', caption_style='dim', caption_justify='left', box=box.HORIZONTALS, pad_edge=False,
                show_lines=True)
  table.add_column(layer, overflow='fold')
  for title in titles:  # in narrow columns, so that the equations get most of the terminal's width
    table.add_column(title.replace('_', '\n').replace(' ', '\n'), justify='right')
  for record in rows:
    name, origin, *scores = _cells(record, header)
    style = 'bold green' if records_lib.is_found(record) else 'bold'
    # Not a string: rich would take the `[b,w,h]` of an equation for markup.
    cell = Text.assemble((name, style), '\n'.join([f' ({origin})', *_explanations(record)]))
    table.add_row(cell, *scores)
  return table


def write_report(records: Sequence[dict], model_dir, found: int = FOUND, test_images: int | None = None,
                 steps: int | None = None) -> pathlib.Path:
  """Writes `report.md`, its plots, and drawings and JSON files of the layers found, to `model_dir`/report.

  The files depend on the arguments alone. Each is complete at any time, for a new one replaces the old in one step.

  Args:
    records: of all stages; may be empty.
    model_dir: the search's folder.
    found: how many layers are reported.
    test_images: the number of test images.
    steps: training steps of the re-ranking.

  Returns:
    The path of `report.md`.
  """
  folder = pathlib.Path(model_dir) / 'report'
  folder.mkdir(parents=True, exist_ok=True)
  for name, plot in (('progress', progress_plot), ('pareto', pareto_scatter)):
    with replacing(folder / f'{name}.png') as path:
      path.write_bytes(figure_to_png(plot(records)))
  layers = found_layers(records, found)
  for number, record in enumerate(layers, 1):
    graph = records_lib.layer_graph(record).without_dead_nodes()
    with replacing(folder / f'layer_{number}.json') as path:
      graph.save(path)
    with replacing(folder / f'layer_{number}.png') as path:
      save_drawing(graph, path, records_lib.name(record), record['scores'])
  with replacing(folder / 'report.md') as path:
    path.write_text('\n\n'.join(_sections(records, found, test_images, steps)) + '\n', encoding='utf-8')
  kept = {f'layer_{number + 1}' for number in range(len(layers))}
  for stale in folder.glob('layer_*'):  # of an earlier report of more layers
    if stale.stem not in kept:
      stale.unlink()
  return folder / 'report.md'


def _percent(score: float | None) -> str:
  return NO_VALUE if score is None else f'{100 * score:.1f}'


def _rows(records: Sequence[dict], found: int) -> list[dict]:
  """What the final table shows: the best candidates, the references, and what failed."""
  shown = {records_lib.name(r) for r in found_layers(records, found)}
  return [r for r in ranking(records)
          if not records_lib.is_found(r) or r['outcome'] != ACCEPTED or records_lib.name(r) in shown]


def _header(rows: Sequence[dict]) -> list[str]:
  return ['layer', 'origin', *records_lib.architectures(rows), 'mean', 'validation mean']


def _cells(record: dict, header: Sequence[str]) -> list[str]:
  """The cells under `header`."""
  test = record.get('test_scores') or {}
  scores = [test.get(architecture) for architecture in header[2:-2]]
  scores.append(records_lib.mean_score(record, 'test_scores') if test else None)
  scores.append(records_lib.mean_score(record) if record['scores'] else None)
  origin = 'found' if records_lib.is_found(record) else 'reference'
  return [records_lib.name(record), origin, *map(_percent, scores)]


def _explanations(record: dict) -> list[str]:
  """The equation, where there is a layer graph, and why the layer failed, if it did."""
  graph = records_lib.layer_graph(record)
  lines = [] if graph is None else [equation_text(graph)]
  return lines if record['outcome'] == ACCEPTED else lines + [f'{record["outcome"]}: {one_line(record["detail"])}']


def _caption(records: Sequence[dict], test_images: int | None, steps: int | None) -> str:
  if not records_lib.of_stage(records, RERANKING):
    return 'Not re-ranked: no test accuracies; mean validation accuracies of the search itself, %.'
  images = '' if test_images is None else f' on {test_images:,} images'
  training = '' if steps is None else f' after {steps:,} training steps'
  return (f'Test accuracies{images}{training}, %. Choice and order of the layers follow the validation mean, which no '
          'test image enters.')


def _sections(records, found, test_images, steps) -> list[str]:
  """The parts of the report, Markdown."""
  rows = _rows(records, found)
  table = [_cells(record, _header(rows)) for record in rows]
  failures = [f'- {records_lib.name(r)}: {r["outcome"]}: {one_line(r["detail"])}'
              for r in rows if r['outcome'] != ACCEPTED]
  return [
      '# Search for norm-activation layers', _overview(records),
      '## Ranking', markdown.table(_header(rows), table), _caption(records, test_images, steps),
      *(['Failed in the re-ranking:', '\n'.join(failures)] if failures else []),
      '## Layers found', *_found_sections(records, found),
      '## References', *_reference_sections(rows),
      '## Progress', '![Mean scores and outcomes against candidates evaluated](progress.png)',
      '![Scores of the candidates and their Pareto frontier](pareto.png)',
      '## Evaluations', markdown.table(*_outcome_table(records)),
      '## Static filter', _filter_text(records),
      markdown.table(['reason', 'draws'], list(records_lib.counts_by_filter(records).items())),
      '## Why candidates were not accepted',
      markdown.table(['outcome', 'candidates', 'for instance'], _reasons(records)),
  ]


def _overview(records: Sequence[dict]) -> str:
  evaluated = records_lib.evaluated(records)
  copies, stopped = len(records_lib.copies(records)), len(records_lib.stopped(records))
  reranked = records_lib.of_stage(records, RERANKING)
  found = sum(map(records_lib.is_found, reranked))
  seconds = datetime.timedelta(seconds=round(records[-1]['elapsed'] if records else 0))
  references = [records_lib.name(r) for r in records_lib.of_stage(records, REFERENCE)]
  return '\n'.join([
      f'- Evolution: {len(evaluated)} candidates evaluated, {len(records_lib.accepted(evaluated))} accepted',
      *([f'- Equivalent to an evaluated candidate, whose outcome they took: {copies}'] if copies else []),
      *([f'- Accepted, but stopped at a rung of successive halving: {stopped}; their projected scores count in '
         'tournaments, not here'] if stopped else []),
      f'- Architectures: {", ".join(records_lib.architectures(records)) or NO_VALUE}',
      f'- References: {", ".join(references) or NO_VALUE}',
      f'- Re-ranking: {found} candidates and {len(reranked) - found} references',
      f'- Run time: {seconds}'])


def _found_sections(records: Sequence[dict], found: int) -> Iterable[str]:
  for number, record in enumerate(found_layers(records, found), 1):
    name = records_lib.name(record)
    yield f'### {number}. {name[0].upper()}{name[1:]}'
    yield _equations(record)
    yield f'As a layer graph, for `get_norm_act`: [layer_{number}.json](layer_{number}.json)'
    yield f'![Layer graph of {name}](layer_{number}.png)'


def _reference_sections(rows: Sequence[dict]) -> Iterable[str]:
  references = [r for r in rows if not records_lib.is_found(r)]
  known = [r for r in references if records_lib.layer_graph(r)]
  if known:
    yield _AFFINE_NOTE
  for record in known:
    yield f'### {records_lib.name(record)}'
    yield _equations(record)
  if len(known) < len(references):
    yield 'No layer graphs: ' + ', '.join(records_lib.name(r) for r in references if r not in known) + '.'


def _equations(record: dict) -> str:
  """The equation as text and as LaTeX, in fenced blocks, where Markdown leaves backslashes and underscores alone."""
  graph = records_lib.layer_graph(record)
  latex = equation_latex(graph)
  if '\n' in latex:
    latex = f'\\begin{{gathered}}\n{latex}\n\\end{{gathered}}'
  return f'```text\n{equation_text(graph)}\n```\n\n```math\n{latex}\n```'


def _outcome_table(records: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
  """Header and rows: by outcome, how many candidates, and the time that one took."""
  counts, rows = records_lib.counts_by_outcome(records), []
  evaluated = records_lib.evaluated(records)
  for outcome in OUTCOMES:
    timed = [r for r in evaluated if r['outcome'] == outcome and r['seconds']]
    totals = [records_lib.seconds(r) for r in timed]
    trace = sum(r['seconds'].get('trace', 0) for r in timed)
    rows.append([outcome, counts[outcome], _share(counts[outcome], len(evaluated)),
                 f'{statistics.median(totals):.1f}' if totals else NO_VALUE, _share(trace, sum(totals))])
  return ['outcome', 'candidates', 'share', 'median seconds', 'of which tracing'], rows


def _share(part: float, whole: float) -> str:
  return f'{100 * part / whole:.1f}%' if whole else NO_VALUE


def _filter_text(records: Sequence[dict]) -> str:
  filtered = sum(records_lib.counts_by_filter(records).values())
  return (f'{filtered} draws were rejected without evaluation, '
          f'{100 * records_lib.filtered_share(records):.1f}% of all.')


def _reasons(records: Sequence[dict], top: int = 5) -> list[tuple[str, int, str]]:
  """The most frequent reasons: outcome, count, and a record's words. Reasons that differ in numbers alone are one."""
  groups = collections.defaultdict(list)
  for record in records_lib.evaluated(records):
    if record['outcome'] != ACCEPTED:
      groups[record['outcome'], _NUMBER.sub('#', record['detail'])].append(record['detail'])
  ordered = sorted(groups.items(), key=lambda item: -len(item[1]))  # the first met first among equals
  return [(outcome, len(details), details[0]) for (outcome, _), details in ordered[:top]]
