"""`Layer`, a layer of a search as an object: its equation, scores, cost, ancestors, and the Keras layer that it is."""

import base64
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import html
import json
import os
from typing import Any

from matplotlib.figure import Figure

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.figures import figure_to_png
from search.equivalence.known_layers import known_layer
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.reporting.layer_views import draw_layer
from search.reporting.layer_views import equation_of
from search.reporting.layer_views import latex_of
from search.reporting.layer_views import scores_of


class Layer:
  """A layer of a search: a candidate, or a known layer that the search compares with.

  In a notebook it shows its drawing and its equation. Accuracies are fractions in [0, 1], on validation images where
  nothing else is said; mappings are by the network's name, such as 'resnet'.

  Args:
    record: the layer's record of the evolution, or of the references.
    records: the search's records of all stages, in the order of the journal.

  Example:
    >>> import search
    >>> layer = search.Search('runs/quickstart').best
    >>> layer.equation.startswith('y = ')
    True
    >>> norm_act = layer.norm_act(groups=16)  # for models, `convert_norm_act` and trainers
    >>> layer.save('runs/best.json')
  """

  def __init__(self, record: Record, records: Sequence[Record]):
    self._record = record
    self._records = records

  @property
  def name(self) -> str:
    """'candidate 17', or a known layer's name, such as 'bn_relu'."""
    return self._record.name

  @property
  def index(self) -> int | None:
    """The candidate's number, from 0 in the order of proposal; None for a known layer."""
    return self._record.index

  @property
  def outcome(self) -> str:
    """'accepted', 'rejected: quality', 'rejected: own test', 'rejected: stability' or 'failed'."""
    return self._record.outcome

  @property
  def is_accepted(self) -> bool:
    """Whether the layer passed every test, and therefore has scores."""
    return self._record.is_accepted

  @property
  def detail(self) -> str:
    """Of a layer that was not accepted, the network and the reason in one line; otherwise empty, mostly."""
    return self._record.detail

  @property
  def graph(self) -> LayerGraph | None:
    """The layer graph without dead nodes; None for a known layer that has none, such as 'frn_tlu'."""
    graph = self._record.layer_graph
    return None if graph is None else graph.without_dead_nodes()

  @functools.cached_property
  def equation(self) -> str:
    """The equation as text, without what γ and β take up; the name where there is no layer graph."""
    return self.name if self.graph is None else equation_of(self.graph)

  @functools.cached_property
  def latex(self) -> str:
    """The equation as LaTeX, for mathematics mode."""
    if self.graph is None:
      return rf'\text{{{self.name}}}'.replace('_', r'\_')
    return latex_of(self.graph)

  @functools.cached_property
  def known_as(self) -> str | None:
    """What a found layer is in words if it is a known one, such as 'EvoNorm-S0'; otherwise None."""
    known = known_layer(self.graph) if self._record.is_found and self.graph is not None else None
    return None if known is None else known.text

  @property
  def scores(self) -> Mapping[str, float]:
    """The accuracies on the proxy task; empty unless the layer was accepted."""
    return self._record.scores

  @functools.cached_property
  def trainings(self) -> list[Record]:
    """The records of the layer's trainings in the re-ranking, one for each seed; empty if it was not re-ranked."""
    return [r for r in records_lib.of_stage(self._records, RERANKING) if r.name == self.name]

  @property
  def seeds(self) -> list[int]:
    """The numbers of the trainings in the re-ranking, from 0: [0, 1, 2] for three."""
    return [record.seed or 0 for record in self.trainings]

  @property
  def reranking_scores(self) -> Mapping[str, float]:
    """The accuracies in the re-ranking, means over its seeds; empty if not re-ranked, or not accepted there."""
    return {} if self._reranked is None else self._reranked.scores

  @property
  def test_scores(self) -> Mapping[str, float]:
    """The accuracies on the test images in the re-ranking, means over its seeds; empty where not measured."""
    return {} if self._reranked is None else self._reranked.test_scores or {}

  @property
  def score(self) -> float | None:
    """The mean over the networks of `reranking_scores` or, where there are none, of `scores`; None without either."""
    scores = self.reranking_scores or self.scores
    return sum(scores.values()) / len(scores) if scores else None

  @property
  def error(self) -> float | None:
    """The standard error of `score` over the seeds of the re-ranking; None with fewer than two, or one that failed."""
    return records_lib.standard_error(self._records, self.name) if self.reranking_scores else None

  @property
  def cost(self) -> Mapping[str, float | None]:
    """'step_time', of a training step in times BN-ReLU's, and 'kept', the tensors kept in times x; or empty."""
    return self._record.cost or {}

  @property
  def seconds(self) -> float:
    """The time of the evaluation on the proxy task."""
    return self._record.total_seconds

  @property
  def parent(self) -> 'Layer | None':
    """The candidate that this one was mutated from; None for a random graph and for a known layer."""
    if self._record.parent is None:
      return None
    return next((Layer(r, self._records) for r in records_lib.of_stage(self._records, EVOLUTION)
                 if r.index == self._record.parent), None)

  @property
  def ancestors(self) -> list['Layer']:
    """The line of descent, the first candidate of it first; the layer itself is not in it."""
    return list(self._line())[::-1]

  def _line(self) -> Iterator['Layer']:
    layer = self.parent
    while layer is not None:
      yield layer
      layer = layer.parent

  def norm_act(self, *, keras: int = 2, **options: Any) -> Any:
    """Returns a factory of Keras layers of this kind, for models, `convert_norm_act` and trainers.

    Args:
      keras: 2 (default) for layers of tf_keras, 3 for layers of Keras 3.
      **options: constructor arguments of the layer, such as `groups=16`.

    Raises:
      ValueError: if `keras` is neither, or an option's value is not valid.
      TypeError: if the layer does not take an option.
    """
    if keras == 2:
      from evonorm_tf.layers.norm_act import get_norm_act
    elif keras == 3:
      from evonorm_tf.keras3 import get_norm_act
    else:
      raise ArgumentError(f'`keras` must be 2 or 3, received {keras!r}.')
    return get_norm_act(self.graph if self._record.is_found else self.name, **options)

  def to_json(self) -> str:
    """Returns the layer graph as JSON, the content of the file that `save` writes.

    Raises:
      ArgumentError: if the layer has no layer graph.
    """
    return json.dumps(self._graph_or_error().to_dict(), indent=1)

  def save(self, path: str | os.PathLike) -> None:
    """Writes the layer graph to a JSON file, whose path is a name for `get_norm_act` and for every trainer.

    Args:
      path: the file, which must end in .json; an existing one is replaced.

    Raises:
      ArgumentError: if the path ends otherwise, or the layer has no layer graph.
      OSError: if the file cannot be written.
    """
    if not os.fspath(path).endswith('.json'):
      raise ArgumentError(f'`path` must end in .json, received {os.fspath(path)!r}.')
    self._graph_or_error().save(path)

  def draw(self) -> Figure:
    """Returns a drawing of the layer graph with name, scores and equation, a Matplotlib figure.

    Raises:
      ArgumentError: if the layer has no layer graph.
    """
    return draw_layer(self._graph_or_error(), self.name, scores_of(self._records, self._record))

  def _graph_or_error(self) -> LayerGraph:
    if self.graph is None:
      raise ArgumentError(f'{self.name} has no layer graph.')
    return self.graph

  @functools.cached_property
  def _reranked(self) -> Record | None:
    """The record of the means over the re-ranking's seeds; None if one of the trainings was not accepted."""
    means = records_lib.over_seeds(self.trainings)
    return means[0] if means and means[0].is_accepted else None

  def _repr_html_(self) -> str:
    """The drawing and the equation, for notebooks."""
    drawing = ''
    if self.graph is not None:
      image = base64.b64encode(figure_to_png(self.draw())).decode()
      drawing = f'<img src="data:image/png;base64,{image}" alt="{html.escape(self.equation)}"><br>'
    return f'{drawing}$$\\begin{{gathered}}{html.escape(self.latex)}\\end{{gathered}}$$'

  def __repr__(self) -> str:
    score = self.outcome if self.score is None else f'{100 * self.score:.1f}%'
    error = '' if self.error is None else f' ± {100 * self.error:.1f}'
    return f'<Layer {self.name}, {score}{error}: {"; ".join(self.equation.splitlines())}>'

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Layer) and self._record == other._record  # noqa: SLF001  (its own class)

  def __hash__(self) -> int:
    return hash((self._record.stage, self._record.name))
