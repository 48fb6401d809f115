"""From a norm-activation layer to its scores or the reason of its rejection, the cheapest test first (section 5)."""

import contextlib
import dataclasses
import gc
import re

import tf_keras

from evonorm_tf.layer_graph import LayerGraph
from evonorm_tf.norm_act import get_norm_act
from evonorm_tf.norm_act import NormActFactory
from search.architecture import Architecture
from search.interrupts import interrupted_at_once
from search.proxy_task import NonFiniteLoss
from search.proxy_task import ProxyTask
from search.proxy_task import timed
from search.proxy_task import Training
from search.records import ACCEPTED
from search.records import FAILED
from search.rejection import QualityTest
from search.rejection import Rejected
from search.rejection import StabilityTest

# 'in user code:', 'Graph execution error:' and 'Detected at node ... :'; files and their lines; Keras's preamble.
_TRACE = re.compile(r'.*:$|\s*File "|\s{5}|Exception encountered when calling ')


@dataclasses.dataclass
class Outcome:
  """What an evaluation found. All accuracies are in [0, 1], by architecture.

  Attributes:
    outcome: 'accepted', 'rejected: quality', 'rejected: stability' or 'failed'.
    detail: where it was not accepted, the architecture and the reason.
    screening: validation accuracies at the quality test, as far as it came.
    gradient_norm: the largest of the stability test, None unless that was passed.
    scores: validation accuracies after the whole training; empty unless accepted.
    test_scores: accuracies on the test images; empty unless asked for.
    seconds: time spent, by activity.
  """
  outcome: str = FAILED
  detail: str = ''
  screening: dict[str, float] = dataclasses.field(default_factory=dict)
  gradient_norm: float | None = None
  scores: dict[str, float] = dataclasses.field(default_factory=dict)
  test_scores: dict[str, float] = dataclasses.field(default_factory=dict)
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """How a candidate is evaluated: quality in each architecture, stability, then the rest of the training.

  Attributes:
    task: the proxy task.
    quality: the quality test; None for none.
    stability: the stability test; None for none.
    groups: the number of channel groups of the layers that have groups: thin networks want fewer than 32, for a group
      of one channel makes a group moment an instance moment.
    test: whether to measure accuracy on the test images too. Never in a search, only for its final table.
  """
  task: ProxyTask
  quality: QualityTest | None = None
  stability: StabilityTest | None = None
  groups: int = 32
  test: bool = False

  def check(self) -> None:
    """Reads the data and builds each network once, so that a task that cannot work fails here, before a search."""
    with interrupted_at_once():  # a first time, it may download
      self.task.training_batches()
    for architecture in self.task.architectures:
      self.task.build(architecture, get_norm_act('bn_relu'))
    tf_keras.backend.clear_session()

  def evaluate(self, spec: LayerGraph | str) -> Outcome:
    """Evaluates a layer graph or a known layer's name. Whatever goes wrong with it becomes the outcome."""
    outcome = Outcome()
    try:
      with timed(outcome.seconds, 'total'):
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
    # compiled, as candidates are not: most of so short a training would be compilation.
    options = {'groups': self.groups, 'synchronized': self.task.strategy != 'one_device', 'jit_compile': False}
    factory = get_norm_act(spec)
    return get_norm_act(spec, **{k: v for k, v in options.items() if factory.leaves_open(k)})

  def _evaluate(self, norm_act: NormActFactory, outcome: Outcome) -> None:
    trainings = {}
    for architecture in self.task.architectures:
      with _noting(architecture):
        trainings[architecture.family] = self._screen(architecture, norm_act, outcome)
    if self.stability:
      with _noting(self.task.architectures[0]), timed(outcome.seconds, 'stability'):
        outcome.gradient_norm = self.stability.check(self.task, norm_act)
    for architecture in self.task.architectures:
      with _noting(architecture):
        self._score(architecture.family, trainings.pop(architecture.family), outcome)

  def _screen(self, architecture: Architecture, norm_act: NormActFactory, outcome: Outcome) -> Training:
    """Trains up to the quality test, if there is one."""
    training = Training(self.task, architecture, norm_act, outcome.seconds)
    if self.quality:
      training.train(min(self.quality.steps, self.task.steps))
      accuracy = training.accuracy('validation')
      outcome.screening[architecture.family] = accuracy
      self.quality.check(accuracy)
    return training

  def _score(self, family: str, training: Training, outcome: Outcome) -> None:
    """Trains to the end and measures."""
    training.train(self.task.steps - training.steps_done)
    outcome.scores[family] = training.accuracy('validation')
    if self.test:
      outcome.test_scores[family] = training.accuracy('test')


@contextlib.contextmanager
def _noting(architecture: Architecture):
  """Notes on whatever exception passes in which architecture it happened."""
  try:
    yield
  except Exception as e:
    e.add_note(architecture.family)
    raise


def _describe(e: Exception) -> str:
  """Where and why, in one line."""
  line, kind = _telling_line(str(e))[:300], f'{type(e).__name__}: '
  reason = line if isinstance(e, (Rejected, NonFiniteLoss)) or line.startswith(kind) else kind + line
  return ': '.join([*getattr(e, '__notes__', ()), reason])


def _telling_line(message: str) -> str:
  """The first line that is none of the stack traces which TensorFlow and Keras put before the reason."""
  lines = [line for line in message.splitlines() if line.strip()] or ['no message']
  return next((line for line in lines if not _TRACE.match(line)), lines[0]).strip()
