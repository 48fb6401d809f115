"""The ranking of a search's layers (as in the paper), and the table of it.

Layers are chosen and ranked by validation accuracy. Test accuracies are reported but not used for this.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import math
import statistics
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.markdown import NO_VALUE
from evonorm_tf.output.markdown import one_line
from search.equivalence.known_layers import known_layer
from search.journal import records as records_lib
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.reporting.layer_views import equation_of
from search.reporting.layer_views import scores_of
from search.reporting.layer_views import SEARCH
from search.reporting.layer_views import TEST
from search.reporting.layer_views import VALIDATION

FOUND = 3  # layers that are reported, as in the paper
NEAR = ' ≈'  # marks a mean that lies within one standard error of the first


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


def layers_so_far(records: Sequence[Record], config: Mapping[str, Any]) -> list[Record]:
  """Returns the records of the candidates that passed, the best first: by the re-ranking, once it is complete.

  Before that, and if no candidate passed it, they are in the order of their scores on the proxy task.

  Args:
    records: the search's records of all stages.
    config: the search's configuration, JSON data.
  """
  return (found_layers(settled(records, config), len(records))
          or found_layers(_before_reranking(records), len(records)))


def settled(records: Sequence[Record], config: Mapping[str, Any]) -> Sequence[Record]:
  """Returns the records by which layers can be ranked: without those of a re-ranking that is not complete.

  A re-ranking that was complete is not so any more when the search was resumed and has better candidates.

  Args:
    records: the search's records of all stages.
    config: the search's configuration, JSON data.
  """
  searched, reranking = _before_reranking(records), config.get('reranking') or {}
  finalists = records_lib.finalists(searched, reranking.get('top', 1), reranking.get('min_difference', 0.))
  layers = {*(r.name for r in finalists), *(config.get('references') or ())}
  done = {(r.name, r.seed or 0) for r in records_lib.of_stage(records, RERANKING)}
  return records if done >= {(name, seed) for name in layers for seed in range(reranking.get('seeds', 1))} else searched


def _before_reranking(records: Sequence[Record]) -> list[Record]:
  return [r for r in records if r.stage != RERANKING]


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
  rows = table_rows(records, found)
  (layer, _, *titles), cells = table_cells(records, rows, by_network=False)
  table = Table(title='Layers found, beside the references', caption=table_caption(records, test_images, steps),
                title_style='bold', caption_style='dim', caption_justify='left', box=box.HORIZONTALS, pad_edge=False,
                show_lines=True)
  table.add_column(layer, overflow='fold')
  for title in titles:
    table.add_column(title, justify='right')
  for record, (name, origin, *scores) in zip(rows, cells):
    style = 'bold green' if record.is_found else 'bold'
    # Not a string: rich would mistake the `[b,w,h]` of an equation for markup.
    cell = Text.assemble((name, style), '\n'.join([f' ({origin})', *_explanations(record)]))
    table.add_row(cell, *scores)
  return table


def table_rows(records: Sequence[Record], found: int) -> list[Record]:
  """Returns the records in the final table: the best candidates, the references, and the layers that failed.

  Args:
    records: the search's records of all stages.
    found: the largest number of candidates that have not failed.
  """
  shown = {r.name for r in found_layers(records, found)}
  return [r for r in ranking(records) if not (r.is_found and r.is_accepted) or r.name in shown]


def table_cells(records: Sequence[Record], rows: Sequence[Record], by_network: bool = True
                ) -> tuple[list[str], list[list[str]]]:
  """Returns the header and the rows of the final table as text; accuracies are in percent.

  The columns are the layer, its origin, and the mean accuracies of the search and of the re-ranking's validation and
  test.

  Args:
    records: the search's records of all stages.
    rows: the records of the rows, as `table_rows` returns them.
    by_network: whether to add the last of these for each network, if there are several (default True).
  """
  places = [SEARCH, VALIDATION, TEST] if records_lib.of_stage(records, RERANKING) else [SEARCH]
  networks = records_lib.architectures(rows)
  each = [f'{places[-1]}: {name}' for name in networks] if by_network and len(networks) > 1 else []
  header = ['layer', 'origin', *places, *each]
  near = _near_the_first(records)
  return header, [_cells(records, record, header, near) for record in rows]


def _near_the_first(records: Sequence[Record]) -> set[str]:
  """Returns the names of the layers whose mean lies within one standard error, the first's, of the first's mean."""
  first, *others = [r for r in ranking(records) if r.is_accepted] or [None]
  error = None if first is None else records_lib.standard_error(records, first.name)
  return set() if error is None else {r.name for r in others if first.mean_score - r.mean_score <= error}


def _cells(records: Sequence[Record], record: Record, header: Sequence[str], near: Collection[str]) -> list[str]:
  """Returns a layer's row of the final table, one cell for each name in `header`; `near` names those near the first."""
  scores = scores_of(records, record)
  cells = {place: f'{100 * statistics.fmean(of_place.values()):.1f}' for place, of_place in scores.items()}
  cells |= {f'{place}: {name}': f'{100 * score:.1f}' for place, of_place in scores.items()
            for name, score in of_place.items()}
  error = records_lib.standard_error(records, record.name) if VALIDATION in scores else None
  if error is not None:
    cells[VALIDATION] += f' ± {100 * error:.1f}'
  if record.name in near:
    cells[VALIDATION] += NEAR
  origin = 'found' if record.is_found else 'reference'
  return [record.name, origin, *(cells.get(title, NO_VALUE) for title in header[2:])]


def _explanations(record: Record) -> list[str]:
  """Returns the lines of a layer's cell: its equation modulo γ and β, what a found one is, and why it failed."""
  graph = record.layer_graph
  lines = [] if graph is None else [equation_of(graph)]
  if record.is_found and graph is not None:
    lines += known_text(graph)
  return lines if record.is_accepted else lines + [failure(record)]


def failure(record: Record) -> str:
  """Returns in one line why a layer was not accepted.

  Args:
    record: the layer's record.
  """
  return f'{record.outcome}: {one_line(record.detail)}'


def table_caption(records: Sequence[Record], test_images: int | None, steps: int | None) -> str:
  """Returns the caption of the final table, which says what its numbers are.

  Args:
    records: the search's records of all stages.
    test_images: the number of test images; None to leave it out.
    steps: the number of training steps in the re-ranking; None to leave it out.
  """
  if not records_lib.of_stage(records, RERANKING):
    return 'Not re-ranked: validation accuracies of the search itself, %; no test accuracies.'
  images = '' if test_images is None else f' ({test_images:,} images)'
  training = '' if steps is None else f', after {steps:,} steps'
  seeds = len({r.seed for r in records_lib.of_stage(records, RERANKING)})
  errors = '' if seeds == 1 else (f' Means of {seeds} trainings with other weights and batches, ± their standard '
                                  f'error;{NEAR} lies within one standard error of the first.')
  means = ', means of the networks' if any(len(r.scores) > 1 for r in records) else ''
  return (f'Accuracies, %{means}. {SEARCH}: on the proxy task, validation images; {VALIDATION} and '
          f'{TEST}{images}: of the re-ranking{training}. Choice and order of the layers follow {VALIDATION}, which no '
          f'test image enters.{errors}')


def known_text(graph: LayerGraph) -> list[str]:
  """Returns a line on which known layer a layer graph is, if it is one.

  Args:
    graph: the layer graph.
  """
  known = known_layer(graph)
  return [] if known is None else [f'This is {known.text}.']
