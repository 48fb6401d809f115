"""The training of one network on the proxy task, which can pause for tests."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import math
import statistics
import time

import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.errors import EvoNormError
from search.evaluation.architecture import Architecture
from search.evaluation.proxy_task import ProxyTask
from search.execution.deferred_interrupts import raise_if_interrupted

NOT_FINITE = 'loss is not finite after {steps} steps'
STEPS_PER_CALL = 25  # training steps from one check of the loss to the next
_FIRST_CHECKS = 1, 4, 10  # steps after which it is checked before, as most that explode do so; the first is traced


class NonFiniteLoss(EvoNormError, ArithmeticError):
  """The error raised when the training loss becomes infinite or NaN."""


def kernels(model: tf_keras.Model) -> list[tf.Variable]:
  """Returns the kernels of a network's convolutions and dense layers: all trainable variables of rank 2 and more.

  Weight decay and the stability test apply to these variables only.

  Args:
    model: the network, built.
  """
  return [v for v in model.trainable_variables if v.shape.rank > 1]


class Network:
  """A network of the proxy task with its optimizer and its functions for training and evaluation.

  Args:
    task: the proxy task.
    architecture: one of the task's architectures.
    norm_act: returns a new norm-activation layer.

  Attributes:
    model: the Keras model.
    optimizer: the optimizer, SGD with Nesterov momentum.
    train_steps: the `tf.function` (iterator over batches, number of steps) -> sum of the losses of these steps.
    count_correct: the `tf.function` (images, labels) -> number of images that are classified correctly, a float32.
  """

  def __init__(self, task: ProxyTask, architecture: Architecture, norm_act: Callable[..., tf_keras.layers.Layer]):
    self._task = task
    self._strategy = get_strategy(task.strategy)
    with self._strategy.scope():
      self.model = task.build(architecture, norm_act)
      self._kernels = kernels(self.model)
      self.optimizer = _optimizer(task)
      # A training step that creates the optimizer's variables would be traced twice.
      self.optimizer._create_all_weights(self.model.trainable_variables)  # noqa: SLF001  nothing public makes them
    self.train_steps = tf.function(self._train_steps)
    self.count_correct = tf.function(self._count_correct, reduce_retracing=True)

  def _train_steps(self, batches, steps):
    total = 0.
    for _ in tf.range(steps):
      losses = self._strategy.run(self._train_step, args=next(batches))
      total += self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
    return total

  def _train_step(self, images, labels):
    variables = self.model.trainable_variables
    with tf.GradientTape() as tape:
      loss = self._task.loss(self.model, images, labels)
      decay = self._task.weight_decay * tf.add_n([tf.nn.l2_loss(kernel) for kernel in self._kernels])
      total = loss + decay / self._strategy.num_replicas_in_sync
    self.optimizer.apply_gradients(zip(tape.gradient(total, variables), variables))
    return loss

  def _count_correct(self, images, labels):
    def count(images, labels):
      predictions = tf.argmax(self.model(images, training=False), -1, labels.dtype)
      return tf.reduce_sum(tf.cast(predictions == labels, tf.float32))
    return self._strategy.reduce(
        tf.distribute.ReduceOp.SUM, self._strategy.run(count, args=(images, labels)), axis=None)


class Training:
  """The training of one network on the proxy task, which can pause for tests.

  Args:
    task: the proxy task.
    architecture: one of the task's architectures.
    norm_act: returns a new norm-activation layer.
    seconds: a dictionary to which the time spent is added, in seconds, under 'build', 'trace', 'train' and 'evaluate'.

  Attributes:
    model: the Keras model.
    steps_done: the number of training steps so far.
  """

  def __init__(self, task: ProxyTask, architecture: Architecture, norm_act: Callable[..., tf_keras.layers.Layer],
               seconds: dict[str, float]):
    self.steps_done = 0
    self._calls = []  # (number of steps, seconds) of each call but the first
    self._clock = _step_clock()
    self._seconds = seconds
    self._task = task
    self._strategy = get_strategy(task.strategy)
    with timed(seconds, 'build'):
      self._network = self._make_network(architecture, norm_act)
      self.model = self._network.model
      with self._strategy.scope():
        self._batches = iter(self._distribute(task.training_batches()))

  def train(self, steps: int) -> float:
    """Trains for a further number of steps.

    Args:
      steps: the number of steps; 0 does nothing.

    Returns:
      The mean cross-entropy over these steps, without weight decay; NaN for no step.

    Raises:
      NonFiniteLoss: if the loss is infinite or NaN.
      KeyboardInterrupt: after Ctrl-C.
    """
    train_steps, end, total = self._network.train_steps, self.steps_done + steps, 0.
    while self.steps_done < end:
      raise_if_interrupted()
      count = min(_next_check(self.steps_done), end) - self.steps_done
      with timed(self._seconds, 'train' if self.steps_done else 'trace'):
        start = self._clock()
        loss = float(train_steps(self._batches, tf.constant(count)))
      if self.steps_done:
        self._calls.append((count, self._clock() - start))
      self.steps_done += count
      if not math.isfinite(loss):
        raise NonFiniteLoss(NOT_FINITE.format(steps=self.steps_done))
      total += loss
    return total / steps if steps else math.nan

  @property
  def step_seconds(self) -> float | None:
    """The time of a training step in seconds, without tracing; None before the second step.

    It is the median over the longest calls, which are of `STEPS_PER_CALL` steps unless the training is shorter. Where
    the process computes on CPUs alone, it is processor time, which other processes hardly disturb.
    """
    longest = max((count for count, _ in self._calls), default=0)
    return statistics.median(s / count for count, s in self._calls if count == longest) if longest else None

  def accuracy(self, split: str) -> float:
    """Returns the accuracy on a split: the share of images that are classified correctly, in [0, 1].

    Args:
      split: 'validation' or 'test'.

    Raises:
      KeyboardInterrupt: after Ctrl-C.
    """
    labels = self._task.load()[split][1]
    dataset = self._distribute(self._task.evaluation_batches(split))
    count_correct, correct = self._network.count_correct, 0.
    with timed(self._seconds, 'evaluate'):
      for batch in dataset:
        raise_if_interrupted()
        correct += float(count_correct(*batch))
    return correct / len(labels)

  def close(self) -> None:
    """Ends the training. A subclass that reuses networks releases its network here."""

  def _make_network(self, architecture: Architecture, norm_act: Callable[..., tf_keras.layers.Layer]) -> Network:
    return Network(self._task, architecture, norm_act)

  def _distribute(self, dataset: tf.data.Dataset):
    """Returns the dataset distributed over the strategy's replicas; with one replica, the dataset itself.

    One replica avoids TensorFlow's distributed iterators, which crash the process if they are deleted while they fetch
    (seen with 2.20).
    """
    if self._strategy.num_replicas_in_sync == 1:
      return dataset
    return self._strategy.experimental_distribute_dataset(dataset)


def _next_check(steps_done: int) -> int:
  regular = STEPS_PER_CALL * (steps_done // STEPS_PER_CALL + 1)
  return min(check for check in (*_FIRST_CHECKS, regular) if check > steps_done)


def _step_clock() -> Callable[[], float]:
  """Returns the clock for training steps, in seconds: the processor time of this process, if it has no accelerator."""
  kinds = {device.device_type for device in tf.config.list_logical_devices()}
  return time.process_time if kinds == {'CPU'} else time.perf_counter


def _optimizer(task: ProxyTask) -> tf_keras.optimizers.legacy.Optimizer:
  """Returns SGD in its legacy form, which has one fused op for each variable and halves the time of tracing a step."""
  rate = task.learning_rate
  if task.cosine:
    rate = tf_keras.optimizers.schedules.CosineDecay(rate, task.steps)
  return tf_keras.optimizers.legacy.SGD(rate, task.momentum, nesterov=True)


@contextlib.contextmanager
def timed(seconds: dict[str, float], activity: str) -> Iterator[None]:
  """Adds the time spent inside the context to `seconds[activity]`, also if an exception ends the context.

  Args:
    seconds: the time spent so far in seconds, by activity.
    activity: the key, such as 'train'.
  """
  start = time.perf_counter()
  try:
    yield
  finally:
    seconds[activity] = seconds.get(activity, 0.) + time.perf_counter() - start
