"""The report of a search: the final ranking, the layers found, and the outcomes of the candidates (paper section 6).

Layers are chosen and ranked by validation accuracy. Test accuracies are reported but not used for this.
"""

import collections
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
import datetime
import math
import os
import pathlib
import re
import statistics

from rich import box
from rich.table import Table
from rich.text import Text

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output import markdown
from evonorm_tf.output.figures import figure_to_png
from evonorm_tf.output.markdown import NO_VALUE
from evonorm_tf.output.markdown import one_line
from evonorm_tf.output.model_dir import replacing
from search.equivalence.frozen_vectors import without_frozen_vectors
from search.equivalence.known_layers import known_layer
from search.graphs.affine_equation import affine_equation_latex
from search.graphs.affine_equation import affine_equation_text
from search.graphs.drawing import save_drawing
from search.graphs.equation import equation_latex
from search.graphs.equation import equation_text
from search.journal import records as records_lib
from search.journal.outcomes import KEPT
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.reporting.plots import pareto_scatter
from search.reporting.plots import progress_plot

FOUND = 3  # layers that are reported, as in the paper
NEAR = ' ≈'  # marks a mean that lies within one standard error of the first
_NUMBER = re.compile(r'\b\d[\d.]*(e[+-]?\d+)?')
_AFFINE_NOTE = ('In BN-ReLU, BN-SiLU, GN-ReLU and GN-SiLU, v1 and v0 stand for the gain and bias of the normalization; '
                'γ and β stay 1 and 0.')


def ranking(records: Sequence[Record]) -> list[Record]:
  """Returns the records of the re-ranking, sorted by mean validation score, the best first and failures last.

  A layer that was trained with several seeds has one record, of the means over them.

  Before the re-ranking has results, these are the records of the accepted references and of the candidates that were
  trained to the end on the proxy task.

  Args:
    records: the search's records of all stages.
  """
  entries = records_lib.over_seeds(records_lib.of_stage(records, RERANKING)) or (
      records_lib.accepted(records, REFERENCE) + records_lib.measured(records))
  return sorted(entries, key=lambda r: -r.mean_score if r.is_accepted else math.inf)


def found_layers(records: Sequence[Record], found: int = FOUND) -> list[Record]:
  """Returns the records of the best candidates in the ranking, the best first.

  Candidates that failed in the re-ranking are left out.

  Args:
    records: the search's records of all stages.
    found: the largest number of candidates to return (default 3, as in the paper).
  """
  return [r for r in ranking(records) if r.is_found and r.is_accepted][:found]


def final_table(records: Sequence[Record], found: int = FOUND, test_images: int | None = None,
                steps: int | None = None) -> Table:
  """Returns a table of the best candidates and the references, with their equations and their accuracies in percent.

  Args:
    records: the search's records of all stages.
    found: the largest number of candidates to show (default 3, as in the paper). Candidates that failed in the
      re-ranking are always shown in addition.
    test_images: the number of test images, for the caption; None (default) to leave it out.
    steps: the number of training steps in the re-ranking, for the caption; None (default) to leave it out.

  Returns:
    A table for the terminal, in the order of `ranking`.
  """
  rows = _rows(records, found)
  layer, _, *titles = header = _header(rows)
  table = Table(title='Layers found, beside the references', caption=_caption(records, test_images, steps),
                title_style='bold', caption_style='dim', caption_justify='left', box=box.HORIZONTALS, pad_edge=False,
                show_lines=True)
  table.add_column(layer, overflow='fold')
  for title in titles:  # in narrow columns, so that the equations get most of the terminal's width
    table.add_column(title.replace('_', '\n').replace(' ', '\n'), justify='right')
  near_the_first = _near_the_first(records)
  for record in rows:
    name, origin, *scores = _cells(records, record, header, near_the_first)
    style = 'bold green' if record.is_found else 'bold'
    # Not a string: rich would mistake the `[b,w,h]` of an equation for markup.
    cell = Text.assemble((name, style), '\n'.join([f' ({origin})', *_explanations(record)]))
    table.add_row(cell, *scores)
  return table


def write_report(records: Sequence[Record], model_dir: str | os.PathLike, found: int = FOUND,
                 test_images: int | None = None, steps: int | None = None) -> pathlib.Path:
  """Writes `report.md`, its plots, and drawings and JSON files of the layers found, to the folder `model_dir`/report.

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
  for name, plot in (('progress', progress_plot), ('pareto', pareto_scatter)):
    with replacing(folder / f'{name}.png') as path:
      path.write_bytes(figure_to_png(plot(records)))
  layers = found_layers(records, found)
  for number, record in enumerate(layers, 1):
    graph = record.layer_graph.without_dead_nodes()
    with replacing(folder / f'layer_{number}.json') as path:
      graph.save(path)
    with replacing(folder / f'layer_{number}.png') as path:
      save_drawing(graph, path, record.name, record.scores)
  with replacing(folder / 'report.md') as path:
    path.write_text('\n\n'.join(_sections(records, found, test_images, steps)) + '\n', encoding='utf-8')
  kept = {f'layer_{number + 1}' for number in range(len(layers))}
  for stale in folder.glob('layer_*'):  # from an earlier report of more layers
    if stale.stem not in kept:
      stale.unlink()
  return folder / 'report.md'


def _percent(score: float | None) -> str:
  return NO_VALUE if score is None else f'{100 * score:.1f}'


def _rows(records: Sequence[Record], found: int) -> list[Record]:
  """Returns the records in the final table: the best candidates, the references, and the layers that failed."""
  shown = {r.name for r in found_layers(records, found)}
  return [r for r in ranking(records) if not (r.is_found and r.is_accepted) or r.name in shown]


def _header(rows: Sequence[Record]) -> list[str]:
  return ['layer', 'origin', *records_lib.architectures(rows), 'mean', 'validation mean']


def _near_the_first(records: Sequence[Record]) -> set[str]:
  """Returns the names of the layers whose mean lies within one standard error, the first's, of the first's mean."""
  first, *others = [r for r in ranking(records) if r.is_accepted] or [None]
  error = None if first is None else records_lib.standard_error(records, first.name)
  return set() if error is None else {r.name for r in others if first.mean_score - r.mean_score <= error}


def _cells(records: Sequence[Record], record: Record, header: Sequence[str], near: Collection[str]) -> list[str]:
  """Returns a layer's row of the final table, one cell for each name in `header`; `near` names those near the first."""
  test = record.test_scores or {}
  scores = [test.get(architecture) for architecture in header[2:-2]]
  scores.append(statistics.fmean(test.values()) if test else None)
  error = records_lib.standard_error(records, record.name) if record.scores else None
  validation = ''.join([_percent(record.mean_score if record.scores else None),
                        '' if error is None else f' ± {100 * error:.1f}', NEAR if record.name in near else ''])
  origin = 'found' if record.is_found else 'reference'
  return [record.name, origin, *map(_percent, scores), validation]


def _explanations(record: Record) -> list[str]:
  """Returns the lines of a layer's cell: its equation modulo γ and β, what a found one is, and why it failed."""
  graph = record.layer_graph
  lines = [] if graph is None else [affine_equation_text(without_frozen_vectors(graph))]
  if record.is_found and graph is not None:
    lines += _known(graph)
  return lines if record.is_accepted else lines + [_failure(record)]


def _failure(record: Record) -> str:
  return f'{record.outcome}: {one_line(record.detail)}'


def _caption(records: Sequence[Record], test_images: int | None, steps: int | None) -> str:
  if not records_lib.of_stage(records, RERANKING):
    return 'Not re-ranked: no test accuracies; mean validation accuracies of the search itself, %.'
  images = '' if test_images is None else f' on {test_images:,} images'
  training = '' if steps is None else f' after {steps:,} training steps'
  seeds = len({r.seed for r in records_lib.of_stage(records, RERANKING)})
  errors = '' if seeds == 1 else (f' Means of {seeds} trainings with other weights and batches, ± their standard '
                                  f'error;{NEAR} lies within one standard error of the first.')
  return (f'Test accuracies{images}{training}, %. Choice and order of the layers follow the validation mean, which no '
          f'test image enters.{errors}')


def _sections(records: Sequence[Record], found: int, test_images: int | None, steps: int | None) -> list[str]:
  """Returns the paragraphs of the report, Markdown."""
  rows = _rows(records, found)
  near_the_first = _near_the_first(records)
  table = [_cells(records, record, _header(rows), near_the_first) for record in rows]
  failures = [f'- {r.name}: {_failure(r)}' for r in rows if not r.is_accepted]
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
    simple = without_frozen_vectors(graph)
    yield _equations(simple, affine_equation_text, affine_equation_latex)
    yield from _known(graph)
    if equation_text(graph) != affine_equation_text(simple):
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


def _known(graph: LayerGraph) -> list[str]:
  """Returns a line on which known layer a layer graph is, if it is one."""
  known = known_layer(graph)
  return [] if known is None else [f'This is {known.text}.']


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
