"""Tests that reject candidates: those that do not learn, and those whose gradients can explode (as in the paper)."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
import math
from typing import Protocol

import tensorflow as tf
import tf_keras

from evonorm_tf.checks import check_integers
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import EvoNormError
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.training import kernels
from search.evaluation.training import STEPS_PER_CALL
from search.evaluation.training import Training
from search.execution.deferred_interrupts import raise_if_interrupted
from search.journal.outcomes import OWN_TEST
from search.journal.outcomes import POOR
from search.journal.outcomes import UNSTABLE

_OF_GUESSING = .99975  # of the loss of guessing, which the loss test allows


class Rejected(EvoNormError):
  """The base class of the errors raised when a candidate fails a test; the message gives the value and the limit.

  Attributes:
    outcome: 'rejected: quality', 'rejected: own test' or 'rejected: stability', which the evaluation reports.
  """
  outcome: str


class QualityRejected(Rejected):
  """The error raised when a candidate has learnt too little, by its training loss or its validation accuracy."""
  outcome = POOR


class StabilityRejected(Rejected):
  """The error raised when the gradient of a candidate's loss explodes in the stability test."""
  outcome = UNSTABLE


class OwnRejected(Rejected):
  """The error that a user's rejection test raises; its message gives the reason in one line.

  Example:
    >>> import search
    >>> raise search.OwnRejected('resnet: a class is never predicted')
    Traceback (most recent call last):
    ...
    search.evaluation.rejection.OwnRejected: resnet: a class is never predicted
  """
  outcome = OWN_TEST


class RejectionTest(Protocol):
  """The interface of a rejection test that users write; a dataclass, which identifies the search by its fields.

  The tests of `Evaluation.tests` come after the quality test and before the stability test.
  """

  def check(self, task: ProxyTask, norm_act: Callable[..., tf_keras.layers.Layer],
            trainings: Mapping[str, Training]) -> None:
    """Tests a candidate.

    Args:
      task: the proxy task, which gives networks, batches and the loss.
      norm_act: returns a new norm-activation layer of the candidate.
      trainings: the candidate's trainings up to the quality test, by architecture. Each has its Keras `model` and
        `accuracy('validation')`. What a test trains further counts for the score.

    Raises:
      OwnRejected: if the candidate fails.
    """


@dataclasses.dataclass(frozen=True)
class LossTest:
  """An early test of the training loss, which rejects candidates that would fail the quality test.

  The loss of such candidates stays at ln 10, the loss of guessing among ten classes. The paper has no such test and
  trains every candidate up to the quality test. The defaults were measured at the size of gin/search/quickstart.gin, on
  405 graphs that passed the static filter, random graphs and mutated known layers. 124 of them reached a quality test
  at 100 steps and failed it; the loss test stops 85% of these. It stops none of the 86 graphs that passed.

  Attributes:
    steps: the number of training steps before the test (default 40).
    window: the number of steps just before the test over which the loss is averaged (default 10).
    max_loss: the largest mean loss that passes (default 2.302, just below ln 10 = 2.3026, for ten classes
      alone: it rejects nothing where there are fewer). None for 0.99975 ln K, the same for K classes.

  Raises:
    ArgumentError: if `window` is not from 1 to `steps`.

  Example:
    >>> import search
    >>> search.LossTest(steps=40, max_loss=None).largest_loss(num_classes=10) < 2.3026
    True
  """
  steps: int = 40
  window: int = 10
  max_loss: float | None = 2.302

  def __post_init__(self):
    if not 0 < self.window <= self.steps:
      raise ArgumentError(f'`window` must be from 1 to `steps`, {self.steps}, received {self.window}.')

  def largest_loss(self, num_classes: int) -> float:
    """Returns the largest mean loss that passes.

    Args:
      num_classes: the number of classes K.

    Raises:
      ArgumentError: if `max_loss` is so far below ln K, the loss of guessing, that it would reject any layer.
    """
    guessing = math.log(num_classes)
    if self.max_loss is not None and self.max_loss < .9 * guessing:
      raise ArgumentError(f'`max_loss` {self.max_loss:g} is too low for {num_classes} classes, where guessing has the '
                          f'loss {guessing:.3f}; None follows the number of classes.')
    return _OF_GUESSING * guessing if self.max_loss is None else self.max_loss

  def check(self, loss: float, num_classes: int = 10) -> None:
    """Tests a training loss.

    Args:
      loss: the mean loss over the last `window` of `steps` training steps.
      num_classes: the number of classes (default 10).

    Raises:
      QualityRejected: if `loss` is greater than `max_loss`.
    """
    largest = self.largest_loss(num_classes)
    if loss > largest:
      raise QualityRejected(f'loss {loss:.3f} after {self.steps} steps, at most {largest:g} is allowed')


@dataclasses.dataclass(frozen=True)
class QualityTest:
  """The quality test, which rejects candidates that have learnt too little after a few steps (as in the paper).

  Attributes:
    steps: the number of training steps before the test (default 100, the paper's).
    min_accuracy: the lowest validation accuracy that passes, in [0, 1] (default 0.2, the paper's).
    loss_test: an earlier test of the training loss; None (default) for none, as in the paper.

  Raises:
    ArgumentError: if `steps` is below 1, `min_accuracy` not in [0, 1], or `loss_test` does not come before this test.

  Example:
    >>> import search
    >>> search.QualityTest(steps=100, min_accuracy=.2).check(.25)  # passes
  """
  steps: int = 100
  min_accuracy: float = 0.2
  loss_test: LossTest | None = None

  def __post_init__(self):
    check_integers(1, steps=self.steps)
    if not 0 <= self.min_accuracy <= 1:
      raise ArgumentError(f'`min_accuracy` must lie in [0, 1], received {self.min_accuracy}.')
    if self.loss_test and self.loss_test.steps >= self.steps:
      raise ArgumentError(f'`loss_test` must come before the quality test at {self.steps} steps, '
                          f'received {self.loss_test}.')

  def check(self, accuracy: float, steps: int | None = None) -> None:
    """Tests a validation accuracy.

    Args:
      accuracy: the validation accuracy after `steps` training steps, in [0, 1].
      steps: the number of training steps, where a task has fewer than this test's; None (default) for this test's.

    Raises:
      QualityRejected: if `accuracy` is below `min_accuracy`.
    """
    if accuracy < self.min_accuracy:
      raise QualityRejected(
          f'accuracy {accuracy:.3f} after {steps or self.steps} steps, at least {self.min_accuracy:g} is needed')


@dataclasses.dataclass(frozen=True)
class StabilityTest:
  """The stability test, which rejects candidates whose gradient explodes under adversarial weights (as in the paper).

  The kernels θ of convolutions (in the paper these alone) and dense layers start at their initial values and change by
  gradient ascent on the norm of the loss's gradient, θ ← θ + η · ∂‖∂ℓ/∂θ‖/∂θ, each step on a new training batch. The
  test is meant for layers that train well on CIFAR-10 and diverge on ImageNet.

  Attributes:
    steps: the number of steps of gradient ascent (default 100, as the paper is recalled).
    learning_rate: the rate η of the ascent (default 0.1; the paper's value is not known).
    max_gradient_norm: the largest gradient norm that passes (default 1e8, as the paper is recalled); `math.inf` rejects
      only gradients that are not finite.

  Example:
    >>> import search
    >>> search.StabilityTest(steps=25).max_gradient_norm
    100000000.0
  """
  steps: int = 100
  learning_rate: float = 0.1
  max_gradient_norm: float = 1e8

  def check(self, task: ProxyTask, norm_act: Callable[..., tf_keras.layers.Layer]) -> float:
    """Runs the gradient ascent in the task's first architecture, on one device.

    Args:
      task: the proxy task, which gives the network, the batches and the loss.
      norm_act: returns a new norm-activation layer of the candidate.

    Returns:
      The largest gradient norm of all steps; 0 for no step.

    Raises:
      StabilityRejected: if the gradient norm exceeds `max_gradient_norm`, or is not finite.
      KeyboardInterrupt: after Ctrl-C.
    """
    model = task.build(task.architectures[0], norm_act)
    batches = iter(task.training_batches())
    ascend = tf.function(functools.partial(self._ascend, task, model))
    largest = 0.
    for done in range(0, self.steps, STEPS_PER_CALL):
      raise_if_interrupted()
      steps = min(STEPS_PER_CALL, self.steps - done)
      largest = max(largest, float(ascend(batches, tf.constant(steps))))
      if not (math.isfinite(largest) and largest <= self.max_gradient_norm):
        raise StabilityRejected(f'gradient norm {largest:.3g} within {done + steps} steps of gradient ascent, '
                                f'at most {self.max_gradient_norm:g} is allowed')
    return largest

  def _ascend(self, task, model, batches, steps):
    """Takes a number of steps and returns their largest gradient norm; NaN counts as infinity."""
    largest = 0.
    for _ in tf.range(steps):
      norm = self._ascend_once(task, model, *next(batches))
      largest = tf.maximum(largest, tf.where(tf.math.is_nan(norm), math.inf, norm))
    return largest

  def _ascend_once(self, task, model, images, labels):
    thetas = kernels(model)
    with tf.GradientTape() as outer:
      with tf.GradientTape() as inner:
        loss = task.loss(model, images, labels)
      norm = tf.linalg.global_norm(inner.gradient(loss, thetas))
    for theta, direction in zip(thetas, outer.gradient(norm, thetas)):
      theta.assign_add(self.learning_rate * direction)
    return norm
