"""What makes a task of Model Garden one that goes on where it stopped: initial weights, optimizer and step."""

from official.core import base_task
import tensorflow as tf
import tf_keras

from evonorm_tf.training.moving_average import make_optimizer
from evonorm_tf.training.moving_average import MovingAverage


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
