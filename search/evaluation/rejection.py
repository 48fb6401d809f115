"""Rejection of candidates that do not train, or that can blow up (paper section 5)."""

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


class Rejected(Exception):
  """A candidate did not pass a test. `outcome` names the test, the message tells by how much it failed."""
  outcome = 'rejected'


class QualityRejected(Rejected):
  outcome = 'rejected: quality'


class StabilityRejected(Rejected):
  outcome = 'rejected: stability'


@dataclasses.dataclass(frozen=True)
class LossTest:
  """Rejects, before the quality test, what cannot pass it any more: the training loss has not left ln 10.

  Departs from the paper, which trains every candidate to its quality test. Of 405 graphs that passed the static filter,
  random ones and known layers mutated, trained at the quickstart's size, 124 reached a quality test of 100 steps and
  failed it: the defaults end 85% of them. Of the 86 that passed it, the defaults end none.

  Attributes:
    steps: training steps before the test.
    window: the mean loss of the last so many steps is tested.
    max_loss: the largest mean loss that passes; a guess among ten classes has ln 10 = 2.3026.
  """
  steps: int = 40
  window: int = 10
  max_loss: float = 2.302

  def __post_init__(self):
    if not 0 < self.window <= self.steps:
      raise ArgumentError(f'`window` must be from 1 to `steps`, {self.steps}, received {self.window}.')

  def check(self, loss: float) -> None:
    """Raises QualityRejected if the mean loss of the window is too large."""
    if loss > self.max_loss:
      raise QualityRejected(f'loss {loss:.3f} after {self.steps} steps, at most {self.max_loss:g} is allowed')


@dataclasses.dataclass(frozen=True)
class QualityTest:
  """Rejects what has learnt too little after a few training steps.

  Attributes:
    steps: training steps before the test.
    min_accuracy: the least validation accuracy, in [0, 1].
    loss_test: an earlier test of the training loss; None for none, as in the paper.
  """
  steps: int = 100
  min_accuracy: float = 0.2
  loss_test: LossTest | None = None

  def __post_init__(self):
    if self.loss_test and self.loss_test.steps >= self.steps:
      raise ArgumentError(f'`loss_test` must come before the quality test at {self.steps} steps, '
                          f'received {self.loss_test}.')

  def check(self, accuracy: float) -> None:
    """Raises QualityRejected if the accuracy after `steps` is too low."""
    if accuracy < self.min_accuracy:
      raise QualityRejected(
          f'accuracy {accuracy:.3f} after {self.steps} steps, at least {self.min_accuracy:g} is needed')


@dataclasses.dataclass(frozen=True)
class StabilityTest:
  """Rejects what lets the gradient explode under adversarial convolution weights.

  From their initial values the kernels θ climb the norm of the loss's gradient: θ ← θ + rate · ∂‖∂ℓ/∂θ‖/∂θ, each step
  on a new training batch. Layers that fail train well on CIFAR-10 and blow up on ImageNet.

  Attributes:
    steps: of gradient ascent (the paper's 100, recalled).
    learning_rate: of the ascent (not in the paper as recalled).
    max_gradient_norm: a candidate whose gradient norm passes it is rejected (the paper's 1e8, recalled); `math.inf`
      to reject only what is not finite.
  """
  steps: int = 100
  learning_rate: float = 0.1
  max_gradient_norm: float = 1e8

  def check(self, task: ProxyTask, norm_act: Callable[..., tf_keras.layers.Layer]) -> float:
    """Returns the largest gradient norm met in the first architecture, on one device.

    Raises:
      StabilityRejected: if the gradient norm passes `max_gradient_norm`, or is not finite.
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
    """Returns the largest gradient norm of some steps; NaN counts as infinity."""
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
