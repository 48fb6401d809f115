"""Model Garden's trainer, with data that begin at the restored step and dropout that follows from the step."""

import functools
import time

from official.core import base_trainer
import tensorflow as tf

from evonorm_tf.training.finite_guard import LossWatch
from evonorm_tf.training.step_randomness import bind_dropout


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
