"""What makes a task of Model Garden one that goes on where it stopped: initial weights, optimizer and step."""

import functools
import time

from official.core import base_task
from official.core import base_trainer
import tensorflow as tf
import tf_keras

from evonorm_tf.training.finite_guard import LossWatch
from evonorm_tf.training.moving_average import make_optimizer
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.step_randomness import bind_dropout


class ResumableTask(base_task.Task):
  """A mixin in front of a Model Garden task.

  It adds a record of the first step of a non-finite loss, and averages of the weights in any precision.
  `ResumableTrainer` calls `build_inputs` for the training with a further argument `first_step`.

  Args:
    params: Model Garden's configuration of the task.
    seed: of the weights' initial values and of the data.
    jit_compile: whether XLA compiles the training step.
  """

  def __init__(self, params, seed, jit_compile=False, **kwargs):
    super().__init__(params, **kwargs)
    self._seed = seed
    self._jit_compile = jit_compile
    self.global_step = self.loss_watch = None  # the trainer's

  @property
  def seed(self) -> int:
    return self._seed

  def skipped_records(self) -> int:
    """Returns how many images this process could not read so far."""
    return 0

  def create_slots(self, optimizer, model) -> None:
    """Makes the optimizer's variables, before they are restored."""
    create = getattr(optimizer, '_create_all_weights', None) or optimizer.build
    create(model.trainable_variables)

  def loop_logs(self, model, optimizer) -> dict:
    """Returns further scalars for TensorBoard, by name, behind each training loop."""
    del model, optimizer
    return {}

  def begin_evaluation(self, model) -> None:
    """Is called before each evaluation, outside the replicas."""

  @classmethod
  def create_optimizer(cls, optimizer_config, runtime_config=None, dp_config=None):
    """See `make_optimizer`."""
    return make_optimizer(optimizer_config, runtime_config)

  def build_model(self):
    tf_keras.utils.set_random_seed(self._seed)
    return super().build_model()

  def train_step(self, inputs, model, optimizer, metrics=None):
    is_averaged = isinstance(optimizer, MovingAverage)
    step = super().train_step
    if self._jit_compile:
      step = tf.function(step, jit_compile=True, autograph=False)
    logs = step(inputs, model=model, optimizer=optimizer.inner if is_averaged else optimizer, metrics=metrics)
    if is_averaged:
      optimizer.update()
    self.loss_watch.update(logs[self.loss])
    return logs


class ResumableTrainer(base_trainer.Trainer):
  """Model Garden's trainer for a `ResumableTask`.

  Its output has `images_per_second`, of the steps alone, and, if there are any, `skipped_records`: how many images this
  process could not read so far.
  """

  def __init__(self, config, task, model, optimizer, train=True, **kwargs):
    # Training batches are made when the step is known; until then this dataset keeps Model Garden from making others.
    super().__init__(config, task, model, optimizer, train, train_dataset=tf.data.Dataset.range(0), **kwargs)
    # Before they are restored; and a training step that would make them is traced twice.
    task.create_slots(optimizer, model)
    task.global_step, task.loss_watch = self.global_step, LossWatch(self.global_step)
    if train:
      bind_dropout(model, task.seed, self.global_step)
    self._loop_begin = None

  def train_loop_begin(self):
    super().train_loop_begin()
    step = int(self.global_step.numpy())
    if self._train_iter is None:  # the first loop after the checkpoint was restored
      self.train_dataset = self.distribute_dataset(
          functools.partial(self.task.build_inputs, first_step=step), self.config.task.train_data)
    self._loop_begin = step, time.monotonic()

  def train_loop_end(self):
    logs = super().train_loop_end()
    step, begin = self._loop_begin
    images = (int(self.global_step.numpy()) - step) * self.config.task.train_data.global_batch_size
    logs['images_per_second'] = images / (time.monotonic() - begin)
    logs.update(self.task.loop_logs(self.model, self.optimizer))
    skipped = self.task.skipped_records()
    return {**logs, 'skipped_records': skipped} if skipped else logs

  def eval_begin(self):
    self.task.begin_evaluation(self.model)
    return super().eval_begin()
