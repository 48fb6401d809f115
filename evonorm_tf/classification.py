"""The classification trainer: run_classification trains, evaluates or exports one network with one norm-activation layer.

Model Garden's runner does the work (`official.core.train_lib`); this module describes the experiment to it. Statistics
over a batch are those of a replica unless `norm_act_options` asks for synchronized ones; weight decay spares all but
the kernels of convolutions and of the last layer.
"""

import contextlib
import io
import math
import os
import tempfile
import time

from official.core import config_definitions
from official.core import train_lib
from official.core import train_utils
from official.vision.configs import image_classification
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf import backbones
from evonorm_tf import model_settings
from evonorm_tf import training_log
from evonorm_tf.classification_export import export
from evonorm_tf.classification_export import latest_checkpoint
from evonorm_tf.classification_task import ClassificationTask
from evonorm_tf.classification_task import ClassificationTrainer
from evonorm_tf.finite_guard import FiniteGuard
from evonorm_tf.layer_graph import LayerGraph
from evonorm_tf.norm_act import get_norm_act
from evonorm_tf.strategy import get_strategy

MODES = ('train', 'eval', 'train_and_eval', 'export')
PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16')


def run_classification(
    model_dir, mode, norm_act, backbone, data, optimization, batch_size, epochs, norm_act_options=None,
    eval_batch_size=None, weight_decay=0., label_smoothing=0., dropout=0., seed=0, strategy='one_device', tpu=None,
    precision='float32', jit_compile=False, steps_per_loop=20, epochs_between_evaluations=1.,
    epochs_between_checkpoints=1., checkpoints_to_keep=3, histograms=False, operative_config=None, console=None):
  """Runs one experiment; the same arguments on the same `model_dir` go on where it stopped.

  Args:
    model_dir: receives checkpoints, TensorBoard events (train/, validation/), best/ and, of mode 'export', export/.
    mode: one of `MODES`.
    norm_act: the layer in every norm-act place: a name or the path of a layer graph, as `get_norm_act` takes it.
    backbone: a configuration of `evonorm_tf.backbones`; its `norm_act` is overridden.
    data: the images: a `classification_data.Cifar10` or an `imagenet.ImageNet`.
    optimization: an `optimization.Optimization`.
    batch_size: images a step, over all replicas.
    epochs: passes over the training images.
    norm_act_options: arguments of the layer, such as {'groups': 16} or {'synchronized': True}.
    eval_batch_size: default: `batch_size`.
    weight_decay: λ of the loss term λ/2·Σ‖kernel‖².
    label_smoothing: the share of the labels that is spread over all classes.
    dropout: the rate in front of the last layer.
    seed: of initial weights, order, augmentation and dropout.
    strategy, tpu: see `strategy.get_strategy`.
    precision: one of `PRECISIONS`.
    jit_compile: whether XLA compiles the training step; for one replica.
    steps_per_loop: steps between two looks at the losses: progress, scalars, the test for finite values.
    epochs_between_evaluations, epochs_between_checkpoints: rounded to steps.
    checkpoints_to_keep: the newest so many.
    histograms: whether TensorBoard gets histograms of γ and v1 of every layer.
    operative_config: a function that returns the configuration as text, for TensorBoard and the model directory.
    console: a rich Console for the progress; default: standard error.

  Returns:
    Of the modes that evaluate: a dictionary of `accuracy`, `top_5_accuracy`, `validation_loss`, `seconds` and `step`.
    Of 'export': the folder of the SavedModel. Of 'train': {}.

  Raises:
    ValueError: for a bad argument, missing data, or a `model_dir` with another model.
    FloatingPointError: if the loss or a weight is not finite any more; the last good checkpoint is kept.
  """
  started = time.monotonic()
  _check(mode, precision, batch_size, epochs, jit_compile, strategy)
  # Before TensorFlow computes anything: hosts have to find each other first.
  strategy_object = get_strategy(strategy, tpu)
  get_norm_act(norm_act, **(norm_act_options or {}))
  data.check()
  config = make_config(
      norm_act, norm_act_options or {}, backbone, data, optimization, batch_size, epochs, eval_batch_size or batch_size,
      weight_decay, label_smoothing, dropout, strategy, precision, steps_per_loop, epochs_between_evaluations,
      epochs_between_checkpoints, checkpoints_to_keep)
  _prepare_model_dir(model_dir, mode, config, norm_act, strategy_object)
  task = ClassificationTask(config.task, data, seed, jit_compile)
  with _dtype_policy('float32' if mode == 'export' else precision):
    console = console or Console(stderr=True)
    if mode == 'export':
      folder = export(task, config, data, model_dir)
      console.print(f'SavedModel: {folder}', highlight=False)
      return folder
    experiment = _Experiment(config, task, model_dir, mode, strategy_object, histograms, console)
    if 'train' in mode:
      experiment.describe(data, seed, operative_config)
    results = experiment.run()
  return {**results, 'seconds': time.monotonic() - started} if results else {}


def _check(mode, precision, batch_size, epochs, jit_compile, strategy) -> None:
  """Raises ValueError for an argument out of range."""
  for name, value, known in (('mode', mode, MODES), ('precision', precision, PRECISIONS)):
    if value not in known:
      raise ValueError(f'`{name}` must be one of {known}, received {value!r}.')
  for name, value in (('batch_size', batch_size), ('epochs', epochs)):
    if not value > 0:
      raise ValueError(f'`{name}` must be positive, received {value}.')
  if jit_compile and strategy != 'one_device':
    raise ValueError(f"`jit_compile=True` needs strategy='one_device', received {strategy!r}: replicas do not meet "
                     'inside XLA.')


def _prepare_model_dir(model_dir, mode, config, norm_act, strategy) -> None:
  """Makes the directory; raises ValueError if it holds another model or, where one is needed, no checkpoint."""
  if 'train' not in mode:
    latest_checkpoint(model_dir)
  if strategy.extended.should_checkpoint:
    os.makedirs(model_dir, exist_ok=True)
    graph = LayerGraph.load(norm_act).to_dict() if str(norm_act).endswith('.json') else None
    model = config.task.model.as_dict()
    backbone = model.pop('backbone')
    model_settings.check_or_record(
        model_dir, {**model, backbone['type']: backbone[backbone['type']], 'layer_graph': graph})


@contextlib.contextmanager
def _dtype_policy(policy: str):
  """Keras's global policy within, and again the old one after."""
  before = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy(policy)
  try:
    yield
  finally:
    tf_keras.mixed_precision.set_global_policy(before)


def make_config(norm_act, norm_act_options, backbone, data, optimization, batch_size, epochs, eval_batch_size,
                weight_decay, label_smoothing, dropout, strategy, precision, steps_per_loop, epochs_between_evaluations,
                epochs_between_checkpoints, checkpoints_to_keep) -> config_definitions.ExperimentConfig:
  """Returns Model Garden's description of the experiment; arguments as `run_classification`."""
  steps_per_epoch = data.train_images / batch_size
  steps = round(epochs * steps_per_epoch)
  evaluations = max(1, round(epochs / epochs_between_evaluations))
  size = data.image_size
  return config_definitions.ExperimentConfig(
      runtime=config_definitions.RuntimeConfig(
          distribution_strategy=strategy, mixed_precision_dtype=precision.removeprefix('mixed_'),
          loss_scale='dynamic' if precision == 'mixed_float16' else None),
      task=image_classification.ImageClassificationTask(
          model=image_classification.ImageClassificationModel(
              num_classes=data.num_classes, input_size=[size, size, 3], dropout_rate=dropout,
              backbone=backbones.make_config(backbone, norm_act, norm_act_options)),
          losses=image_classification.Losses(
              one_hot=True, label_smoothing=label_smoothing, l2_weight_decay=weight_decay),
          train_data=image_classification.DataConfig(is_training=True, global_batch_size=batch_size),
          validation_data=image_classification.DataConfig(
              is_training=False, global_batch_size=eval_batch_size, drop_remainder=False)),
      trainer=config_definitions.TrainerConfig(
          train_steps=steps, steps_per_loop=steps_per_loop, summary_interval=steps_per_loop,
          validation_interval=math.ceil(steps / evaluations), validation_steps=-1,
          checkpoint_interval=max(1, round(epochs_between_checkpoints * steps_per_epoch)),
          max_to_keep=checkpoints_to_keep, recovery_max_trials=-1,  # FiniteGuard stops the run instead
          best_checkpoint_export_subdir='best', best_checkpoint_eval_metric='accuracy',
          best_checkpoint_metric_comp='higher',
          optimizer_config=optimization.config(batch_size, steps_per_epoch, steps)))


class _Experiment:
  """Model Garden's runner with our trainer and our actions."""

  def __init__(self, config, task, model_dir, mode, strategy, histograms, console):
    self._config = config
    self._mode = mode
    self._strategy = strategy
    self._model_dir = model_dir
    self._results = {}
    self._is_chief = strategy.extended.should_checkpoint
    if not self._is_chief:
      console = Console(file=io.StringIO())
    # All hosts save, for saving may have to average a variable over them; but each in a folder of its own.
    folder = model_dir if self._is_chief else tempfile.mkdtemp()
    self._writer = tf.summary.create_file_writer(os.path.join(folder, 'train'))
    with strategy.scope():
      trainer = train_utils.create_trainer(
          config, task, train='train' in mode, evaluate='eval' in mode,
          checkpoint_exporter=train_utils.maybe_create_best_ckpt_exporter(config, folder),
          trainer_cls=ClassificationTrainer)
    self._log = training_log.TrainingLog(
        config.trainer.train_steps, config.task.train_data.global_batch_size, trainer.model, trainer.global_step,
        self._writer, histograms, console)
    guard = FiniteGuard(task.loss_watch, trainer.model, trainer.global_step, model_dir)
    with contextlib.redirect_stdout(io.StringIO()):  # Orbit prints what the log shows better
      self._runner = train_lib.OrbitExperimentRunner(
          strategy, task, mode, config, model_dir, trainer=trainer, save_summary=self._is_chief,
          train_actions=[guard, self._log], eval_actions=[self._keep_results, self._log.evaluated])

  def describe(self, data, seed: int, operative_config) -> None:
    """Writes the configuration, and what the network will see of the images, to TensorBoard."""
    if not self._is_chief:
      return
    with self._writer.as_default():
      batches = data.training_batches(min(training_log.IMAGES, self._config.task.train_data.global_batch_size), seed)
      training_log.write_images(batches)
      if operative_config:
        text = operative_config()
        tf.summary.text('configuration', f'```\n{text}\n```', step=0)
        with open(os.path.join(self._model_dir, 'operative_config.gin'), 'w', encoding='utf-8') as file:
          file.write(text)
    self._writer.flush()

  def run(self) -> dict:
    """Returns the results of the last evaluation, of which mode 'train' has none."""
    controller, trainer = self._runner.controller, self._config.trainer
    with contextlib.redirect_stdout(io.StringIO()), self._strategy.scope():
      if 'train' in self._mode:
        with self._log:
          self._train(controller, trainer)
      if 'eval' in self._mode and not self._results:  # no training, or one that had ended before
        controller.evaluate(steps=trainer.validation_steps)
    return self._results

  def _train(self, controller, trainer) -> None:
    if self._mode == 'train':
      controller.train(trainer.train_steps)
    else:
      controller.train_and_evaluate(trainer.train_steps, trainer.validation_steps, trainer.validation_interval)

  def _keep_results(self, output) -> None:
    self._results = {name: float(value) for name, value in output.items()}
    self._results['step'] = int(self._runner.trainer.global_step)
