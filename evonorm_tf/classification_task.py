"""Model Garden's classification task on our backbones and data, and its trainer, which goes on exactly where it stopped.

What Model Garden does: model, loss, metrics, a training step, evaluation, checkpoints. What is done here: data that
begin at the restored step, dropout that follows from the step, a record of the first step of a non-finite loss, and
averages of the weights that are swapped without rounding.
"""

import functools

from official.core import base_trainer
from official.modeling import optimization
from official.modeling import performance
from official.modeling.optimization import ema_optimizer
from official.vision.tasks import image_classification
import tensorflow as tf
import tf_keras

from evonorm_tf.finite_guard import LossWatch
from evonorm_tf.step_randomness import bind_dropout


class ClassificationTask(image_classification.ImageClassificationTask):
  """Classification of the images of a data object.

  Args:
    params: Model Garden's ImageClassificationTask configuration.
    data: has `training_batches` and `evaluation_batches`, as `classification_data.Cifar10`.
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

  @classmethod
  def create_optimizer(cls, optimizer_config, runtime_config=None, dp_config=None):
    """Builds the optimizer; an average of the weights is an `ExactMovingAverage`."""
    factory = optimization.OptimizerFactory(optimizer_config.replace(ema=None))
    optimizer = factory.build_optimizer(factory.build_learning_rate())
    if optimizer_config.ema:
      optimizer = ExactMovingAverage(optimizer, **optimizer_config.ema.as_dict())
    return performance.configure_optimizer(
        optimizer, use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)

  def build_model(self):
    tf_keras.utils.set_random_seed(self._seed)
    return super().build_model()

  def build_inputs(self, params, input_context=None, first_step=0):
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self._seed, first_step, input_context)
    return self._data.evaluation_batches(params.global_batch_size, input_context)

  def train_step(self, inputs, model, optimizer, metrics=None):
    step = super().train_step
    if self._jit_compile:
      step = tf.function(step, jit_compile=True, autograph=False)
    logs = step(inputs, model=model, optimizer=optimizer, metrics=metrics)
    self.loss_watch.update(logs[self.loss])
    return logs


class ExactMovingAverage(ema_optimizer.ExponentialMovingAverage):
  """Model Garden's average of the weights, with a swap that gives back the very same bits.

  Model Garden swaps by sums and differences, whose rounding would make training depend on when it is evaluated.
  """

  def swap_weights(self):
    for average, weight in zip(self._average_weights, self._model_weights):
      values = tf.identity(average), tf.identity(weight)
      weight.assign(values[0])
      average.assign(values[1])


class ClassificationTrainer(base_trainer.Trainer):
  """Model Garden's trainer for a `ClassificationTask`."""

  def __init__(self, config, task, *args, **kwargs):
    super().__init__(config, task, *args, **kwargs)
    task.loss_watch = LossWatch(self.global_step)
    bind_dropout(self.model, task.seed, self.global_step)

  def train_loop_begin(self):
    super().train_loop_begin()
    if self._train_iter is None:  # the first loop after the checkpoint was restored
      first_step = int(self.global_step.numpy())
      self.train_dataset = self.distribute_dataset(
          functools.partial(self.task.build_inputs, first_step=first_step), self.config.task.train_data)
