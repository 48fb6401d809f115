"""Record, the result of one layer in one stage of a search, which is one line of the journal."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import statistics
from typing import Any
from typing import Protocol

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.known_graphs import graphs_by_name
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import Rung
from search.journal.outcomes import STEP_TIME
from search.journal.record_fields import split_fields


class EvaluationOutcome(Protocol):
  """The interface of an evaluation's result; `search.evaluation.Outcome` and `Record` implement it.

  All accuracies are fractions in [0, 1], in mappings by architecture.
  """

  @property
  def outcome(self) -> str:
    """'accepted', 'rejected: quality', 'rejected: own test', 'rejected: stability' or 'failed'."""
    ...

  @property
  def detail(self) -> str:
    """The architecture and the reason of a rejection, a failure or a stop by successive halving; otherwise empty."""
    ...

  @property
  def screening(self) -> Mapping[str, float]:
    """The validation accuracies at the quality test, of the architectures that reached it."""
    ...

  @property
  def gradient_norm(self) -> float | None:
    """The largest gradient norm in the stability test; None unless the layer passed that test."""
    ...

  @property
  def scores(self) -> Mapping[str, float]:
    """The validation accuracies after the training, or the projected ones if it was stopped; empty if not accepted."""
    ...

  @property
  def test_scores(self) -> Mapping[str, float] | None:
    """The accuracies on the test images; empty or None if they were not measured."""
    ...

  @property
  def rungs(self) -> Sequence[Rung] | None:
    """The rungs of successive halving that the training reached, in order; empty or None without any."""
    ...

  @property
  def cost(self) -> Mapping[str, float | None] | None:
    """The time of a training step and the tensors kept, as multiples; empty or None if they were not measured."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """The result of one layer in one stage of a search.

  All accuracies are fractions in [0, 1], in mappings by architecture, such as `{'resnet': 0.43}`.

  Attributes:
    stage: 'reference' for a known layer that is evaluated before the evolution, 'evolution' for a candidate,
      'reranking' for a candidate or a reference that is evaluated on the larger task.
    outcome: how the evaluation ended: 'accepted', 'rejected: quality', 'rejected: own test', 'rejected: stability' or
      'failed'.
    detail: for a layer that was not accepted, the architecture and the reason in one line. For a layer that successive
      halving stopped, its accuracy and the accuracy needed. Otherwise empty (default).
    screening: the validation accuracies in the quality test, by architecture, where it was reached (default: none).
    gradient_norm: the largest gradient norm in the stability test; None (default) unless the layer passed that test.
    scores: the validation accuracies at the end of the training, or the projected ones if successive halving stopped
      it; empty (default) unless the layer was accepted.
    seconds: the time of the evaluation in seconds, by activity, such as 'train', and as a 'total'; empty (default) for
      a copied outcome.
    elapsed: the run time of the search in seconds when the record was made, including earlier runs (default 0).
    graph: the layer graph of a candidate; None (default) for a known layer.
    index: the number of a candidate, from 0 in the order of proposal; None (default) for a known layer.
    name: the layer's name, 'bn_relu' for a known layer; 'candidate 17', which is the default, for a candidate.
    parent: the index of the candidate that this one was mutated from. None (default) for a random graph, a known layer,
      a candidate of a warm start, and every layer in the re-ranking.
    filtered: the number of graphs that were drawn for this candidate and rejected without an evaluation, by the static
      filter or as equivalents of earlier candidates, by reason (default: none).
    same_as: the index of the earlier candidate that is the same layer and whose outcome was copied; None
      (default) if there is no such candidate.
    origin: for a candidate of a warm start (see `search.selection.warm_start`), a known layer's name or 'candidate 17
      of another search'; None (default) for every other layer.
    test_scores: the accuracies on the test images; empty unless measured, None (default) in journals without them.
    rungs: the rungs of successive halving that the training reached, in order; None (default) in journals without them.
    confirmation: of a candidate that was trained with a second seed before it was called the best, the validation
      accuracies with that seed; None (default) for every other layer.
    cost: what the layer costs: 'step_time', the time of a training step as a multiple of BN-ReLU's, and 'kept', the
      size of the tensors that it keeps for the backward pass as a multiple of its input's, each None if it could not be
      measured. None (default) in journals without costs and for a layer that was not accepted.
    seed: the number of the training, from 0, of a layer that the re-ranking trains with several seeds; None (default)
      where it trains each layer once, and in the other stages.
    extra: the keys of the JSON data that this version does not know, with their values (default: none).

  Raises:
    ArgumentError: if the fields contradict each other: `scores` without acceptance or the reverse, a candidate without
      a graph, a known layer with one, or both an `origin` and a `parent`.

  Example:
    >>> import search
    >>> record = search.Search('runs/quickstart').records[0]
    >>> record.stage, record.name, record.is_accepted
    ('reference', 'bn_relu', True)
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
  confirmation: Mapping[str, float] | None = None
  cost: Mapping[str, float | None] | None = None
  seed: int | None = None
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
    """Returns the record of an evaluation's result.

    Args:
      outcome: the result of an evaluation, or the record whose outcome is copied.
      **fields: the fields that an `EvaluationOutcome` does not have, by name: `stage` and, for instance, `graph`,
        `index`, `seconds` and `elapsed`.

    Raises:
      ArgumentError: if the fields contradict each other.
    """
    return cls(outcome=outcome.outcome, detail=outcome.detail, screening=outcome.screening,
               gradient_norm=outcome.gradient_norm, scores=outcome.scores, test_scores=outcome.test_scores or {},
               rungs=outcome.rungs or [], confirmation=getattr(outcome, 'confirmation', None) or None,
               cost=getattr(outcome, 'cost', None) or None, **fields)

  @classmethod
  def from_json(cls, data: dict[str, Any]) -> 'Record':
    """Returns the record that JSON data describes.

    Args:
      data: the JSON object, as `to_json` returns it. Unknown keys are kept in `extra`.

    Raises:
      ArgumentError: if a key is missing or not valid, or if keys contradict each other; the message names the key.
    """
    fields, extra = split_fields(data)
    if fields['stage'] == REFERENCE and extra.get('index') is None:
      extra.pop('index', None)  # journals have this key for references, but it is always null
    if fields.get('index') is not None:
      fields['graph'] = LayerGraph.from_dict(data['graph'])
    return cls(**fields, extra=extra)

  def to_json(self) -> dict[str, Any]:
    """Returns the record as JSON data, with the keys in the order in which journals have them."""
    data: dict[str, Any] = {'stage': self.stage}
    if self.stage == EVOLUTION:
      data |= {'index': self.index, 'parent': self.parent}
    else:
      data |= {'name': self.name, 'index': self.index}
    data |= _given(seed=self.seed)
    data['graph'] = None if self.graph is None else self.graph.to_dict()
    if self.stage == EVOLUTION:
      data |= {'filtered': self.filtered} | _given(same_as=self.same_as, origin=self.origin)
    data |= {key: getattr(self, key) for key in ('outcome', 'detail', 'screening', 'gradient_norm', 'scores')}
    data |= _given(test_scores=self.test_scores, rungs=self.rungs, confirmation=self.confirmation, cost=self.cost)
    return data | {'seconds': self.seconds, 'elapsed': self.elapsed, **self.extra}

  @property
  def is_accepted(self) -> bool:
    """Whether the layer passed every test, and therefore has scores."""
    return self.outcome == ACCEPTED

  @property
  def is_found(self) -> bool:
    """Whether the layer is a candidate of the search, not a known layer."""
    return self.graph is not None

  @property
  def is_copy(self) -> bool:
    """Whether the outcome was copied from an earlier candidate of this search that is the same layer."""
    return self.same_as is not None

  @property
  def is_complete(self) -> bool:
    """Whether successive halving did not stop the training, so that no score is projected."""
    return not any(rung['stopped'] for rung in self.rungs or ())

  @property
  def is_measured(self) -> bool:
    """Whether the scores were measured at the end of the training, neither projected nor copied from `same_as`."""
    return self.is_accepted and not self.is_copy and self.is_complete

  @property
  def mean_score(self) -> float:
    """The mean of `scores` over the architectures, in [0, 1]; defined for accepted layers only."""
    return statistics.fmean(self.scores.values())

  @property
  def step_time(self) -> float | None:
    """The time of a training step as a multiple of BN-ReLU's; None if it is not on record."""
    return (self.cost or {}).get(STEP_TIME)

  @property
  def total_seconds(self) -> float:
    """The time of the evaluation in seconds: its own total or, where that is missing, the sum over the activities."""
    return self.seconds.get('total', sum(self.seconds.values()))

  @property
  def layer_graph(self) -> LayerGraph | None:
    """The layer graph of a candidate or of a known layer; None for a known layer that has none."""
    if self.graph is not None:
      return self.graph
    return graphs_by_name().get(self.name or '')


def _given(**fields: Any) -> dict[str, Any]:
  """Returns the fields that are not None."""
  return {key: value for key, value in fields.items() if value is not None}
