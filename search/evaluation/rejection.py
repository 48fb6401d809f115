"""Tests that reject candidates which do not train, or whose gradients can explode (paper section 5)."""

from collections.abc import Callable
import dataclasses
import functools
import math

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from search.evaluation.proxy_task import kernels
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.proxy_task import STEPS_PER_CALL
from search.execution.deferred_interrupts import raise_if_interrupted
from search.journal.outcomes import POOR
from search.journal.outcomes import UNSTABLE


class Rejected(Exception):
  """A candidate has failed a test; the message says by how much.

  Attributes:
    outcome: the outcome of the evaluation, which names the test.
  """
  outcome: str


class QualityRejected(Rejected):
  """A candidate has learnt too little."""
  outcome = POOR


class StabilityRejected(Rejected):
  """A candidate lets the gradient explode."""
  outcome = UNSTABLE


@dataclasses.dataclass(frozen=True)
class LossTest:
  """Rejects, before the quality test, candidates that will not pass it: their training loss has not left ln 10.

  Departs from the paper, which trains every candidate up to its quality test. Of 405 graphs that passed the static
  filter, random ones and mutated known layers, trained at the quickstart's size, 124 reached a quality test of 100
  steps and failed it: the defaults stop 85% of them. Of the 86 that passed it, the defaults stop none.

  Attributes:
    steps: training steps before the test (default 40).
    window: the number of last steps whose mean loss is tested (default 10).
    max_loss: the largest mean loss that passes (default 2.302); guessing among ten classes has ln 10 = 2.3026.

  Raises:
    ValueError: if `window` is not from 1 to `steps`.
  """
  steps: int = 40
  window: int = 10
  max_loss: float = 2.302

  def __post_init__(self):
    if not 0 < self.window <= self.steps:
      raise ArgumentError(f'`window` must be from 1 to `steps`, {self.steps}, received {self.window}.')

  def check(self, loss: float) -> None:
    """Raises QualityRejected if the mean loss of the window is greater than `max_loss`."""
    if loss > self.max_loss:
      raise QualityRejected(f'loss {loss:.3f} after {self.steps} steps, at most {self.max_loss:g} is allowed')


@dataclasses.dataclass(frozen=True)
class QualityTest:
  """Rejects candidates that have learnt too little after a few training steps.

  Attributes:
    steps: training steps before the test (default 100).
    min_accuracy: the lowest validation accuracy that passes, in [0, 1] (default 0.2).
    loss_test: an earlier test of the training loss; None for none, as in the paper (default).

  Raises:
    ValueError: if `loss_test` does not come before this test.
  """
  steps: int = 100
  min_accuracy: float = 0.2
  loss_test: LossTest | None = None

  def __post_init__(self):
    if self.loss_test and self.loss_test.steps >= self.steps:
      raise ArgumentError(f'`loss_test` must come before the quality test at {self.steps} steps, '
                          f'received {self.loss_test}.')

  def check(self, accuracy: float) -> None:
    """Raises QualityRejected if the validation accuracy after `steps` is below `min_accuracy`."""
    if accuracy < self.min_accuracy:
      raise QualityRejected(
          f'accuracy {accuracy:.3f} after {self.steps} steps, at least {self.min_accuracy:g} is needed')


@dataclasses.dataclass(frozen=True)
class StabilityTest:
  """Rejects candidates that let the gradient explode under adversarial convolution weights.

  From their initial values the kernels θ climb the norm of the loss's gradient: θ ← θ + rate · ∂‖∂ℓ/∂θ‖/∂θ, each step
  on a new training batch. Layers that fail train well on CIFAR-10 and diverge on ImageNet.

  Attributes:
    steps: steps of gradient ascent (default 100, the paper's as recalled).
    learning_rate: the rate of the ascent (default 0.1; not in the paper as recalled).
    max_gradient_norm: the largest gradient norm that passes (default 1e8, the paper's as recalled); with `math.inf`
      only gradients that are not finite are rejected.
  """
  steps: int = 100
  learning_rate: float = 0.1
  max_gradient_norm: float = 1e8

  def check(self, task: ProxyTask, norm_act: Callable[..., tf_keras.layers.Layer]) -> float:
    """Returns the largest gradient norm met in the task's first architecture, on one device.

    Args:
      task: the proxy task.
      norm_act: factory of the candidate's layers.

    Raises:
      StabilityRejected: if the gradient norm exceeds `max_gradient_norm`, or is not finite.
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
    """Returns the largest gradient norm of a number of steps; NaN counts as infinity."""
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
