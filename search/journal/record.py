"""Record: the result of one layer in one stage of a search; one line of the journal."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import statistics
from typing import Any
from typing import Protocol

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import Rung
from search.journal.record_fields import split_fields


class EvaluationOutcome(Protocol):
  """The fields that a record takes from an evaluation's outcome; `search.evaluation.Outcome` and `Record` have them."""

  @property
  def outcome(self) -> str: ...

  @property
  def detail(self) -> str: ...

  @property
  def screening(self) -> Mapping[str, float]: ...

  @property
  def gradient_norm(self) -> float | None: ...

  @property
  def scores(self) -> Mapping[str, float]: ...

  @property
  def test_scores(self) -> Mapping[str, float] | None: ...

  @property
  def rungs(self) -> Sequence[Rung] | None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """The result of one layer in one stage of a search. All accuracies are in [0, 1], by architecture.

  Attributes:
    stage: 'reference' for a known layer that is evaluated before the evolution, 'evolution' for a candidate,
      'reranking' for a candidate or reference after a longer training.
    outcome: 'accepted', 'rejected: quality', 'rejected: stability' or 'failed'.
    detail: the architecture and the reason, unless accepted.
    screening: validation accuracies at the quality test, as far as the evaluation came.
    gradient_norm: the largest of the stability test; None unless that was passed.
    scores: validation accuracies after the whole training, or those that successive halving projects; empty unless
      accepted.
    seconds: the time spent, by activity.
    elapsed: the run time of the search when the record was made, in seconds.
    graph: the layer graph of a candidate; None for a known layer.
    index: the number of a candidate, from 0 in the order of proposal; None for a known layer.
    name: 'bn_relu' for a known layer, 'candidate 17' for a candidate.
    parent: the index of the candidate that this one is a mutation of; None for a random graph.
    filtered: how many draws the static filter rejected before this candidate, by reason.
    same_as: the index of the earlier candidate that computes the same function and whose outcome this one takes; None
      if it was evaluated.
    origin: a known layer's name or 'candidate 17 of another search', if the search began with the candidate.
    test_scores: accuracies on the test images; empty unless measured, None in records that lack them.
    rungs: the rungs of successive halving that the training reached, in order; None in records that lack them.
    extra: keys of the JSON data that are not known here.

  Raises:
    ArgumentError: if the fields contradict each other.
  """
  stage: str
  outcome: str
  detail: str = ''
  screening: Mapping[str, float] = dataclasses.field(default_factory=dict)
  gradient_norm: float | None = None
  scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
  seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
  elapsed: float = 0.
  graph: LayerGraph | None = None
  index: int | None = None
  name: str = ''
  parent: int | None = None
  filtered: Mapping[str, int] = dataclasses.field(default_factory=dict)
  same_as: int | None = None
  origin: str | None = None
  test_scores: Mapping[str, float] | None = None
  rungs: Sequence[Rung] | None = None
  extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if self.is_accepted != bool(self.scores):
      raise ArgumentError(f'`scores` must be there if `outcome` is {ACCEPTED!r}, and only then.')
    if self.index is None and self.graph is not None:
      raise ArgumentError('`graph` must be null for a known layer.')
    if self.index is not None and self.graph is None:
      raise ArgumentError('`graph` must be that of the candidate, received none.')
    if self.origin is not None and self.parent is not None:
      raise ArgumentError('`parent` must be null for what a search begins with, which has an `origin`.')
    if self.stage == EVOLUTION or not self.name:
      object.__setattr__(self, 'name', f'candidate {self.index}')

  @classmethod
  def of_outcome(cls, outcome: EvaluationOutcome, **fields: Any) -> 'Record':
    """Returns a record of what an evaluation found.

    Args:
      outcome: the result of an evaluation, or the record whose outcome this one takes.
      **fields: the other fields: `stage`, `seconds`, `elapsed`, and which layer it is.
    """
    return cls(outcome=outcome.outcome, detail=outcome.detail, screening=outcome.screening,
               gradient_norm=outcome.gradient_norm, scores=outcome.scores, test_scores=outcome.test_scores or {},
               rungs=outcome.rungs or [], **fields)

  @classmethod
  def from_json(cls, data: dict[str, Any]) -> 'Record':
    """Returns the record that JSON data describes.

    Raises:
      ArgumentError: naming the first key that is missing or not valid.
    """
    fields, extra = split_fields(data)
    if fields['stage'] == REFERENCE and extra.get('index') is None:
      extra.pop('index', None)  # it is written, but says nothing
    if fields.get('index') is not None:
      fields['graph'] = LayerGraph.from_dict(data['graph'])
    return cls(**fields, extra=extra)

  def to_json(self) -> dict[str, Any]:
    """Returns the record as JSON data, its keys in the order of the journal's lines."""
    data: dict[str, Any] = {'stage': self.stage}
    if self.stage == EVOLUTION:
      data |= {'index': self.index, 'parent': self.parent}
    else:
      data |= {'name': self.name, 'index': self.index}
    data['graph'] = None if self.graph is None else self.graph.to_dict()
    if self.stage == EVOLUTION:
      data |= {'filtered': self.filtered} | _given(same_as=self.same_as, origin=self.origin)
    data |= {key: getattr(self, key) for key in ('outcome', 'detail', 'screening', 'gradient_norm', 'scores')}
    data |= _given(test_scores=self.test_scores, rungs=self.rungs)
    return data | {'seconds': self.seconds, 'elapsed': self.elapsed, **self.extra}

  @property
  def is_accepted(self) -> bool:
    """Whether the layer passed every test and so has scores."""
    return self.outcome == ACCEPTED

  @property
  def is_found(self) -> bool:
    """Whether the layer is a candidate, and not a known layer."""
    return self.graph is not None

  @property
  def is_copy(self) -> bool:
    """Whether the candidate was not evaluated, but has the outcome of an earlier one."""
    return self.same_as is not None

  @property
  def is_complete(self) -> bool:
    """Whether the scores are those of the whole training, and not projected from a rung."""
    return not any(rung['stopped'] for rung in self.rungs or ())

  @property
  def is_measured(self) -> bool:
    """Whether the scores were measured at the end of the layer's own training."""
    return self.is_accepted and not self.is_copy and self.is_complete

  @property
  def mean_score(self) -> float:
    """The mean of `scores` over the architectures."""
    return statistics.fmean(self.scores.values())

  @property
  def total_seconds(self) -> float:
    """The time that the evaluation took: its own total, or the sum over the activities."""
    return self.seconds.get('total', sum(self.seconds.values()))

  @property
  def layer_graph(self) -> LayerGraph | None:
    """The layer graph of a candidate or of a known layer; None for a known layer that is not a layer graph."""
    if self.graph is not None:
      return self.graph
    return known_graph(self.name) if self.name in KNOWN_GRAPHS else None


def _given(**fields: Any) -> dict[str, Any]:
  """The fields that are not None."""
  return {key: value for key, value in fields.items() if value is not None}
