"""A task and a trainer for the TensorFlow Model Garden with which an interrupted training resumes exactly.

A resumed training does what an uninterrupted one would have done. The step, the weights and the optimizer's variables
are restored; initial weights and dropout are functions of the seed and the step; and the training batches start at the
restored step, provided that the task's data are a function of the step as well.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import time
from typing import Any

from official.core import base_task
from official.core import base_trainer
from official.core import config_definitions
import tensorflow as tf
import tf_keras

from evonorm_tf.output import standard_error
from evonorm_tf.training.finite_guard import LossWatch
from evonorm_tf.training.moving_average import make_optimizer
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.step_randomness import bind_dropout


class ResumableTask(base_task.Task):
  """A mixin that makes a Model Garden task resumable; a subclass names it before that task among its base classes.

  It makes the initial weights a function of the seed, and supports a moving average of the weights in any precision.
  The subclass's `build_inputs` takes a third argument, `first_step`: for training data, `ResumableTrainer` passes the
  step at which training starts or resumes. Training data never end.

  Args:
    params: Model Garden's configuration of the task.
    seed: the seed of the initial weights, the data and dropout, an integer of at least 0.
    jit_compile: whether XLA compiles the training step, by default False.
    **kwargs: further arguments of the Model Garden task.

  Attributes:
    global_step: the variable that counts training steps; None until a `ResumableTrainer` sets it.
  """

  def __init__(self, params: config_definitions.TaskConfig, seed: int, jit_compile: bool = False, **kwargs):
    super().__init__(params, **kwargs)
    self._seed = seed
    self._jit_compile = jit_compile
    self.global_step: tf.Variable | None = None

  @property
  def seed(self) -> int:
    """The seed of the initial weights, the data and dropout."""
    return self._seed

  def skipped_records(self) -> int:
    """Returns the number of images that this process could not read so far; by default 0."""
    return 0

  def create_slots(self, optimizer: tf_keras.optimizers.Optimizer, model: tf_keras.Model) -> None:
    """Creates the optimizer's variables, so that they exist when a checkpoint is restored.

    Args:
      optimizer: the optimizer that `create_optimizer` returned.
      model: the model that will be trained.
    """
    if hasattr(optimizer, '_create_all_weights'):  # a legacy optimizer, which has no public method for it
      optimizer._create_all_weights(model.trainable_variables)  # noqa: SLF001
    else:
      optimizer.build(model.trainable_variables)

  def loop_logs(self, model: tf_keras.Model, optimizer: tf_keras.optimizers.Optimizer) -> dict[str, Any]:
    """Returns further scalars to add to the results of a training loop, by name; by default none.

    Args:
      model: the model that is being trained.
      optimizer: its optimizer.
    """
    del model, optimizer
    return {}

  def begin_evaluation(self, model: tf_keras.Model) -> None:
    """Prepares an evaluation; by default does nothing.

    It is called outside the replicas, before a moving average takes the place of the weights.

    Args:
      model: the model that will be evaluated.
    """

  @classmethod
  def create_optimizer(cls, optimizer_config: Any, runtime_config: config_definitions.RuntimeConfig | None = None,
                       dp_config: Any = None) -> tf_keras.optimizers.Optimizer:
    """Builds the optimizer, with loss scaling in float16 and a moving average if configured; see `make_optimizer`.

    Args:
      optimizer_config: Model Garden's configuration of optimizer, learning rate and moving average.
      runtime_config: Model Garden's configuration of precision and loss scaling; must not be None.
      dp_config: ignored; Model Garden's settings of differential privacy.

    Raises:
      ArgumentError: if the optimizer's class rejects an option.
    """
    return make_optimizer(optimizer_config, runtime_config)

  def build_model(self) -> tf_keras.Model:
    """Returns Model Garden's network with initial weights that depend only on the seed.

    This sets the global seeds of Python, NumPy and TensorFlow.
    """
    tf_keras.utils.set_random_seed(self._seed)
    return super().build_model()

  def train_step(self, inputs: Any, model: tf_keras.Model, optimizer: tf_keras.optimizers.Optimizer,
                 metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> Mapping[str, tf.Tensor]:
    """Takes one training step in a replica and updates the moving average, if there is one.

    Args:
      inputs: one batch of the replica's training data.
      model: the model that is being trained.
      optimizer: its optimizer.
      metrics: the training metrics to update, or None.

    Returns:
      The step's results by name, with the loss under the task's key `loss`.
    """
    is_averaged = isinstance(optimizer, MovingAverage)
    step = super().train_step
    if self._jit_compile:
      step = tf.function(step, jit_compile=True, autograph=False)
    logs = step(inputs, model=model, optimizer=optimizer.inner if is_averaged else optimizer, metrics=metrics)
    if is_averaged:
      optimizer.update()
    return logs


class ResumableTrainer(base_trainer.Trainer):
  """Model Garden's trainer, extended for a `ResumableTask`: its training batches start at the restored step.

  Args:
    config: the experiment's complete Model Garden configuration.
    task: the task to train.
    model: the model that the task has built.
    optimizer: the optimizer that the task has created.
    train: whether the trainer will train, by default True; False for evaluation only.
    **kwargs: further arguments of Model Garden's `base_trainer.Trainer`.

  Attributes:
    loss_watch: the `LossWatch` that records the first step at which the loss was not finite.
  """

  def __init__(self, config: config_definitions.ExperimentConfig, task: ResumableTask, model: tf_keras.Model,
               optimizer: tf_keras.optimizers.Optimizer, train: bool = True, **kwargs):
    super().__init__(config, task, model, optimizer, train, train_dataset=_StartingLate(self._training_batches),
                     **kwargs)
    if kwargs.get('evaluate', True):
      self.eval_dataset = _StartingQuietly(self.eval_dataset)
    # The optimizer's variables must exist before a checkpoint is restored. Besides, a training step that had to create
    # them would be traced twice.
    task.create_slots(optimizer, model)
    task.global_step = self.global_step
    self.loss_watch = LossWatch(self.global_step)
    if train:
      bind_dropout(model, task.seed, self.global_step)
    self._loop_begin: tuple[int, float] | None = None
    self._skipped_before = 0

  def _training_batches(self) -> tf.distribute.DistributedDataset:
    """Returns the distributed training batches from the current step on."""
    first_step = int(self.global_step.numpy())

    def make(params, input_context):
      # TensorFlow does not see that a filtered dataset is infinite. On several hosts it would look out for the last
      # batches then, and lose the batch size, which Model Garden's Mask R-CNN needs.
      return self.task.build_inputs(params, input_context, first_step).apply(
          tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return self.distribute_dataset(make, self.config.task.train_data)

  def train_loop_begin(self) -> None:
    """Starts a training loop (the `steps_per_loop` steps between two reports) and notes its first step and its time."""
    super().train_loop_begin()
    self._loop_begin = int(self.global_step.numpy()), time.monotonic()

  def train_step(self, iterator: Iterator) -> None:
    """Takes one training step in all replicas and records whether each replica's loss is finite.

    Args:
      iterator: the iterator over the distributed training batches.
    """
    def step(inputs):
      logs = self.task.train_step(inputs, model=self.model, optimizer=self.optimizer, metrics=self.train_metrics)
      loss = logs[self.task.loss]
      self.loss_watch.update(loss)
      self.train_loss.update_state(loss)
      self.global_step.assign_add(1)

    self.strategy.run(step, args=(self.next_train_inputs(iterator),),
                      options=base_trainer.get_runtime_options(self.config))

  def train_loop_end(self) -> dict[str, Any]:
    """Ends a training loop.

    Returns:
      The results by name: Model Garden's (the mean loss, the training metrics, the learning rate), `images_per_second`,
      the task's `loop_logs` and, if the process could not read all images, their number so far as `skipped_records`.
    """
    logs = super().train_loop_end()
    step, begin = self._loop_begin
    images = (int(self.global_step.numpy()) - step) * self.config.task.train_data.global_batch_size
    logs['images_per_second'] = images / (time.monotonic() - begin)
    logs.update(self.task.loop_logs(self.model, self.optimizer))
    skipped = self.task.skipped_records()
    return {**logs, 'skipped_records': skipped} if skipped else logs

  def eval_begin(self) -> Any:
    """Starts an evaluation after the task's `begin_evaluation`."""
    self.task.begin_evaluation(self.model)
    self._skipped_before = self.task.skipped_records()
    return super().eval_begin()

  def eval_end(self, aggregated_logs: Any = None) -> dict[str, Any]:
    """Ends an evaluation.

    Args:
      aggregated_logs: what the task has aggregated over the batches; None, the default, if it aggregates nothing.

    Returns:
      Model Garden's results by name and, if the process could not read all images, how often it has skipped one
      meanwhile as `skipped_records`; a detector's evaluation, which fills its last batch up, may come to one twice.
    """
    logs = super().eval_end(aggregated_logs)
    skipped = self.task.skipped_records() - self._skipped_before
    return {**logs, 'skipped_records': skipped} if skipped else logs


class _StartingLate:
  """A placeholder for a dataset that is built only when it is iterated.

  Model Garden requires the training dataset when the trainer is constructed, when the step is still 0. Orbit, its loop
  library, calls `iter` before the first training loop. By then the newest checkpoint has been restored, so the batches
  start at its step.
  """

  def __init__(self, make: Callable[[], tf.distribute.DistributedDataset]):
    self._make = make

  def __iter__(self) -> Iterator:
    return iter(_StartingQuietly(self._make()))


class _StartingQuietly:
  """A dataset whose iterators are made in silence.

  TensorFlow optimizes the functions of an input pipeline when it makes an iterator, and then warns, in lines of
  thousands of characters and whatever the log level, that it cannot estimate the cost of cropping an unknown number of
  masks.
  """

  def __init__(self, dataset: tf.distribute.DistributedDataset):
    self._dataset = dataset

  def __iter__(self) -> Iterator:
    with standard_error.silenced():
      return iter(self._dataset)
