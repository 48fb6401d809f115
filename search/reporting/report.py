"""The report of a search: the final ranking, the layers found, and the outcomes of the candidates (as in the paper)."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import datetime
import os
import pathlib
import re
import statistics

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output import markdown
from evonorm_tf.output.figures import save_figure
from evonorm_tf.output.markdown import NO_VALUE
from evonorm_tf.output.model_dir import replacing
from search.graphs.equation import equation_latex
from search.graphs.equation import equation_text
from search.journal import records as records_lib
from search.journal.outcomes import KEPT
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.journal.stored_folder import LAYER_FILE
from search.reporting.layer_views import draw_layer
from search.reporting.layer_views import equation_of
from search.reporting.layer_views import latex_of
from search.reporting.layer_views import scores_of
from search.reporting.page import page
from search.reporting.plots import pareto_scatter
from search.reporting.plots import progress_plot
from search.reporting.ranked_layers import failure
from search.reporting.ranked_layers import FOUND
from search.reporting.ranked_layers import found_layers
from search.reporting.ranked_layers import known_text
from search.reporting.ranked_layers import table_caption
from search.reporting.ranked_layers import table_cells
from search.reporting.ranked_layers import table_rows

_OF_LAYER = re.compile(LAYER_FILE)
_NUMBER = re.compile(r'\b\d[\d.]*(e[+-]?\d+)?')
_AFFINE_NOTE = ('In BN-ReLU, BN-SiLU, GN-ReLU and GN-SiLU, v1 and v0 stand for the gain and bias of the normalization; '
                'γ and β stay 1 and 0.')


def write_report(records: Sequence[Record], model_dir: str | os.PathLike, found: int = FOUND,
                 test_images: int | None = None, steps: int | None = None) -> pathlib.Path:
  """Writes the report of a search to the folder `model_dir`/report.

  It is `report.md` with its plots, drawings and JSON files of the layers found, and `index.html`, one file for a
  browser, in which the layers can be sorted, filtered and pointed at.

  Each file is replaced atomically, so that none is ever incomplete. Layer files of an earlier report are deleted if
  this one has fewer layers.

  Args:
    records: the search's records of all stages, in the order of the journal; may be empty.
    model_dir: the search's folder; the folder `report` in it is created if necessary.
    found: the largest number of candidates to report (default 3, as in the paper).
    test_images: the number of test images, for the caption of the ranking; None (default) to leave it out.
    steps: the number of training steps in the re-ranking, for the same caption; None (default) to leave it out.

  Returns:
    The path of `report.md`.
  """
  folder = pathlib.Path(model_dir) / 'report'
  folder.mkdir(parents=True, exist_ok=True)
  save_figure(progress_plot(records), folder / 'progress.png')
  if _has_frontier(records):
    save_figure(pareto_scatter(records), folder / 'pareto.png')
  layers = found_layers(records, found)
  for number, record in enumerate(layers, 1):
    graph = record.layer_graph.without_dead_nodes()
    with replacing(folder / f'layer_{number}.json') as path:
      graph.save(path)
    save_figure(draw_layer(graph, record.name, scores_of(records, record)), folder / f'layer_{number}.png')
  overview = [line.removeprefix('- ') for line in _overview(records).splitlines()]
  with replacing(folder / 'index.html') as path:
    path.write_text(page(records, overview, table_caption(records, test_images, steps)), encoding='utf-8')
  with replacing(folder / 'report.md') as path:
    path.write_text('\n\n'.join(_sections(records, found, test_images, steps)) + '\n', encoding='utf-8')
  kept = {f'layer_{number + 1}' for number in range(len(layers))}
  for stale in folder.glob('layer_*'):  # from an earlier report of more layers
    if _OF_LAYER.fullmatch(stale.name) and stale.stem not in kept:
      stale.unlink()
  return folder / 'report.md'


def _has_frontier(records: Sequence[Record]) -> bool:
  """Returns whether the Pareto frontier is worth a picture: candidates with scores in several architectures."""
  return len(records_lib.architectures(records)) > 1 and bool(records_lib.measured(records))


def _sections(records: Sequence[Record], found: int, test_images: int | None, steps: int | None) -> list[str]:
  """Returns the paragraphs of the report, Markdown."""
  rows = table_rows(records, found)
  header, cells = table_cells(records, rows)
  failures = [f'- {r.name}: {markdown.literal(failure(r))}' for r in rows if not r.is_accepted]
  return [
      '# Search for norm-activation layers', _overview(records),
      'To sort, filter and point at: [index.html](index.html).',
      '## Ranking', markdown.table(header, cells), table_caption(records, test_images, steps),
      *(['Failed in the re-ranking:', '\n'.join(failures)] if failures else []),
      '## Layers found', *_found_sections(records, found),
      '## References', *_reference_sections(rows),
      '## Progress', '![Mean scores and outcomes against candidates evaluated](progress.png)',
      *(['![Scores of the candidates and their Pareto frontier](pareto.png)'] if _has_frontier(records) else []),
      '## Evaluations', markdown.table(*_outcome_table(records)),
      '## Static filter', _filter_text(records),
      markdown.table(['reason', 'draws'], list(records_lib.counts_by_filter(records).items())),
      '## Why candidates were not accepted',
      markdown.table(['outcome', 'candidates', 'for instance'], _reasons(records)),
  ]


def _overview(records: Sequence[Record]) -> str:
  evaluated = records_lib.evaluated(records)
  copies, stopped = len(records_lib.copies(records)), len(records_lib.stopped(records))
  reranked = records_lib.of_stage(records, RERANKING)
  seeds = len({r.seed for r in reranked})
  found, references_too = (len({r.name for r in reranked if r.is_found == is_found}) for is_found in (True, False))
  seconds = datetime.timedelta(seconds=round(records[-1].elapsed if records else 0))
  references = [r.name for r in records_lib.of_stage(records, REFERENCE)]
  return '\n'.join([
      f'- Evolution: {len(evaluated)} candidates evaluated, {len(records_lib.accepted(evaluated))} accepted',
      *([f'- Equivalent to an evaluated candidate, whose outcome they took: {copies}'] if copies else []),
      *([f'- Accepted, but stopped at a rung of successive halving: {stopped}; their projected scores count in '
         'tournaments, not here'] if stopped else []),
      f'- Architectures: {", ".join(records_lib.architectures(records)) or NO_VALUE}',
      f'- References: {", ".join(references) or NO_VALUE}',
      f'- Re-ranking: {found} candidates and {references_too} references{f", {seeds} seeds" if seeds > 1 else ""}',
      f'- Run time: {seconds}'])


def _found_sections(records: Sequence[Record], found: int) -> Iterable[str]:
  yield from _reference_costs(records)
  for number, record in enumerate(found_layers(records, found), 1):
    name = record.name
    yield f'### {number}. {name[0].upper()}{name[1:]}'
    graph = record.layer_graph
    yield _equations(graph, equation_of, latex_of)
    yield from known_text(graph)
    if equation_text(graph) != equation_of(graph):
      yield 'As drawn:'
      yield _equations(graph)
    yield from _cost(records, record)
    yield f'As a layer graph, for `get_norm_act`: [layer_{number}.json](layer_{number}.json)'
    yield f'![Layer graph of {name}](layer_{number}.png)'


def _cost(records: Sequence[Record], layer: Record) -> Iterable[str]:
  """Yields a sentence with a found layer's cost, which the evolution has measured; nothing without one."""
  for record in records_lib.accepted(records):
    if record.index == layer.index and record.cost:
      yield (f"A training step takes {_times(record.step_time)} times BN-ReLU's; the layer keeps "
             f'{_times(record.cost.get(KEPT))} times x for the backward pass.')


def _reference_costs(records: Sequence[Record]) -> Iterable[str]:
  """Yields a sentence with the costs of the references, to compare with; nothing without one."""
  costs = [f'{r.name} {_times(r.step_time)} and {_times(r.cost.get(KEPT))}'
           for r in records_lib.accepted(records, REFERENCE) if r.cost]
  if costs:
    yield f'Costs of the references, time of a training step and tensors kept in the same units: {", ".join(costs)}.'


def _times(ratio: float | None) -> str:
  return NO_VALUE if ratio is None else f'{ratio:.2f}'


def _reference_sections(rows: Sequence[Record]) -> Iterable[str]:
  references = [r for r in rows if not r.is_found]
  known = [r for r in references if r.layer_graph]
  if known:
    yield _AFFINE_NOTE
  for record in known:
    yield f'### {record.name}'
    yield _equations(record.layer_graph)
  if len(known) < len(references):
    yield 'No layer graphs: ' + ', '.join(r.name for r in references if r not in known) + '.'


def _equations(graph: LayerGraph, text: Callable[[LayerGraph], str] = equation_text,
               latex: Callable[[LayerGraph], str] = equation_latex) -> str:
  """Returns the equation as text and as LaTeX, in fenced blocks, since Markdown leaves their content as it is."""
  formula = latex(graph)
  if '\n' in formula:
    formula = f'\\begin{{gathered}}\n{formula}\n\\end{{gathered}}'
  return f'```text\n{text(graph)}\n```\n\n```math\n{formula}\n```'


def _outcome_table(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
  """Returns the header and the rows of a table: for each outcome, the number of candidates and their median time."""
  counts, rows = records_lib.counts_by_outcome(records), []
  evaluated = records_lib.evaluated(records)
  for outcome in counts:
    timed = [r for r in evaluated if r.outcome == outcome and r.seconds]
    totals = [r.total_seconds for r in timed]
    trace = sum(r.seconds.get('trace', 0) for r in timed)
    rows.append([outcome, counts[outcome], _share(counts[outcome], len(evaluated)),
                 f'{statistics.median(totals):.1f}' if totals else NO_VALUE, _share(trace, sum(totals))])
  return ['outcome', 'candidates', 'share', 'median seconds', 'of which tracing'], rows


def _share(part: float, whole: float) -> str:
  return f'{100 * part / whole:.1f}%' if whole else NO_VALUE


def _filter_text(records: Sequence[Record]) -> str:
  filtered = sum(records_lib.counts_by_filter(records).values())
  return (f'{filtered} draws were rejected without evaluation, '
          f'{100 * records_lib.filtered_share(records):.1f}% of all.')


def _reasons(records: Sequence[Record], top: int = 5) -> list[tuple[str, int, str]]:
  """Returns the most frequent reasons for rejection: outcome, count and an example.

  Reasons that differ only in numbers count as one.
  """
  groups = collections.defaultdict(list)
  for record in records_lib.evaluated(records):
    if not record.is_accepted:
      groups[record.outcome, _NUMBER.sub('#', record.detail)].append(record.detail)
  ordered = sorted(groups.items(), key=lambda item: -len(item[1]))  # stable among equals
  return [(outcome, len(details), details[0]) for (outcome, _), details in ordered[:top]]
