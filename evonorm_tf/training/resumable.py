"""A task and a trainer of Model Garden that resume exactly: initial weights, optimizer, data, dropout and step."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import time
from typing import Any

from official.core import base_task
from official.core import base_trainer
from official.core import config_definitions
import tensorflow as tf
import tf_keras

from evonorm_tf.training.finite_guard import LossWatch
from evonorm_tf.training.moving_average import make_optimizer
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.step_randomness import bind_dropout


class ResumableTask(base_task.Task):
  """A mixin that stands before a Model Garden task in the list of base classes.

  It makes the initial weights a function of the seed and adds averages of the weights in any precision.
  `ResumableTrainer` calls `build_inputs` for the training with a further argument `first_step`.

  Args:
    params: Model Garden's configuration of the task.
    seed: of the weights' initial values and of the data.
    jit_compile: whether XLA compiles the training step.
    **kwargs: arguments of the Model Garden task.

  Attributes:
    global_step: the variable of the training step; a `ResumableTrainer` sets it.
  """

  def __init__(self, params: config_definitions.TaskConfig, seed: int, jit_compile: bool = False, **kwargs):
    super().__init__(params, **kwargs)
    self._seed = seed
    self._jit_compile = jit_compile
    self.global_step: tf.Variable | None = None

  @property
  def seed(self) -> int:
    return self._seed

  def skipped_records(self) -> int:
    """Returns how many images this process could not read so far."""
    return 0

  def create_slots(self, optimizer: tf_keras.optimizers.Optimizer, model: tf_keras.Model) -> None:
    """Makes the optimizer's variables, before they are restored."""
    create = getattr(optimizer, '_create_all_weights', None) or optimizer.build
    create(model.trainable_variables)

  def loop_logs(self, model: tf_keras.Model, optimizer: tf_keras.optimizers.Optimizer) -> dict[str, Any]:
    """Returns further scalars for TensorBoard, by name, after each training loop."""
    del model, optimizer
    return {}

  def begin_evaluation(self, model: tf_keras.Model) -> None:
    """Is called before each evaluation, outside the replicas."""

  @classmethod
  def create_optimizer(cls, optimizer_config: Any, runtime_config: config_definitions.RuntimeConfig | None = None,
                       dp_config: Any = None) -> tf_keras.optimizers.Optimizer:
    """See `make_optimizer`."""
    return make_optimizer(optimizer_config, runtime_config)

  def build_model(self) -> tf_keras.Model:
    """Returns Model Garden's network; its initial weights follow from the seed."""
    tf_keras.utils.set_random_seed(self._seed)
    return super().build_model()

  def train_step(self, inputs: Any, model: tf_keras.Model, optimizer: tf_keras.optimizers.Optimizer,
                 metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> Mapping[str, tf.Tensor]:
    """Takes Model Garden's step in a replica, compiled if asked, and brings a moving average up to date."""
    is_averaged = isinstance(optimizer, MovingAverage)
    step = super().train_step
    if self._jit_compile:
      step = tf.function(step, jit_compile=True, autograph=False)
    logs = step(inputs, model=model, optimizer=optimizer.inner if is_averaged else optimizer, metrics=metrics)
    if is_averaged:
      optimizer.update()
    return logs


class ResumableTrainer(base_trainer.Trainer):
  """Model Garden's trainer for a `ResumableTask`, whose training batches begin at the restored step.

  The output of a training loop has `images_per_second`, of the steps alone, and, if there are any, `skipped_records`:
  how many images this process could not read so far.

  Args:
    config: the experiment.
    task: what is trained.
    model: the task's model.
    optimizer: the task's optimizer.
    train: whether the trainer will train, and not only evaluate.
    **kwargs: further arguments of Model Garden's trainer.

  Attributes:
    loss_watch: remembers the first step whose loss was not finite.
  """

  def __init__(self, config: config_definitions.ExperimentConfig, task: ResumableTask, model: tf_keras.Model,
               optimizer: tf_keras.optimizers.Optimizer, train: bool = True, **kwargs):
    super().__init__(config, task, model, optimizer, train, train_dataset=_StartingLate(self._training_batches),
                     **kwargs)
    # Before they are restored; and a training step that would make them is traced twice.
    task.create_slots(optimizer, model)
    task.global_step = self.global_step
    self.loss_watch = LossWatch(self.global_step)
    if train:
      bind_dropout(model, task.seed, self.global_step)
    self._loop_begin: tuple[int, float] | None = None

  def _training_batches(self) -> tf.distribute.DistributedDataset:
    """The batches of the training from the present step on."""
    make = functools.partial(self.task.build_inputs, first_step=int(self.global_step.numpy()))
    return self.distribute_dataset(make, self.config.task.train_data)

  def train_loop_begin(self) -> None:
    """Notes step and time."""
    super().train_loop_begin()
    self._loop_begin = int(self.global_step.numpy()), time.monotonic()

  def train_step(self, iterator: Iterator) -> None:
    """Takes a step in all replicas, as Model Garden's trainer does, and looks at the loss of each."""
    def step(inputs):
      logs = self.task.train_step(inputs, model=self.model, optimizer=self.optimizer, metrics=self.train_metrics)
      loss = logs[self.task.loss]
      self.loss_watch.update(loss)
      self.train_loss.update_state(loss)
      self.global_step.assign_add(1)

    self.strategy.run(step, args=(self.next_train_inputs(iterator),),
                      options=base_trainer.get_runtime_options(self.config))

  def train_loop_end(self) -> dict[str, Any]:
    """Returns the figures of the loop."""
    logs = super().train_loop_end()
    step, begin = self._loop_begin
    images = (int(self.global_step.numpy()) - step) * self.config.task.train_data.global_batch_size
    logs['images_per_second'] = images / (time.monotonic() - begin)
    logs.update(self.task.loop_logs(self.model, self.optimizer))
    skipped = self.task.skipped_records()
    return {**logs, 'skipped_records': skipped} if skipped else logs

  def eval_begin(self) -> Any:
    """Calls the task before the evaluation."""
    self.task.begin_evaluation(self.model)
    return super().eval_begin()


class _StartingLate:
  """Stands for a dataset that is made when its iterator is asked for.

  Model Garden takes the training dataset when the trainer is made, and then the step is 0. Orbit calls `iter` before
  the first training loop: by then the newest checkpoint has been restored, and the batches begin at its step.
  """

  def __init__(self, make: Callable[[], tf.distribute.DistributedDataset]):
    self._make = make

  def __iter__(self) -> Iterator:
    return iter(self._make())
