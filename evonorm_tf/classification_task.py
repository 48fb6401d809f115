"""Model Garden's classification task on our backbones and data, and its trainer, which goes on where it stopped.

What Model Garden does: model, loss, metrics, a training step, evaluation, checkpoints. What is done here: data that
begin at the restored step, dropout that follows from the step, a record of the first step of a non-finite loss, a
validation in which each image counts alike, and averages of the weights in any precision.
"""

import functools
import math
import time

from official.core import base_trainer
from official.modeling import optimization
from official.modeling import performance
from official.vision.tasks import image_classification
import tensorflow as tf
import tf_keras

from evonorm_tf.finite_guard import LossWatch
from evonorm_tf.full_batches import full_batches
from evonorm_tf.full_batches import NO_IMAGE
from evonorm_tf.moving_average import MovingAverage
from evonorm_tf.step_randomness import bind_dropout


class ClassificationTask(image_classification.ImageClassificationTask):
  """Classification of the images of a data object.

  Args:
    params: Model Garden's ImageClassificationTask configuration.
    data: has `training_batches`, `evaluation_batches` and `validation_images`, as `classification_data.Cifar10`.
    seed: of the weights' initial values and the order and augmentation of the images.
    jit_compile: whether XLA compiles the training step.
  """

  def __init__(self, params, data, seed, jit_compile=False, **kwargs):
    super().__init__(params, **kwargs)
    self._data = data
    self._seed = seed
    self._jit_compile = jit_compile
    self.loss_watch = None

  @property
  def seed(self) -> int:
    return self._seed

  def skipped_records(self) -> int:
    """Returns how many images this process could not read so far."""
    return self._data.skipped_records()

  @classmethod
  def create_optimizer(cls, optimizer_config, runtime_config=None, dp_config=None):
    """Builds the optimizer: that of the configuration, in float16 with a scaled loss, and a `MovingAverage` outside."""
    factory = optimization.OptimizerFactory(optimizer_config.replace(ema=None))
    optimizer = performance.configure_optimizer(
        factory.build_optimizer(factory.build_learning_rate()),
        use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
    return MovingAverage(optimizer, **optimizer_config.ema.as_dict()) if optimizer_config.ema else optimizer

  def build_model(self):
    tf_keras.utils.set_random_seed(self._seed)
    return super().build_model()

  def build_inputs(self, params, input_context=None, first_step=0):
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self._seed, first_step, input_context)
    context = input_context or tf.distribute.InputContext()
    steps = math.ceil(self._data.validation_images / params.global_batch_size)
    return full_batches(
        self._data.evaluation_batches(params.global_batch_size, input_context),
        context.get_per_replica_batch_size(params.global_batch_size),
        steps * context.num_replicas_in_sync // context.num_input_pipelines)

  def build_metrics(self, training=True):
    metrics = super().build_metrics(training)
    if not training:
      metrics.append(tf_keras.metrics.CategoricalCrossentropy('validation_loss', from_logits=True))
    return metrics

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

  def validation_step(self, inputs, model, metrics=None):
    images, labels = inputs
    is_image = labels != NO_IMAGE
    labels = tf.one_hot(labels, self.task_config.model.num_classes)
    logits = tf.cast(self.inference_step(images, model), tf.float32)
    for metric in metrics:
      metric.update_state(labels, logits, sample_weight=is_image)
    return {}


class ClassificationTrainer(base_trainer.Trainer):
  """Model Garden's trainer for a `ClassificationTask`.

  Its output has `images_per_second`, of the steps alone, and, if there are any, `skipped_records`: how many images this
  process could not read so far.
  """

  def __init__(self, config, task, model, optimizer, train=True, **kwargs):
    # Training batches are made when the step is known; until then this dataset keeps Model Garden from making others.
    super().__init__(config, task, model, optimizer, train, train_dataset=tf.data.Dataset.range(0), **kwargs)
    # Before they are restored; and a training step that would make them is traced twice.
    create = getattr(optimizer, '_create_all_weights', None) or optimizer.build
    create(model.trainable_variables)
    task.loss_watch = LossWatch(self.global_step)
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
    skipped = self.task.skipped_records()
    return {**logs, 'skipped_records': skipped} if skipped else logs
