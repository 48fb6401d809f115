"""The classification trainer: run_classification trains, evaluates or exports a network with a norm-activation layer.

Model Garden's runner does the work (`official.core.train_lib`); this module describes the experiment to it. Statistics
over a batch are those of a replica unless `norm_act_options` asks for synchronized ones; weight decay spares all but
the kernels of convolutions and of the last layer.
"""

import contextlib
import math
import numbers
import os
import time

from official.core import config_definitions
from official.vision.configs import image_classification
import orbit
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf import backbones
from evonorm_tf import graph_memory
from evonorm_tf import model_settings
from evonorm_tf import scaling
from evonorm_tf.classification_checkpoints import latest_checkpoint
from evonorm_tf.classification_export import export
from evonorm_tf.classification_runner import ClassificationRunner
from evonorm_tf.classification_task import ClassificationTask
from evonorm_tf.layer_graph import LayerGraph
from evonorm_tf.model_dir import lock
from evonorm_tf.norm_act import get_norm_act
from evonorm_tf.strategy import get_strategy
from evonorm_tf.strategy import STRATEGIES

MODES = ('train', 'eval', 'train_and_eval', 'export')
PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16')


def run_classification(
    model_dir, mode, norm_act, backbone, data, optimization, batch_size, epochs, norm_act_options=None,
    eval_batch_size=None, weight_decay=0., label_smoothing=0., dropout=0., seed=0, strategy='one_device', tpu=None,
    precision='float32', jit_compile=False, steps_per_loop=20, epochs_between_evaluations=1.,
    epochs_between_checkpoints=1., checkpoints_to_keep=3, histograms=False, operative_config=None, console=None):
  """Runs one experiment; the same arguments on the same `model_dir` go on where it stopped.

  Of the process's state, the seeds of Python, NumPy and TensorFlow are changed (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: receives checkpoints, TensorBoard events (train/, validation/), best/ and, of mode 'export', export/.
    mode: one of `MODES`. 'eval' writes nothing but events in validation/.
    norm_act: the layer in every norm-act place: a name or the path of a layer graph, as `get_norm_act` takes it.
    backbone: a configuration of `evonorm_tf.backbones`; its `norm_act` is overridden.
    data: the images: a `classification_data.Cifar10` or an `imagenet.ImageNet`.
    optimization: an `optimization.Optimization`.
    batch_size: images a step, of all replicas together.
    epochs: passes over the training images.
    norm_act_options: arguments of the layer, such as {'groups': 16} or {'synchronized': True}.
    eval_batch_size: default: `batch_size`; rounded up to a multiple of the replicas.
    weight_decay: λ of the loss term λ/2·Σ‖kernel‖².
    label_smoothing: the share of the labels that is spread over all classes, in training.
    dropout: the rate in front of the last layer.
    seed: of initial weights, order, augmentation and dropout.
    strategy, tpu: see `strategy.get_strategy`.
    precision: one of `PRECISIONS`.
    jit_compile: whether XLA compiles the training step; for one replica without synchronized statistics.
    steps_per_loop: steps between two looks at the losses: progress, scalars, the test for finite values.
    epochs_between_evaluations: rounded such that all are equally many steps apart and the last is at the end.
    epochs_between_checkpoints: rounded to steps; a checkpoint is saved at the end of a loop.
    checkpoints_to_keep: the newest so many.
    histograms: whether TensorBoard gets histograms of γ and v1 of every layer.
    operative_config: a function that returns the configuration as text, for TensorBoard and the model directory.
    console: a rich Console for the progress; default: standard error.

  Returns:
    Of the modes that evaluate: a dictionary of `accuracy`, `top_5_accuracy`, `validation_loss` (the mean cross-entropy
    of the evaluation images, no more), `seconds`, `step` and, of 'train_and_eval', `best_accuracy`.
    Of 'export': the folder of the SavedModel. Of 'train': {}.

  Raises:
    ValueError: for a bad argument, missing data, or a `model_dir` that is in use or holds another model.
    FloatingPointError: if the loss or a weight is not finite any more; the last good checkpoint is kept.
  """
  started = time.monotonic()
  norm_act_options = dict(norm_act_options or {})
  eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
  _check_choices(mode=(mode, MODES), precision=(precision, PRECISIONS), strategy=(strategy, STRATEGIES))
  _check_integers(1, batch_size=batch_size, eval_batch_size=eval_batch_size, steps_per_loop=steps_per_loop,
                  checkpoints_to_keep=checkpoints_to_keep)
  _check_integers(0, seed=seed)
  scaling.check_positive(epochs=epochs, epochs_between_evaluations=epochs_between_evaluations,
                         epochs_between_checkpoints=epochs_between_checkpoints)
  scaling.check_rate(label_smoothing=label_smoothing, dropout=dropout, weight_decay=weight_decay)
  backbone_config = backbones.make_config(backbone, norm_act, norm_act_options)
  _check_norm_act(norm_act, norm_act_options, jit_compile, strategy)
  if 'train' not in mode:
    latest_checkpoint(model_dir)
  # Before TensorFlow computes anything: hosts have to find each other first. An export is one device's work.
  strategy_object = get_strategy('one_device') if mode == 'export' else get_strategy(strategy, tpu)
  replicas = strategy_object.num_replicas_in_sync
  if batch_size % replicas:
    raise ValueError(f'`batch_size` must be a multiple of the {replicas} replicas, received {batch_size}.')
  eval_batch_size = math.ceil(eval_batch_size / replicas) * replicas
  data.check()
  config = config_definitions.ExperimentConfig(
      runtime=_runtime_config(strategy, precision),
      task=_task_config(backbone_config, data, batch_size, eval_batch_size, weight_decay, label_smoothing, dropout),
      trainer=_trainer_config(
          data, optimization, batch_size, epochs, steps_per_loop, epochs_between_evaluations,
          epochs_between_checkpoints, checkpoints_to_keep))
  task = ClassificationTask(config.task, data, seed, jit_compile)
  console = console or Console(stderr=True)
  with (_reserved(model_dir, mode, _model_settings(config, optimization, norm_act), strategy_object),
        _process_state('float32' if mode == 'export' else precision)):
    if mode == 'export':
      folder = export(task, config, data, model_dir)
      console.print(f'SavedModel: {folder}', highlight=False, markup=False, soft_wrap=True)
      return folder
    runner = ClassificationRunner(strategy_object, task, mode, config, model_dir, histograms, console)
    if 'train' in mode:
      runner.describe(data, seed, operative_config)
    results = runner.run()
  return {**results, 'seconds': time.monotonic() - started} if results else {}


def _check_choices(**arguments) -> None:
  """Raises ValueError unless every value, in a pair with the known ones, is one of them."""
  for name, (value, known) in arguments.items():
    if value not in known:
      raise ValueError(f'`{name}` must be one of {known}, received {value!r}.')


def _check_integers(least: int, **arguments) -> None:
  """Raises ValueError unless every argument is an integer from `least` on that NumPy takes for a seed."""
  for name, value in arguments.items():
    if not isinstance(value, numbers.Integral) or not least <= value < 2**32:
      raise ValueError(f'`{name}` must be an integer of at least {least} and below 2³², received {value!r}.')


def _check_norm_act(norm_act, norm_act_options, jit_compile, strategy) -> None:
  """Raises ValueError for a layer or an option that is not, or where XLA would compile what replicas do together."""
  if jit_compile and strategy != 'one_device':
    raise ValueError(f"`jit_compile=True` needs strategy='one_device', received {strategy!r}: replicas do not meet "
                     'inside XLA.')
  if jit_compile and norm_act_options.get('synchronized'):
    raise ValueError("`jit_compile=True` needs statistics that are not synchronized, received `norm_act_options` "
                     f'{norm_act_options}.')
  try:
    get_norm_act(norm_act, **norm_act_options)
  except TypeError as e:
    raise ValueError(f'`norm_act_options` must be arguments of {norm_act!r}, received {norm_act_options}: {e}') from e


def _runtime_config(strategy, precision) -> config_definitions.RuntimeConfig:
  return config_definitions.RuntimeConfig(
      distribution_strategy=strategy, mixed_precision_dtype=precision.removeprefix('mixed_'),
      loss_scale='dynamic' if precision == 'mixed_float16' else None)


def _task_config(backbone, data, batch_size, eval_batch_size, weight_decay, label_smoothing,
                 dropout) -> image_classification.ImageClassificationTask:
  """Returns Model Garden's description of model, losses and batches; `backbone` is its configuration."""
  return image_classification.ImageClassificationTask(
      model=image_classification.ImageClassificationModel(
          num_classes=data.num_classes, input_size=[data.image_size, data.image_size, 3], dropout_rate=dropout,
          backbone=backbone),
      losses=image_classification.Losses(
          one_hot=True, label_smoothing=label_smoothing, l2_weight_decay=weight_decay),
      train_data=image_classification.DataConfig(is_training=True, global_batch_size=batch_size),
      validation_data=image_classification.DataConfig(
          is_training=False, global_batch_size=eval_batch_size, drop_remainder=False))


def _trainer_config(data, optimization, batch_size, epochs, steps_per_loop, epochs_between_evaluations,
                    epochs_between_checkpoints, checkpoints_to_keep) -> config_definitions.TrainerConfig:
  """Returns Model Garden's description of the optimizer and the loop; epochs become steps."""
  steps_per_epoch = data.train_images / batch_size
  steps = round(epochs * steps_per_epoch)
  if not steps:
    raise ValueError(f'`epochs` must amount to one step of {batch_size} images, received {epochs} of '
                     f'{data.train_images} images.')
  evaluations = max(1, round(epochs / epochs_between_evaluations))
  return config_definitions.TrainerConfig(
      train_steps=steps, steps_per_loop=steps_per_loop, summary_interval=steps_per_loop,
      validation_interval=math.ceil(steps / evaluations), validation_steps=-1,
      checkpoint_interval=max(1, round(epochs_between_checkpoints * steps_per_epoch)),
      max_to_keep=checkpoints_to_keep, recovery_max_trials=-1,  # FiniteGuard stops the run instead
      preemption_on_demand_checkpoint=False,  # it would keep a host from ending when it is told to
      best_checkpoint_export_subdir='best', best_checkpoint_eval_metric='accuracy',
      best_checkpoint_metric_comp='higher',
      optimizer_config=optimization.config(batch_size, steps_per_epoch, steps))


def _model_settings(config, optimization, norm_act) -> dict:
  """What a checkpoint depends on: its variables, and the options of the optimizer that would be restored from it."""
  model = config.task.model
  backbone = model.backbone.get().as_dict()
  if str(norm_act).endswith('.json'):
    backbone['norm_act'] = LayerGraph.load(norm_act).to_dict()  # not the path, where another graph may lie by now
  return {
      'num_classes': model.num_classes, 'input_size': list(model.input_size), model.backbone.type: backbone,
      'optimizer': optimization.optimizer, optimization.optimizer: dict(optimization.options),
      'moving_average': optimization.ema_decay is not None, 'loss_scale': config.runtime.loss_scale}


@contextlib.contextmanager
def _reserved(model_dir, mode, settings, strategy):
  """Keeps other trainings off `model_dir` within; raises ValueError if one runs there or it holds another model."""
  with contextlib.ExitStack() as stack:
    if 'train' in mode and strategy.extended.should_checkpoint:
      os.makedirs(model_dir, exist_ok=True)
      lock(stack.enter_context(open(os.path.join(model_dir, 'training.lock'), 'a', encoding='utf-8')), 'training')
      model_settings.check_or_record(model_dir, settings)
    elif 'train' not in mode or os.path.exists(os.path.join(model_dir, model_settings.FILE)):
      model_settings.check(model_dir, settings)
    yield


@contextlib.contextmanager
def _process_state(policy: str):
  """Keras's global policy and silence of Orbit within; at the end both and TensorBoard's global step as before."""
  old_policy, step = tf_keras.mixed_precision.global_policy(), tf.summary.experimental.get_step()
  tf_keras.mixed_precision.set_global_policy(policy)
  orbit.controller.print = lambda message: None  # the log shows it better
  try:
    with graph_memory.released_gradients():
      yield
  finally:
    del orbit.controller.print
    tf.summary.experimental.set_step(step)
    tf_keras.mixed_precision.set_global_policy(old_policy)
