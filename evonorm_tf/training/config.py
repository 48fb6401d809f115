"""Arguments that all trainers share: definitions, checks, and conversion to Model Garden configurations."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import math
import os
from typing import Any

from official.core import config_definitions
from rich.console import Console
import tensorflow as tf

from evonorm_tf import checks
from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.devices.strategy import STRATEGIES
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.output.model_dir import check_folder
from evonorm_tf.training.optimization import Optimization

PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16')
LOOP_MODES = ('train', 'eval', 'train_and_eval')  # every trainer has these; other modes use a trained model


@dataclasses.dataclass(frozen=True)
class SharedArguments:
  """The arguments that the root functions of all trainers have (`run_classification`, `run_mask_rcnn`, `run_gan`).

  `experiment.documents_shared_arguments` copies these texts into the docstrings of the root functions.

  Attributes:
    model_dir: the folder that receives checkpoints, TensorBoard events (train/, validation/) and the best checkpoint
      (best/).
    mode: what to do: 'train', 'eval', 'train_and_eval' or one of the trainer's own modes.
    norm_act: the layer in every norm-act place of the network: a name such as 'evonorm_s0', or the path of a layer
      graph's JSON file; see `layers.norm_act.get_norm_act`.
    norm_act_options: the arguments of that layer, such as {'groups': 16} or {'synchronized': True}; None (default) for
      none.
    eval_batch_size: the number of images per evaluation batch, over all replicas, rounded up to a multiple of their
      number; None (default) for the batch size of training.
    seed: the seed of the initial weights and of the training data, an integer of at least 0; default 0.
    strategy: the accelerators, one of `devices.strategy.STRATEGIES`; see `devices.strategy.get_strategy`. Default:
      'one_device'.
    tpu: the address of the TPU, for strategy='tpu' only; None (default) or 'local' for the local one.
    precision: the Keras precision policy, one of `training.config.PRECISIONS`; default 'float32'.
    jit_compile: whether XLA compiles the training step; this needs strategy='one_device' and statistics that are not
      synchronized between replicas. Default: False.
    steps_per_loop: the number of training steps after which progress and scalars are written and the loss and weights
      are checked to be finite; checkpoints and evaluations come after such a loop. Default: 20.
    checkpoints_to_keep: the number of the newest checkpoints to keep; default 3.
    histograms: whether to write histograms of every layer's γ and v1 to TensorBoard; default False.
    operative_config: a function that returns the configuration as text, which is written to TensorBoard and
      `model_dir`; None (default) to write none.
    console: the rich Console that shows the progress; None (default) for standard error.
  """
  model_dir: str
  mode: str
  norm_act: str | os.PathLike
  norm_act_options: Mapping[str, Any] | None
  eval_batch_size: int | None
  seed: int
  strategy: str
  tpu: str | None
  precision: str
  jit_compile: bool
  steps_per_loop: int
  checkpoints_to_keep: int
  histograms: bool
  operative_config: Callable[[], str] | None
  console: Console | None

  @property
  def options(self) -> dict[str, Any]:
    """The layer's arguments, `norm_act_options`, as a new dict; empty if there are none."""
    return dict(self.norm_act_options or {})

  def check(self, modes: tuple[str, ...]) -> None:
    """Checks the arguments; the accelerators, and what is in `model_dir`, are checked later, when they are used.

    Args:
      modes: the values that the trainer accepts for `mode`.

    Raises:
      ArgumentError: if an argument is invalid.
    """
    checks.check_choices(
        mode=(self.mode, modes), precision=(self.precision, PRECISIONS), strategy=(self.strategy, STRATEGIES))
    checks.check_plain_paths(model_dir=self.model_dir)
    checks.check_integers(1, steps_per_loop=self.steps_per_loop, checkpoints_to_keep=self.checkpoints_to_keep)
    if self.eval_batch_size is not None:
      checks.check_integers(1, eval_batch_size=self.eval_batch_size)
    checks.check_integers(0, seed=self.seed)
    check_folder(self.model_dir)
    check_norm_act(self.norm_act, self.options)
    check_jit_compile(self.jit_compile, self.options, self.strategy)


@dataclasses.dataclass(frozen=True)
class Schedule:
  """The schedule of a training run, with its intervals in epochs.

  Attributes:
    optimization: the settings of the optimizer and the learning rate.
    batch_size: the number of images per step, over all replicas.
    epochs: the length of training in passes over the training images; may be a fraction.
    epochs_between_evaluations: the approximate interval between evaluations. It is adjusted so that they are evenly
      spaced and the last one is at the end of training.
    epochs_between_checkpoints: the least interval between checkpoints, rounded to steps of at least 1. Checkpoints are
      saved only at the end of a loop of `SharedArguments.steps_per_loop` steps.
  """
  optimization: Optimization
  batch_size: int
  epochs: float
  epochs_between_evaluations: float
  epochs_between_checkpoints: float

  def check(self) -> None:
    """Raises ArgumentError unless `batch_size` is a positive integer and the numbers of epochs are positive."""
    checks.check_integers(1, batch_size=self.batch_size)
    checks.check_positive(
        epochs=self.epochs, epochs_between_evaluations=self.epochs_between_evaluations,
        epochs_between_checkpoints=self.epochs_between_checkpoints)

  def trainer_config(self, train_images: int, steps_per_loop: int, checkpoints_to_keep: int,
                     best_metric: str) -> config_definitions.TrainerConfig:
    """Returns Model Garden's configuration of the optimizer and the training loop, with epochs converted to steps.

    Args:
      train_images: the number of training images, that is, of images per epoch.
      steps_per_loop: the number of training steps between two reports of progress; see `SharedArguments`.
      checkpoints_to_keep: the number of the newest checkpoints to keep.
      best_metric: the name of the evaluation result by which the best checkpoint is chosen; higher is better.

    Raises:
      ArgumentError: if `epochs` amounts to no step, or `optimization` does not fit the length of training.
    """
    steps_per_epoch = train_images / self.batch_size
    steps = round(self.epochs * steps_per_epoch)
    if not steps:
      raise ArgumentError(f'`epochs` must amount to one step of {self.batch_size} images, received {self.epochs} of '
                          f'{train_images} images.')
    evaluations = max(1, round(self.epochs / self.epochs_between_evaluations))
    config = loop_config(
        steps, steps_per_loop, math.ceil(steps / evaluations),
        max(1, round(self.epochs_between_checkpoints * steps_per_epoch)), checkpoints_to_keep, best_metric)
    return config.replace(optimizer_config=self.optimization.config(self.batch_size, steps_per_epoch, steps))


def make_strategy(strategy: str, tpu: str | None, batch_size: int, mode: str) -> tf.distribute.Strategy:
  """Returns the tf.distribute strategy for a mode of a trainer.

  For several hosts this must be called before TensorFlow computes anything.

  Args:
    strategy: the name of the strategy, one of `devices.strategy.STRATEGIES`.
    tpu: the address of the TPU, or None; see `devices.strategy.get_strategy`.
    batch_size: the number of images per training step, over all replicas.
    mode: the trainer's mode. A mode outside `LOOP_MODES`, such as 'export', always gets one device; the other arguments
      are then ignored.

  Raises:
    ArgumentError: if the accelerators cannot be used here, or `batch_size` is not a multiple of the number of replicas.
  """
  if mode not in LOOP_MODES:
    return get_strategy('one_device')
  result = get_strategy(strategy, tpu)
  if batch_size % result.num_replicas_in_sync:
    raise ArgumentError(f'`batch_size` must be a multiple of the {result.num_replicas_in_sync} replicas, received '
                        f'{batch_size}.')
  return result


def whole_batch(size: int, strategy: tf.distribute.Strategy) -> int:
  """Rounds a batch size up to a multiple of the number of replicas, so that all of them get the same number of images.

  Args:
    size: the number of images per batch, over all replicas.
    strategy: the strategy that has the replicas.
  """
  replicas = strategy.num_replicas_in_sync
  return math.ceil(size / replicas) * replicas


def runtime_config(strategy: str, precision: str) -> config_definitions.RuntimeConfig:
  """Returns Model Garden's configuration of accelerators and precision.

  Args:
    strategy: the accelerators, one of `devices.strategy.STRATEGIES`.
    precision: one of `PRECISIONS`; 'mixed_float16' also switches on dynamic loss scaling.
  """
  return config_definitions.RuntimeConfig(
      distribution_strategy=strategy, mixed_precision_dtype=precision.removeprefix('mixed_'),
      loss_scale='dynamic' if precision == 'mixed_float16' else None)


def loop_config(steps: int, steps_per_loop: int, steps_between_evaluations: int, steps_between_checkpoints: int,
                checkpoints_to_keep: int, best_metric: str,
                best_is: str = 'higher') -> config_definitions.TrainerConfig:
  """Returns Model Garden's configuration of the training loop.

  Args:
    steps: the length of training in steps.
    steps_per_loop: the number of steps between two reports of progress; see `SharedArguments`.
    steps_between_evaluations: the number of steps between evaluations; the last evaluation is at the end of training.
    steps_between_checkpoints: the least number of steps between checkpoints, which are saved only at the end of a loop.
    checkpoints_to_keep: the number of the newest checkpoints to keep.
    best_metric: the name of the evaluation result by which the best checkpoint is chosen.
    best_is: 'higher', the default, or 'lower', whichever value of `best_metric` is better.
  """
  return config_definitions.TrainerConfig(
      train_steps=steps, steps_per_loop=steps_per_loop, summary_interval=steps_per_loop,
      validation_interval=steps_between_evaluations, validation_steps=-1,
      checkpoint_interval=steps_between_checkpoints,
      max_to_keep=checkpoints_to_keep, recovery_max_trials=-1,  # no recovery; FiniteGuard stops the run instead
      preemption_on_demand_checkpoint=False,  # True would keep a host from exiting on SIGTERM
      best_checkpoint_export_subdir='best', best_checkpoint_eval_metric=best_metric,
      best_checkpoint_metric_comp=best_is)


def optimizer_settings(optimization: Optimization, runtime: config_definitions.RuntimeConfig) -> dict[str, Any]:
  """Returns the optimizer settings that must stay the same when a training resumes from a checkpoint.

  They determine which variables the optimizer has, or would be restored from the checkpoint whatever the configuration
  says, such as the momentum. The learning rate and its schedule are not among them and may change.

  Args:
    optimization: the settings of the optimizer.
    runtime: Model Garden's runtime configuration, for its loss scaling.

  Returns:
    JSON data for `Experiment.model_settings`: 'optimizer', the optimizer's name; under that name, its options;
    'moving_average', whether the weights are averaged; 'loss_scale', 'dynamic' or None.
  """
  return {
      'optimizer': optimization.optimizer, optimization.optimizer: dict(optimization.options),
      'moving_average': optimization.ema_decay is not None, 'loss_scale': runtime.loss_scale}


def check_norm_act(norm_act: str | os.PathLike, norm_act_options: Mapping[str, Any]) -> None:
  """Raises ArgumentError unless the layer exists and accepts the options.

  Args:
    norm_act: the name of a layer, or the path of a layer graph's JSON file.
    norm_act_options: the layer's arguments by name.
  """
  try:
    get_norm_act(norm_act, **norm_act_options)
  except TypeError as e:
    raise ArgumentError(
        f'`norm_act_options` must be arguments of {norm_act!r}, received {norm_act_options}: {e}') from e


def check_jit_compile(jit_compile: bool, norm_act_options: Mapping[str, Any], strategy: str) -> None:
  """Raises ArgumentError if XLA would have to compile communication between replicas, which it cannot.

  Args:
    jit_compile: whether XLA compiles the training step; if False, there is nothing to check.
    norm_act_options: the layer's arguments by name; 'synchronized' must not be true.
    strategy: the accelerators; must be 'one_device'.
  """
  if jit_compile and strategy != 'one_device':
    raise ArgumentError(f"`jit_compile=True` needs strategy='one_device', received {strategy!r}: replicas do not meet "
                        'inside XLA.')
  if jit_compile and norm_act_options.get('synchronized'):
    raise ArgumentError("`jit_compile=True` needs statistics that are not synchronized, received `norm_act_options` "
                        f'{norm_act_options}.')
