"""The classification trainer: run_classification trains, evaluates or exports a network with a norm-activation layer.

Model Garden's runner does the work (`official.core.train_lib`); this module describes the experiment to it. Statistics
over a batch are those of a replica unless `norm_act_options` asks for synchronized ones; weight decay spares all but
the kernels of convolutions and of the last layer.
"""

import time

from official.core import config_definitions
from official.vision.configs import image_classification
from rich.console import Console

from evonorm_tf import checks
from evonorm_tf.classification.export import export
from evonorm_tf.classification.task import ClassificationTask
from evonorm_tf.models import backbones
from evonorm_tf.training import config as training_config
from evonorm_tf.training import log as training_log
from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.process import process_state
from evonorm_tf.training.process import reserved
from evonorm_tf.training.runner import ExperimentRunner

MODES = ('train', 'eval', 'train_and_eval', 'export')
_TRAINING_FIGURES = {'training_loss': 'loss {:.3f}', 'accuracy': 'accuracy {:.1%}'}
_EVALUATION_FIGURES = {'validation_loss': 'validation loss {:.3f}', 'accuracy': 'accuracy {:.1%}'}


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
    backbone: a configuration of `evonorm_tf.models.backbones`; its `norm_act` is overridden.
    data: the images: a `cifar10.Cifar10` or an `imagenet.ImageNet`.
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
    precision: one of `config.PRECISIONS`.
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
  training_config.check_training(
      mode, MODES, precision, strategy, seed,
      dict(batch_size=batch_size, eval_batch_size=eval_batch_size, steps_per_loop=steps_per_loop,
           checkpoints_to_keep=checkpoints_to_keep),
      dict(epochs=epochs, epochs_between_evaluations=epochs_between_evaluations,
           epochs_between_checkpoints=epochs_between_checkpoints))
  checks.check_rate(label_smoothing=label_smoothing, dropout=dropout, weight_decay=weight_decay)
  backbone_config = backbones.make_config(backbone, norm_act, norm_act_options)
  training_config.check_norm_act(norm_act, norm_act_options)
  training_config.check_jit_compile(jit_compile, norm_act_options, strategy)
  if 'train' not in mode:
    latest_checkpoint(model_dir)
  strategy_object = training_config.make_strategy(strategy, tpu, batch_size, mode)
  eval_batch_size = training_config.whole_batch(eval_batch_size, strategy_object)
  data.check()
  config = config_definitions.ExperimentConfig(
      runtime=training_config.runtime_config(strategy, precision),
      task=_task_config(backbone_config, data, batch_size, eval_batch_size, weight_decay, label_smoothing, dropout),
      trainer=training_config.trainer_config(
          data.train_images, optimization, batch_size, epochs, steps_per_loop, epochs_between_evaluations,
          epochs_between_checkpoints, checkpoints_to_keep, best_metric='accuracy'))
  task = ClassificationTask(config.task, data, seed, jit_compile)
  console = console or Console(stderr=True)
  with (reserved(model_dir, mode, _model_settings(config, optimization, norm_act), strategy_object),
        process_state('float32' if mode == 'export' else precision)):
    if mode == 'export':
      folder = export(task, config, data, model_dir)
      console.print(f'SavedModel: {folder}', highlight=False, markup=False, soft_wrap=True)
      return folder
    runner = ExperimentRunner(strategy_object, task, mode, config, model_dir, console, _TRAINING_FIGURES,
                              _EVALUATION_FIGURES, histograms)
    if 'train' in mode:
      images = min(training_log.IMAGES, batch_size)
      runner.describe(operative_config, lambda: training_log.write_images(data.training_batches(images, seed)))
    results = runner.run()
  return {**results, 'seconds': time.monotonic() - started} if results else {}


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


def _model_settings(config, optimization, norm_act) -> dict:
  """What a checkpoint depends on: its variables, and the options of the optimizer that would be restored from it."""
  model = config.task.model
  backbone = {**model.backbone.get().as_dict(), 'norm_act': training_config.norm_act_settings(norm_act)}
  return {
      'num_classes': model.num_classes, 'input_size': list(model.input_size), model.backbone.type: backbone,
      **training_config.optimizer_settings(optimization, config.runtime)}
