"""Evaluation of a norm-activation layer: its scores or why it was rejected, the cheapest test first (section 5)."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import gc
import re
import statistics

import tf_keras

from evonorm_tf.devices.graph_memory import released_gradients
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation.proxy_task import NonFiniteLoss
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.proxy_task import timed
from search.evaluation.proxy_task import Training
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import Rejected
from search.evaluation.rejection import StabilityTest
from search.evaluation.reused_training import start_training
from search.evaluation.successive_halving import Bar
from search.evaluation.successive_halving import SuccessiveHalving
from search.execution.deferred_interrupts import interrupted_at_once
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import FAILED
from search.journal.outcomes import Rung
from search.journal.record import Record

# Lines of a stack trace: 'in user code:', 'Graph execution error:' and 'Detected at node ... :'; files and their lines;
# Keras's preamble.
_TRACE = re.compile(r'.*:$|\s*File "|\s{5}|Exception encountered when calling ')


@dataclasses.dataclass
class Outcome:
  """The outcome of an evaluation. All accuracies are in [0, 1], by the name of the architecture's family.

  Attributes:
    outcome: one of `search.journal.outcomes.OUTCOMES`.
    detail: unless the layer was accepted, the architecture and the reason.
    screening: validation accuracies at the quality test, as far as the evaluation came.
    gradient_norm: the largest gradient norm of the stability test; None unless the layer passed it.
    scores: validation accuracies after the whole training, or as successive halving projects them; empty unless
      accepted.
    test_scores: accuracies on the test images; empty unless asked for.
    rungs: the rungs of successive halving in order, each with its 'steps', the 'accuracies' there, the 'bar' that their
      mean had to reach (None for none), and whether the training 'stopped' there.
    seconds: time spent, by activity.
  """
  outcome: str = FAILED
  detail: str = ''
  screening: dict[str, float] = dataclasses.field(default_factory=dict)
  gradient_norm: float | None = None
  scores: dict[str, float] = dataclasses.field(default_factory=dict)
  test_scores: dict[str, float] = dataclasses.field(default_factory=dict)
  rungs: list[Rung] = dataclasses.field(default_factory=list)
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The evaluation of a candidate: quality in each architecture, stability, then the rest of the training.

  Attributes:
    task: the proxy task.
    quality: the quality test; None for none (default).
    stability: the stability test; None for none (default).
    groups: the number of channel groups of the layers that have groups (default 32). Thin networks need fewer, because
      a group of one channel turns a group moment into an instance moment.
    reuse: whether a process keeps the networks of layer graphs, 40 MB each, from candidate to candidate (default True).
      The results are the same up to rounding; a screening takes half the time.
    test: whether to measure accuracy on the test images too (default False). Never in a search, only for its final
      table.
    halving: the rungs at which the rest of the training may stop; None for none, as in the paper (default).
    bars: the bar of each rung of `halving`, from earlier evaluations; see `informed_by`.

  Raises:
    ValueError: if a rung of `halving` does not come before the end of the training.
  """
  task: ProxyTask
  quality: QualityTest | None = None
  stability: StabilityTest | None = None
  groups: int = 32
  reuse: bool = True
  test: bool = False
  halving: SuccessiveHalving | None = None
  bars: tuple[Bar, ...] = ()

  def __post_init__(self):
    if self.halving and self.halving.rungs[-1] >= self.task.steps:
      raise ArgumentError(f"`halving` must have its rungs before the task's {self.task.steps} steps, "
                          f'received {self.halving.rungs}.')

  def informed_by(self, records: Sequence[Record]) -> 'Evaluation':
    """Returns this evaluation with the bars of successive halving, if there is any, taken from a journal's records.

    The bars travel with it to other processes, and its outcomes repeat them.
    """
    return dataclasses.replace(self, bars=self.halving.bars(records)) if self.halving else self

  def check(self) -> None:
    """Reads the data and builds each network once, so that a task that cannot work fails before a search begins."""
    with interrupted_at_once():  # the first time, it may download
      self.task.training_batches()
    for architecture in self.task.architectures:
      self.task.build(architecture, get_norm_act('bn_relu'))
    tf_keras.backend.clear_session()

  def evaluate(self, spec: LayerGraph | str) -> Outcome:
    """Evaluates a layer graph, or a known layer by its name.

    Returns:
      The outcome. It also says why a layer failed: whatever exception the layer causes is caught.
    """
    outcome = Outcome()
    try:
      with timed(outcome.seconds, 'total'), released_gradients():
        self._evaluate(self._norm_act(spec), outcome)
      outcome.outcome = ACCEPTED
    except Exception as e:
      outcome.outcome = e.outcome if isinstance(e, Rejected) else FAILED
      outcome.detail = _describe(e)
      outcome.scores, outcome.test_scores = {}, {}
    finally:
      tf_keras.backend.clear_session()
      gc.collect()
    outcome.seconds = {activity: round(seconds, 3) for activity, seconds in outcome.seconds.items()}
    return outcome

  def _norm_act(self, spec: LayerGraph | str) -> NormActFactory:
    # Statistics of the global batch, so that scores do not depend on the number of replicas. References are not
    # compiled, and neither are candidates: most of such a short training would be compilation.
    options = {'groups': self.groups, 'synchronized': self.task.strategy != 'one_device', 'jit_compile': False}
    factory = get_norm_act(spec)
    return get_norm_act(spec, **{k: v for k, v in options.items() if factory.leaves_open(k)})

  def _evaluate(self, norm_act: NormActFactory, outcome: Outcome) -> None:
    start, trainings = start_training if self.reuse else Training, {}
    with contextlib.ExitStack() as stack:
      for architecture in self.task.architectures:
        with _noting(architecture.family):
          training = start(self.task, architecture, norm_act, outcome.seconds)
          stack.callback(training.close)
          trainings[architecture.family] = training
          self._screen(architecture.family, training, outcome)
      if self.stability:
        with _noting(self.task.architectures[0].family), timed(outcome.seconds, 'stability'):
          outcome.gradient_norm = self.stability.check(self.task, norm_act)
      if not self._stops_at_a_rung(trainings, outcome):
        self._finish(trainings, outcome)

  def _screen(self, family: str, training: Training, outcome: Outcome) -> None:
    """Trains up to the quality test, if there is one."""
    if not self.quality:
      return
    loss_test = self.quality.loss_test
    if loss_test and loss_test.steps < self.task.steps:
      training.train(loss_test.steps - loss_test.window)
      loss_test.check(training.train(loss_test.window))
    training.train(min(self.quality.steps, self.task.steps) - training.steps_done)
    outcome.screening[family] = training.accuracy('validation')
    self.quality.check(outcome.screening[family])

  def _stops_at_a_rung(self, trainings: Mapping[str, Training], outcome: Outcome) -> bool:
    """Trains from rung to rung; returns whether the candidate stops at one, with its projected scores."""
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
    """Trains to the end and measures."""
    for family, training in trainings.items():
      with _noting(family):
        training.train(self.task.steps - training.steps_done)
        outcome.scores[family] = training.accuracy('validation')
        if self.test:
          outcome.test_scores[family] = training.accuracy('test')


@contextlib.contextmanager
def _noting(family: str) -> Iterator[None]:
  """Adds the architecture's name to any exception that leaves the context."""
  try:
    yield
  except Exception as e:
    e.add_note(family)
    raise


def _describe(e: Exception) -> str:
  """The architecture and the reason, in one line."""
  # An ArgumentError is a ValueError, and journals call it so.
  line, kind = _first_reason(str(e))[:300], f'{(ValueError if type(e) is ArgumentError else type(e)).__name__}: '
  reason = line if isinstance(e, (Rejected, NonFiniteLoss)) or line.startswith(kind) else kind + line
  return ': '.join([*getattr(e, '__notes__', ()), reason])


def _first_reason(message: str) -> str:
  """The first line that does not belong to the stack traces which TensorFlow and Keras put before the reason."""
  lines = [line for line in message.splitlines() if line.strip()] or ['no message']
  return next((line for line in lines if not _TRACE.match(line)), lines[0]).strip()
