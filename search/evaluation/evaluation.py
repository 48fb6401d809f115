"""The evaluation of a norm-activation layer on the proxy task, the cheapest rejection test first (as in the paper)."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import gc
import re
import statistics

import tf_keras

from evonorm_tf import checks
from evonorm_tf.devices.graph_memory import released_gradients
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation.cost import layer_cost
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import Rejected
from search.evaluation.rejection import RejectionTest
from search.evaluation.rejection import StabilityTest
from search.evaluation.reused_training import start_training
from search.evaluation.successive_halving import Bar
from search.evaluation.successive_halving import SuccessiveHalving
from search.evaluation.training import NonFiniteLoss
from search.evaluation.training import timed
from search.evaluation.training import Training
from search.execution.deferred_interrupts import interrupted_at_once
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import FAILED
from search.journal.outcomes import Rung
from search.journal.record import Record

# Lines of a stack trace: those that end with a colon ('in user code:', 'Graph execution error:', 'Detected at node
# ... :'), the files with their lines of code, and the line that Keras puts first.
_TRACE = re.compile(r'.*:$|\s*File "|\s{5}|Exception encountered when calling ')


@dataclasses.dataclass
class Outcome:
  """The outcome of an evaluation: accepted with scores, rejected by a test, or failed.

  All accuracies are fractions in [0, 1], in dictionaries by architecture, such as `{'resnet': 0.43}`.

  Attributes:
    outcome: 'accepted', 'rejected: quality', 'rejected: own test', 'rejected: stability' or 'failed' (default).
    detail: for a layer that was not accepted, the reason in one line, with the architecture in which it arose. For a
      layer that successive halving stopped, its accuracy and the accuracy needed. Otherwise empty.
    screening: the validation accuracies at the quality test, of the architectures that reached it.
    gradient_norm: the largest gradient norm in the stability test; None unless the layer passed that test.
    scores: the validation accuracies at the end of the training, or the projected ones if successive halving stopped
      it; empty unless the layer was accepted. Of a confirmed layer they are the means of both trainings.
    test_scores: the accuracies on the test images; empty unless `Evaluation.test` is set and the layer was accepted and
      trained to the end.
    rungs: the rungs of successive halving that the training reached, in order (see `search.journal.outcomes.Rung`).
    seconds: the time spent in seconds, by activity: 'total' for the whole evaluation, and its parts 'build', 'trace',
      'train', 'evaluate', 'stability' and 'cost'.
    confirmation: of a layer that was confirmed, the validation accuracies with the second seed; otherwise empty.
    cost: what the layer costs: 'step_time', the time of a training step as a multiple of BN-ReLU's, and 'kept', the
      size of the tensors that it keeps for the backward pass as a multiple of its input's; None for what could not be
      measured. Empty unless `Evaluation.measures_cost` is set and the layer was accepted. See `search.evaluation.cost`.

  Example:
    >>> import search
    >>> outcome = search.Outcome('rejected: quality', detail='resnet: accuracy 0.11 after 100 steps')
    >>> outcome.scores
    {}
  """
  outcome: str = FAILED
  detail: str = ''
  screening: dict[str, float] = dataclasses.field(default_factory=dict)
  gradient_norm: float | None = None
  scores: dict[str, float] = dataclasses.field(default_factory=dict)
  test_scores: dict[str, float] = dataclasses.field(default_factory=dict)
  rungs: list[Rung] = dataclasses.field(default_factory=list)
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)
  confirmation: dict[str, float] = dataclasses.field(default_factory=dict)
  cost: dict[str, float | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The evaluation of a layer: the quality test in each architecture, the stability test, the rest of the training.

  It ends at the first test that rejects the layer (as in the paper).

  Attributes:
    task: the proxy task.
    quality: the test of the accuracy after a few training steps; None (default) to leave it out.
    stability: the test of the gradient under adversarial weights; None (default) to leave it out.
    groups: the number of channel groups in layers that have such groups (default 32). Narrow networks need fewer,
      because moments over a group of one channel are the same as moments over w and h alone.
    reuse: whether a process keeps the networks that it has built for layer graphs, up to 300 MB of them, about 40 MB
      each at the size of gin/search/quickstart.gin, and reuses them for later candidates (default True). The results
      are equal up to rounding, and the part up to the quality test takes half the time. See
      `search.evaluation.reused_training`.
    test: whether to measure the accuracy on the test images, too (default False). Only the re-ranking may do so; the
      evolution must not use the test images.
    halving: stops the training of candidates that fall behind; None (default) trains all of them to the end, as in the
      paper.
    bars: for each rung of `halving` in order, the mean accuracy that a layer must reach there to continue, and the
      gains for projected scores (see `successive_halving.Bar`). `informed_by` sets them; with () (default), every layer
      continues.
    confirms: whether a candidate whose mean score is above those of all before is trained with a second seed before it
      is called the best: its scores are then the means of both trainings (default False). So no candidate leads by the
      luck of one seed, at the cost of a second training for each that comes first.
    best_score: the mean score above which a layer is confirmed, in [0, 1]. `informed_by` sets it; None (default)
      confirms none, as for references and in the re-ranking.
    measures_cost: whether to measure what accepted layers cost, in time and memory (default False). Each process trains
      BN-ReLU for some 75 steps, once, to compare with; scores stay the same. See `search.evaluation.cost`.
    tests: further rejection tests of a user, in their order, after the quality test and before the stability test; see
      `rejection.RejectionTest` (default: none).
    jit_compile: the layers' argument of this name. False (default) compiles nothing: that would take most of a short
      training. None compiles the layers' cores where it pays, which shortens thousands of steps, as of a re-ranking;
      networks are not reused then. The results are equal up to rounding.

  Raises:
    ArgumentError: if `groups` is below 1, or the last rung of `halving` does not come before the end of the training.

  Example:
    >>> import search
    >>> task = search.ProxyTask((search.Architecture('resnet', {'depth': 8}),), steps=100, validation_images=500)
    >>> evaluation = search.Evaluation(task, quality=search.QualityTest(steps=50), groups=8)
    >>> evaluation.check()  # the data can be read, and the network be built
  """
  task: ProxyTask
  quality: QualityTest | None = None
  stability: StabilityTest | None = None
  groups: int = 32
  reuse: bool = True
  test: bool = False
  halving: SuccessiveHalving | None = None
  bars: tuple[Bar, ...] = ()
  confirms: bool = False
  best_score: float | None = None
  measures_cost: bool = False
  jit_compile: bool | None = False
  tests: tuple[RejectionTest, ...] = ()

  def __post_init__(self):
    checks.check_integers(1, groups=self.groups)
    if self.halving and self.halving.rungs[-1] >= self.task.steps:
      raise ArgumentError(f"`halving` must have its rungs before the task's {self.task.steps} steps, "
                          f'received {self.halving.rungs}.')

  def informed_by(self, records: Sequence[Record]) -> 'Evaluation':
    """Returns a copy of this evaluation with the `bars` and the `best_score` that follow from earlier candidates.

    Worker processes receive them with the copy. Without `halving` and `confirms`, the evaluation itself is returned.

    Args:
      records: the search's records of all stages, in the order of the journal.
    """
    from search.journal import records as records_lib  # what workers, which evaluate, need not import
    informed = dataclasses.replace(self, bars=self.halving.bars(records)) if self.halving else self
    if not self.confirms:
      return informed
    best = records_lib.best(records)
    return dataclasses.replace(informed, best_score=best.mean_score if best else 0.)

  def with_seed(self, seed: int) -> 'Evaluation':
    """Returns an evaluation that trains on the same images from other initial weights and in another order.

    Args:
      seed: the number of the training; 0 is this evaluation itself, k adds k to the task's seed of the training.
    """
    if not seed:
      return self
    return dataclasses.replace(self, task=self.task.with_seed(seed))

  def check(self) -> None:
    """Reads the data and builds each network once with BN-ReLU, so that invalid settings fail before a search begins.

    It clears the global state of tf_keras afterwards.

    Raises:
      ArgumentError: if the data cannot be read, or an argument of the task, of an architecture or of the loss test is
        not valid.
      KeyboardInterrupt: on Ctrl-C while the data are read, which may include a download.
    """
    with interrupted_at_once():  # reading the data may download it first
      self.task.training_batches()
    if self.quality and self.quality.loss_test:
      self.quality.loss_test.largest_loss(self.task.num_classes)
    for architecture in self.task.architectures:
      self.task.build(architecture, get_norm_act('bn_relu'))
    self._try_tests()
    tf_keras.backend.clear_session()

  def _try_tests(self) -> None:
    """Calls each of `tests` with networks of BN-ReLU that are not trained; raises ArgumentError if one fails to run."""
    if not self.tests:
      return
    norm_act = self._norm_act('bn_relu')
    trainings = {a.family: Training(self.task, a, norm_act, {}) for a in self.task.architectures}
    for test in self.tests:
      try:
        test.check(self.task, norm_act, trainings)
      except Rejected:
        pass  # as it may
      except Exception as e:
        raise ArgumentError(f'`tests`: {type(test).__name__} fails with BN-ReLU: {type(e).__name__}: {e}') from e

  def evaluate(self, spec: LayerGraph | str) -> Outcome:
    """Evaluates a layer and returns the outcome.

    Args:
      spec: a layer graph, or a name that `evonorm_tf.layers.norm_act.get_norm_act` knows, such as 'bn_relu'.

    Returns:
      The outcome. An exception that the layer causes is not raised, but makes the outcome 'failed', and `detail` holds
      its text.

    Raises:
      ArgumentError: if this machine cannot read the data.
      KeyboardInterrupt: after Ctrl-C.
    """
    self.task.load()  # outside of the try: images that are missing are no fault of the layer
    outcome = Outcome()
    try:
      with timed(outcome.seconds, 'total'), released_gradients():
        self._evaluate(self._norm_act(spec), outcome)
      outcome.outcome = ACCEPTED
    except Exception as e:
      outcome.outcome = e.outcome if isinstance(e, Rejected) else FAILED
      outcome.detail = _describe(e)
      outcome.scores, outcome.test_scores, outcome.confirmation = {}, {}, {}
    finally:
      tf_keras.backend.clear_session()
      gc.collect()
    outcome.seconds = {activity: round(seconds, 3) for activity, seconds in outcome.seconds.items()}
    return outcome

  def _norm_act(self, spec: LayerGraph | str) -> NormActFactory:
    # Statistics of the global batch, so that scores do not depend on the number of replicas.
    return get_norm_act(spec).with_defaults(
        groups=self.groups, synchronized=self.task.strategy != 'one_device', jit_compile=self.jit_compile)

  @property
  def _start(self) -> Callable[..., Training]:
    return start_training if self.reuse and self.jit_compile is False else Training

  def _evaluate(self, norm_act: NormActFactory, outcome: Outcome) -> None:
    trainings = {}
    with contextlib.ExitStack() as stack:
      for architecture in self.task.architectures:
        with _noting(architecture.family):
          training = self._start(self.task, architecture, norm_act, outcome.seconds)
          stack.callback(training.close)
          trainings[architecture.family] = training
          self._screen(architecture.family, training, outcome)
      for test in self.tests:
        test.check(self.task, norm_act, trainings)
      if self.stability:
        with _noting(self.task.architectures[0].family), timed(outcome.seconds, 'stability'):
          outcome.gradient_norm = self.stability.check(self.task, norm_act)
      if not self._stops_at_a_rung(trainings, outcome):
        self._finish(trainings, outcome)
        self._confirm(norm_act, outcome)
      if self.measures_cost:
        with timed(outcome.seconds, 'cost'):
          outcome.cost = layer_cost(self.task, norm_act, trainings, self._norm_act('bn_relu'))

  def _screen(self, family: str, training: Training, outcome: Outcome) -> None:
    """Trains up to the quality test and carries it out, with the loss test before it, if there are such tests."""
    if not self.quality:
      return
    loss_test = self.quality.loss_test
    if loss_test and loss_test.steps < self.task.steps:
      training.train(loss_test.steps - loss_test.window)
      loss_test.check(training.train(loss_test.window), self.task.num_classes)
    training.train(min(self.quality.steps, self.task.steps) - training.steps_done)
    outcome.screening[family] = training.accuracy('validation')
    self.quality.check(outcome.screening[family], training.steps_done)

  def _stops_at_a_rung(self, trainings: Mapping[str, Training], outcome: Outcome) -> bool:
    """Trains from rung to rung; returns whether the layer stops at one, which gives it projected scores."""
    rungs = self.halving.rungs if self.halving else ()
    for steps, bar in zip(rungs, self.bars or [Bar()] * len(rungs), strict=True):
      accuracies = {}
      for family, training in trainings.items():
        with _noting(family):
          training.train(max(0, steps - training.steps_done))
          accuracies[family] = training.accuracy('validation')
      stops = not bar.is_reached(accuracies)
      outcome.rungs.append({'steps': steps, 'accuracies': accuracies, 'bar': bar.score, 'stopped': stops})
      if stops:
        outcome.scores = bar.projected(accuracies)
        outcome.detail = (f'accuracy {statistics.fmean(accuracies.values()):.3f} after {steps} steps, '
                          f'{bar.score:.3f} is needed to go on')
        return True
    return False

  def _finish(self, trainings: Mapping[str, Training], outcome: Outcome) -> None:
    """Trains to the end and measures the scores."""
    for family, training in trainings.items():
      with _noting(family):
        training.train(self.task.steps - training.steps_done)
        outcome.scores[family] = training.accuracy('validation')
        if self.test:
          outcome.test_scores[family] = training.accuracy('test')

  def _confirm(self, norm_act: NormActFactory, outcome: Outcome) -> None:
    """Trains a layer that would be the best once more, with another seed, and averages the scores of both trainings."""
    if not self.confirms or self.best_score is None:
      return
    if statistics.fmean(outcome.scores.values()) <= self.best_score:
      return
    again = self.with_seed(1)
    for architecture in self.task.architectures:
      family = architecture.family
      start = functools.partial(self._start, again.task, architecture, norm_act, outcome.seconds)
      with _noting(family), contextlib.closing(start()) as training:
        training.train(self.task.steps)
        outcome.confirmation[family] = training.accuracy('validation')
    outcome.scores = {f: (score + outcome.confirmation[f]) / 2 for f, score in outcome.scores.items()}


@contextlib.contextmanager
def _noting(family: str) -> Iterator[None]:
  """Adds the architecture's name, as a note, to any exception that leaves the context."""
  try:
    yield
  except Exception as e:
    e.add_note(family)
    raise


def _describe(e: Exception) -> str:
  """Returns the architecture and the reason for a rejection or failure, in one line."""
  # An ArgumentError is a ValueError, and journals write 'ValueError'.
  line, kind = _first_reason(str(e))[:300], f'{(ValueError if type(e) is ArgumentError else type(e)).__name__}: '
  reason = line if isinstance(e, (Rejected, NonFiniteLoss)) or line.startswith(kind) else kind + line
  return ': '.join([*getattr(e, '__notes__', ()), reason])


def _first_reason(message: str) -> str:
  """Returns the first line after the stack traces that TensorFlow and Keras put before the reason."""
  lines = [line for line in message.splitlines() if line.strip()] or ['no message']
  return next((line for line in lines if not _TRACE.match(line)), lines[0]).strip()
