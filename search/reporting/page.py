"""The page of a search, report/index.html: one file with everything, to sort, filter and point at; no server.

`page.html` has its form; the data go into it as JSON.
"""

import base64
from collections.abc import Mapping
from collections.abc import Sequence
import importlib.resources
import json
import statistics
from typing import Any

from evonorm_tf.output.figures import figure_to_png
from evonorm_tf.output.figures import inner_range
from search.journal import records as records_lib
from search.journal.outcomes import KEPT
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import STEP_TIME
from search.journal.record import Record
from search.reporting.comparison import ancestry
from search.reporting.layer_views import draw_layer
from search.reporting.layer_views import equation_of
from search.reporting.layer_views import scores_of
from search.reporting.layer_views import SEARCH
from search.reporting.layer_views import TEST
from search.reporting.layer_views import VALIDATION
from search.reporting.ranked_layers import found_layers
from search.reporting.ranked_layers import known_text
from search.selection.tournament import pareto_frontier

MOST_LAYERS, MOST_DRAWINGS = 200, 25  # of candidates: a page takes seconds and few megabytes
_PLACES = (SEARCH, VALIDATION, TEST)
_COSTS = {STEP_TIME: 'step time, × BN-ReLU', KEPT: 'kept, × x'}


def page(records: Sequence[Record], overview: Sequence[str], caption: str) -> str:
  """Returns the text of the page, HTML.

  It has the references and the best candidates, at most `MOST_LAYERS`. Those with the best scores have a drawing, and a
  name if they are known layers.

  Args:
    records: the search's records of all stages, in the order of the journal; may be empty.
    overview: lines about the search.
    caption: what the numbers of the table are.
  """
  searched_in = records_lib.architectures(records)
  networks = list(dict.fromkeys(name for record in records for name in record.scores))  # the re-ranking's, too
  candidates = sorted(records_lib.measured(records), key=lambda r: -r.mean_score)[:MOST_LAYERS]
  drawn = {r.name for r in [*found_layers(records, MOST_DRAWINGS), *candidates[:MOST_DRAWINGS]]}
  front = {c.index for c in pareto_frontier(records_lib.measured_candidates(records))}
  own = _own_records(records)
  layers = [_layer(own[record.name], record, networks, record.name in drawn, record.index in front)
            for record in [*records_lib.accepted(records, REFERENCE), *candidates]]
  best = records_lib.best(records)
  steps = [] if best is None else ancestry(records, best)
  data = {
      'overview': list(overview), 'caption': caption, 'measures': _measures(networks, layers), 'layers': layers,
      'order': VALIDATION,
      'across': f'{SEARCH}, {searched_in[1]}' if len(searched_in) > 1 else 'candidate',
      'ancestry': [{'name': step.record.name, 'score': step.record.mean_score, 'effect': step.effect,
                    'isProjected': not step.record.is_complete,
                    'mutation': step.mutation or 'the oldest on record'} for step in steps]}
  text = json.dumps(data, allow_nan=False, ensure_ascii=False).replace('<', '\\u003c')  # which could end the script
  template = importlib.resources.files('search.reporting').joinpath('page.html').read_text(encoding='utf-8')
  return template.replace('DATA', text, 1)


def _own_records(records: Sequence[Record]) -> dict[str, list[Record]]:
  """Returns the records of each layer by its name, so that not all are searched for each."""
  own: dict[str, list[Record]] = {}
  for record in records:
    own.setdefault(record.name, []).append(record)
  return own


def _measures(networks: Sequence[str], layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Returns title, unit and range without outliers of each number of a layer, in their order.

  First come the mean accuracies, then those of several networks, then costs.
  """
  titles = [*_PLACES, *(f'{place}, {name}' for place in _PLACES for name in _several(networks))]
  measures = [(title, '%') for title in titles] + [(title, '×') for title in _COSTS.values()]
  values = zip(*(layer['values'] for layer in layers), strict=True) if layers else [()] * len(measures)
  return [{'title': title, 'unit': unit, 'inner': inner_range([v for v in own if v is not None])}
          for (title, unit), own in zip(measures, values, strict=True)]


def _several(networks: Sequence[str]) -> Sequence[str]:
  return networks if len(networks) > 1 else ()


def _layer(own: Sequence[Record], record: Record, networks: Sequence[str], is_drawn: bool, is_on_front: bool
           ) -> dict[str, Any]:
  """Returns what the page knows of a layer, whose own records are `own` and its first one `record`."""
  graph, scores = record.layer_graph, scores_of(own, record)
  cost: Mapping[str, float | None] = record.cost or {}
  means = [statistics.fmean(scores[place].values()) if place in scores else None for place in _PLACES]
  by_network = [scores.get(place, {}).get(name) for place in _PLACES for name in _several(networks)]
  kind = 'reference' if not record.is_found else 'found' if VALIDATION in scores else 'candidate'
  layer = {'name': record.name, 'index': record.index, 'kind': kind, 'isOnFront': is_on_front,
           'equation': '' if graph is None else equation_of(graph), 'known': '', 'drawing': '',
           'values': [*means, *by_network, *(cost.get(name) for name in _COSTS)]}
  if graph is not None and (is_drawn or not record.is_found):
    drawing = figure_to_png(draw_layer(graph.without_dead_nodes(), ''))  # the page has name and scores
    layer |= {'drawing': base64.b64encode(drawing).decode(),
              'known': ' '.join(known_text(graph)) if record.is_found else ''}
  return layer
