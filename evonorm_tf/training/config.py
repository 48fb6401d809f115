"""Arguments shared by all trainers: their definitions, their checks, and the Model Garden settings made of them."""

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
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.training.optimization import Optimization

PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16')
LOOP_MODES = ('train', 'eval', 'train_and_eval')  # of every trainer; other modes use a trained model on one device


@dataclasses.dataclass(frozen=True)
class SharedArguments:
  """The arguments that every trainer has. The help of the root functions shows these texts.

  Attributes:
    model_dir: receives checkpoints, TensorBoard events (train/, validation/) and best/.
    mode: what to do: 'train', 'eval', 'train_and_eval' or a further mode of the trainer.
    norm_act: the layer in every norm-act place: a name or the path of a layer graph, as `get_norm_act` takes it.
    norm_act_options: arguments of the layer, such as {'groups': 16} or {'synchronized': True}.
    eval_batch_size: default: the batch size of training; rounded up to a multiple of the replicas.
    seed: of initial weights and data.
    strategy: the accelerators, one of `STRATEGIES`; see `devices.strategy.get_strategy`.
    tpu: the TPU's address, for strategy='tpu' alone; None or 'local' for the local one.
    precision: one of `config.PRECISIONS`.
    jit_compile: whether XLA compiles the training step; for one replica without synchronized statistics.
    steps_per_loop: steps between two looks at the losses: progress, scalars, the test for finite values.
    checkpoints_to_keep: how many of the newest checkpoints are kept.
    histograms: whether TensorBoard gets histograms of γ and v1 of every layer.
    operative_config: a function that returns the configuration as text, for TensorBoard and the model directory.
    console: a rich Console for the progress; default: standard error.
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
    """The arguments of the layer; none is an empty dict."""
    return dict(self.norm_act_options or {})

  def check(self, modes: tuple[str, ...]) -> None:
    """Raises ArgumentError unless a trainer with these modes can take the arguments."""
    checks.check_choices(
        mode=(self.mode, modes), precision=(self.precision, PRECISIONS), strategy=(self.strategy, STRATEGIES))
    checks.check_integers(1, steps_per_loop=self.steps_per_loop, checkpoints_to_keep=self.checkpoints_to_keep)
    if self.eval_batch_size is not None:
      checks.check_integers(1, eval_batch_size=self.eval_batch_size)
    checks.check_integers(0, seed=self.seed)
    check_norm_act(self.norm_act, self.options)
    check_jit_compile(self.jit_compile, self.options, self.strategy)


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A training by epochs.

  Attributes:
    optimization: the optimizer and the learning rate.
    batch_size: images a step, of all replicas together.
    epochs: passes over the training images.
    epochs_between_evaluations: rounded such that all are equally many steps apart and the last is at the end.
    epochs_between_checkpoints: rounded to steps; a checkpoint is saved at the end of a loop.
  """
  optimization: Optimization
  batch_size: int
  epochs: float
  epochs_between_evaluations: float
  epochs_between_checkpoints: float

  def check(self) -> None:
    """Raises ArgumentError unless all numbers are positive."""
    checks.check_integers(1, batch_size=self.batch_size)
    checks.check_positive(
        epochs=self.epochs, epochs_between_evaluations=self.epochs_between_evaluations,
        epochs_between_checkpoints=self.epochs_between_checkpoints)

  def trainer_config(self, train_images: int, steps_per_loop: int, checkpoints_to_keep: int,
                     best_metric: str) -> config_definitions.TrainerConfig:
    """Returns Model Garden's description of the optimizer and the loop; epochs become steps.

    Args:
      train_images: images of an epoch.
      steps_per_loop: see `SharedArguments`.
      checkpoints_to_keep: see `SharedArguments`.
      best_metric: the result whose highest value makes the best checkpoint.

    Raises:
      ArgumentError: if `epochs` is less than a step.
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
  """Returns the tf.distribute strategy of a mode; ArgumentError unless its replicas can share a batch.

  It has to be called before TensorFlow computes anything, for hosts to find each other.
  """
  if mode not in LOOP_MODES:
    return get_strategy('one_device')
  result = get_strategy(strategy, tpu)
  if batch_size % result.num_replicas_in_sync:
    raise ArgumentError(f'`batch_size` must be a multiple of the {result.num_replicas_in_sync} replicas, received '
                        f'{batch_size}.')
  return result


def whole_batch(size: int, strategy: tf.distribute.Strategy) -> int:
  """Returns the next batch size of which every replica gets an equal share."""
  replicas = strategy.num_replicas_in_sync
  return math.ceil(size / replicas) * replicas


def runtime_config(strategy: str, precision: str) -> config_definitions.RuntimeConfig:
  """Returns Model Garden's description of where and in what precision a training runs."""
  return config_definitions.RuntimeConfig(
      distribution_strategy=strategy, mixed_precision_dtype=precision.removeprefix('mixed_'),
      loss_scale='dynamic' if precision == 'mixed_float16' else None)


def loop_config(steps: int, steps_per_loop: int, steps_between_evaluations: int, steps_between_checkpoints: int,
                checkpoints_to_keep: int, best_metric: str,
                best_is: str = 'higher') -> config_definitions.TrainerConfig:
  """Returns Model Garden's description of the training loop.

  Args:
    steps: the length of the training.
    steps_per_loop: see `SharedArguments`.
    steps_between_evaluations: the last evaluation is at the end.
    steps_between_checkpoints: a checkpoint is saved at the end of a loop.
    checkpoints_to_keep: see `SharedArguments`.
    best_metric: the result that makes the best checkpoint.
    best_is: 'higher' or 'lower'.
  """
  return config_definitions.TrainerConfig(
      train_steps=steps, steps_per_loop=steps_per_loop, summary_interval=steps_per_loop,
      validation_interval=steps_between_evaluations, validation_steps=-1,
      checkpoint_interval=steps_between_checkpoints,
      max_to_keep=checkpoints_to_keep, recovery_max_trials=-1,  # FiniteGuard stops the run instead
      preemption_on_demand_checkpoint=False,  # it would keep a host from ending on SIGTERM
      best_checkpoint_export_subdir='best', best_checkpoint_eval_metric=best_metric,
      best_checkpoint_metric_comp=best_is)


def optimizer_settings(optimization: Optimization, runtime: config_definitions.RuntimeConfig) -> dict[str, Any]:
  """Returns what makes the optimizer's variables, and the options that a checkpoint would restore, as JSON data."""
  return {
      'optimizer': optimization.optimizer, optimization.optimizer: dict(optimization.options),
      'moving_average': optimization.ema_decay is not None, 'loss_scale': runtime.loss_scale}


def norm_act_settings(norm_act: str | os.PathLike) -> str | dict[str, Any]:
  """Returns the name of a layer, or the content of a layer graph's file, since the file may change."""
  return LayerGraph.load(norm_act).to_dict() if str(norm_act).endswith('.json') else str(norm_act)


def check_norm_act(norm_act: str | os.PathLike, norm_act_options: Mapping[str, Any]) -> None:
  """Raises ArgumentError for an unknown layer or an option that it does not have."""
  try:
    get_norm_act(norm_act, **norm_act_options)
  except TypeError as e:
    raise ArgumentError(
        f'`norm_act_options` must be arguments of {norm_act!r}, received {norm_act_options}: {e}') from e


def check_jit_compile(jit_compile: bool, norm_act_options: Mapping[str, Any], strategy: str) -> None:
  """Raises ArgumentError where XLA would have to compile what replicas do together."""
  if jit_compile and strategy != 'one_device':
    raise ArgumentError(f"`jit_compile=True` needs strategy='one_device', received {strategy!r}: replicas do not meet "
                        'inside XLA.')
  if jit_compile and norm_act_options.get('synchronized'):
    raise ArgumentError("`jit_compile=True` needs statistics that are not synchronized, received `norm_act_options` "
                        f'{norm_act_options}.')
