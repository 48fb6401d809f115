"""Model Garden's configuration of the loop and the precision of a training, and what of it a checkpoint depends on."""

import math

from official.core import config_definitions

from evonorm_tf import checks
from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.devices.strategy import STRATEGIES
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.training.optimization import Optimization

PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16')


def make_strategy(strategy: str, tpu: str | None, batch_size: int, mode: str):
  """Returns the tf.distribute strategy of a mode; ValueError unless its replicas can share a batch.

  For hosts to find each other it has to be called before TensorFlow computes anything.
  """
  if mode not in ('train', 'eval', 'train_and_eval'):
    return get_strategy('one_device')  # an export is one device's work
  result = get_strategy(strategy, tpu)
  if batch_size % result.num_replicas_in_sync:
    raise ArgumentError(f'`batch_size` must be a multiple of the {result.num_replicas_in_sync} replicas, received '
                        f'{batch_size}.')
  return result


def whole_batch(size: int, strategy) -> int:
  """Returns the next batch size of which every replica gets an equal share."""
  replicas = strategy.num_replicas_in_sync
  return math.ceil(size / replicas) * replicas


def runtime_config(strategy: str, precision: str) -> config_definitions.RuntimeConfig:
  """Returns Model Garden's description of where and in what precision a training runs."""
  return config_definitions.RuntimeConfig(
      distribution_strategy=strategy, mixed_precision_dtype=precision.removeprefix('mixed_'),
      loss_scale='dynamic' if precision == 'mixed_float16' else None)


def trainer_config(train_images: int, optimization: Optimization, batch_size: int, epochs: float, steps_per_loop: int,
                   epochs_between_evaluations: float, epochs_between_checkpoints: float, checkpoints_to_keep: int,
                   best_metric: str) -> config_definitions.TrainerConfig:
  """Returns Model Garden's description of the optimizer and the loop; epochs become steps.

  Args:
    train_images: images of an epoch.
    optimization: an `Optimization`.
    batch_size: images a step, of all replicas together.
    epochs, steps_per_loop, epochs_between_evaluations, epochs_between_checkpoints, checkpoints_to_keep: as the root
      functions take them.
    best_metric: the result whose highest value makes the best checkpoint.

  Raises:
    ValueError: if `epochs` is less than a step.
  """
  steps_per_epoch = train_images / batch_size
  steps = round(epochs * steps_per_epoch)
  if not steps:
    raise ArgumentError(f'`epochs` must amount to one step of {batch_size} images, received {epochs} of '
                        f'{train_images} images.')
  evaluations = max(1, round(epochs / epochs_between_evaluations))
  config = loop_config(
      steps, steps_per_loop, math.ceil(steps / evaluations),
      max(1, round(epochs_between_checkpoints * steps_per_epoch)), checkpoints_to_keep, best_metric)
  return config.replace(optimizer_config=optimization.config(batch_size, steps_per_epoch, steps))


def loop_config(steps: int, steps_per_loop: int, steps_between_evaluations: int, steps_between_checkpoints: int,
                checkpoints_to_keep: int, best_metric: str,
                best_is: str = 'higher') -> config_definitions.TrainerConfig:
  """Returns Model Garden's description of a loop of so many steps.

  Args:
    best_metric: the result that makes the best checkpoint.
    best_is: 'higher' or 'lower'.
    The others: as the root functions take them, in steps.
  """
  return config_definitions.TrainerConfig(
      train_steps=steps, steps_per_loop=steps_per_loop, summary_interval=steps_per_loop,
      validation_interval=steps_between_evaluations, validation_steps=-1,
      checkpoint_interval=steps_between_checkpoints,
      max_to_keep=checkpoints_to_keep, recovery_max_trials=-1,  # FiniteGuard stops the run instead
      preemption_on_demand_checkpoint=False,  # it would keep a host from ending when it is told to
      best_checkpoint_export_subdir='best', best_checkpoint_eval_metric=best_metric,
      best_checkpoint_metric_comp=best_is)


def optimizer_settings(optimization: Optimization, runtime: config_definitions.RuntimeConfig) -> dict:
  """What a checkpoint depends on: the optimizer's variables, and its options that would be restored from it."""
  return {
      'optimizer': optimization.optimizer, optimization.optimizer: dict(optimization.options),
      'moving_average': optimization.ema_decay is not None, 'loss_scale': runtime.loss_scale}


def norm_act_settings(norm_act):
  """The name of a layer; of a layer graph's file the graph, for another one may lie there by the next time."""
  return LayerGraph.load(norm_act).to_dict() if str(norm_act).endswith('.json') else str(norm_act)


def check_training(mode: str, modes: tuple[str, ...], precision: str, strategy: str, seed: int, sizes: dict,
                   epochs: dict) -> None:
  """Raises ValueError unless a trainer can take what every trainer takes.

  Args:
    mode: what to do.
    modes: those that there are.
    precision: one of `PRECISIONS`.
    strategy: one of `STRATEGIES`.
    seed: an integer from 0 on.
    sizes: integers from 1 on, by name.
    epochs: positive numbers, by name.
  """
  checks.check_choices(mode=(mode, modes), precision=(precision, PRECISIONS), strategy=(strategy, STRATEGIES))
  checks.check_integers(1, **sizes)
  checks.check_integers(0, seed=seed)
  checks.check_positive(**epochs)


def check_norm_act(norm_act, norm_act_options: dict) -> None:
  """Raises ValueError for a layer or an option that is not."""
  try:
    get_norm_act(norm_act, **norm_act_options)
  except TypeError as e:
    raise ArgumentError(f'`norm_act_options` must be arguments of {norm_act!r}, received {norm_act_options}: {e}') from e


def check_jit_compile(jit_compile: bool, norm_act_options: dict, strategy: str) -> None:
  """Raises ValueError where XLA would compile what replicas do together."""
  if jit_compile and strategy != 'one_device':
    raise ArgumentError(f"`jit_compile=True` needs strategy='one_device', received {strategy!r}: replicas do not meet "
                        'inside XLA.')
  if jit_compile and norm_act_options.get('synchronized'):
    raise ArgumentError("`jit_compile=True` needs statistics that are not synchronized, received `norm_act_options` "
                        f'{norm_act_options}.')
