"""The classification trainer, which trains, evaluates or exports a network with any norm-activation layer.

This module defines the root function `run_classification` and describes the experiment; `training.experiment` runs it.
Batch statistics are computed per replica unless `norm_act_options` asks for synchronized ones. Weight decay applies
only to the kernels of convolutions and of the last layer.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import os
from typing import Any

from official.core import config_definitions
from official.vision.configs import image_classification
from rich.console import Console
import tensorflow as tf

from evonorm_tf import checks
from evonorm_tf.classification.export import export
from evonorm_tf.classification.task import ClassificationTask
from evonorm_tf.data.data_objects import ClassificationData
from evonorm_tf.layers.registry import norm_act_settings
from evonorm_tf.models import backbones
from evonorm_tf.training import config as training_config
from evonorm_tf.training import experiment
from evonorm_tf.training import log as training_log
from evonorm_tf.training.config import Schedule
from evonorm_tf.training.config import SharedArguments
from evonorm_tf.training.optimization import Optimization

MODES = (*training_config.LOOP_MODES, 'export')


@experiment.documents_shared_arguments
def run_classification(
    model_dir: str, mode: str, norm_act: str | os.PathLike, backbone: backbones.NormActBackbone,
    data: ClassificationData, optimization: Optimization, batch_size: int, epochs: float,
    norm_act_options: Mapping[str, Any] | None = None, eval_batch_size: int | None = None, weight_decay: float = 0.,
    label_smoothing: float = 0., dropout: float = 0.,
    seed: int = 0, strategy: str = 'one_device', tpu: str | None = None, precision: str = 'float32',
    jit_compile: bool = False, steps_per_loop: int = 20, epochs_between_evaluations: float = 1.,
    epochs_between_checkpoints: float = 1., checkpoints_to_keep: int = 3, histograms: bool = False,
    operative_config: Callable[[], str] | None = None, console: Console | None = None) -> experiment.Results | str:
  """Trains, evaluates or exports a classifier; the same call with the same `model_dir` resumes where it stopped.

  This sets the global seeds of Python, NumPy and TensorFlow (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: the folder that receives checkpoints, TensorBoard events (train/, validation/), the best checkpoint
      (best/) and, in mode 'export', the SavedModel (export/).
    mode: one of `MODES`: 'train', 'eval' (the newest checkpoint; writes only events), 'train_and_eval' or 'export'.
    backbone: the network without its last layer, a configuration from `evonorm_tf.models.backbones`. The arguments
      `norm_act` and `norm_act_options` replace its fields of these names.
    data: the data object that supplies the images, such as a `data.cifar10.Cifar10` or a `data.imagenet.ImageNet`.
    optimization: the settings of the optimizer and the learning rate.
    batch_size: the number of images per training step, over all replicas.
    epochs: the length of training in passes over the training images; may be a fraction.
    weight_decay: λ in the loss term λ/2·Σ‖kernel‖², at least 0 and below 1; default 0.
    label_smoothing: the fraction of each training label that is spread over all classes, in [0, 1); default 0.
    dropout: the dropout rate before the last layer, in [0, 1); default 0.
    seed: the seed of initial weights, order and augmentation of the images, and dropout, an integer of at least 0;
      default 0.
    epochs_between_evaluations: the approximate interval between evaluations, in epochs; default 1. It is adjusted so
      that they are evenly spaced and the last one is at the end of training.
    epochs_between_checkpoints: the least interval between checkpoints, in epochs; default 1. They are saved only at the
      end of a loop of `steps_per_loop` steps.
    The arguments of every trainer: see `training.config.SharedArguments`.

  Returns:
    In modes 'eval' and 'train_and_eval', a dict with the results of the last evaluation: `accuracy` and
    `top_5_accuracy`, as fractions; `validation_loss`, the mean cross-entropy without weight decay; `step`; `seconds`,
    the time of this call; and, in 'train_and_eval', `best_accuracy`. In mode 'export', the path of the SavedModel's
    folder. In mode 'train', an empty dict.

  Raises:
    ArgumentError: for an invalid argument, missing data, or a `model_dir` that is in use or contains another model.
    NotFiniteError: if the loss or a weight is no longer finite; the last good checkpoint is kept.
    MachineError, TensorFlowError: if the operating system or TensorFlow fails, for instance for lack of memory.
  """
  shared = SharedArguments(
      model_dir, mode, norm_act, norm_act_options, eval_batch_size, seed, strategy, tpu, precision, jit_compile,
      steps_per_loop, checkpoints_to_keep, histograms, operative_config, console)
  schedule = Schedule(optimization, batch_size, epochs, epochs_between_evaluations, epochs_between_checkpoints)
  return experiment.run_experiment(
      _Classification(shared, schedule, backbone, data, weight_decay, label_smoothing, dropout))


@dataclasses.dataclass(frozen=True)
class _Classification(experiment.Experiment):
  """The arguments of `run_classification`, as an experiment."""
  shared: SharedArguments
  schedule: Schedule
  backbone: backbones.NormActBackbone
  data: ClassificationData
  weight_decay: float
  label_smoothing: float
  dropout: float

  modes = MODES
  training_figures = {'training_loss': 'loss {:.3f}', 'accuracy': 'accuracy {:.1%}'}

  @property
  def batch_size(self) -> int:
    return self.schedule.batch_size

  def check(self) -> None:
    self.schedule.check()
    checks.check_rate(label_smoothing=self.label_smoothing, dropout=self.dropout, weight_decay=self.weight_decay)
    self._backbone_config()

  def read_data(self, console: Console) -> None:
    if self.shared.mode != 'export':  # which needs the data object alone
      self.data.check()

  def task_config(self, eval_batch_size: int) -> image_classification.ImageClassificationTask:
    size = self.data.image_size
    return image_classification.ImageClassificationTask(
        model=image_classification.ImageClassificationModel(
            num_classes=self.data.num_classes, input_size=[size, size, 3], dropout_rate=self.dropout,
            backbone=self._backbone_config()),
        losses=image_classification.Losses(
            one_hot=True, label_smoothing=self.label_smoothing, l2_weight_decay=self.weight_decay),
        train_data=image_classification.DataConfig(is_training=True, global_batch_size=self.batch_size),
        validation_data=image_classification.DataConfig(
            is_training=False, global_batch_size=eval_batch_size, drop_remainder=False))

  def trainer_config(self) -> config_definitions.TrainerConfig:
    return self.schedule.trainer_config(
        self.data.train_images, self.shared.steps_per_loop, self.shared.checkpoints_to_keep, best_metric='accuracy')

  def model_settings(self, config: config_definitions.ExperimentConfig) -> dict[str, Any]:
    model = config.task.model
    norm_act = norm_act_settings(self.shared.norm_act)
    return {
        'num_classes': model.num_classes, 'input_size': list(model.input_size),
        model.backbone.type: {**backbones.checkpoint_settings(model.backbone.get()), 'norm_act': norm_act},
        **training_config.optimizer_settings(self.schedule.optimization, config.runtime)}

  def make_task(self, config: config_definitions.ExperimentConfig,
                strategy: tf.distribute.Strategy) -> ClassificationTask:
    return ClassificationTask(config.task, self.data, self.shared.seed, self.shared.jit_compile)

  def infer(self, config: config_definitions.ExperimentConfig, task: ClassificationTask) -> tuple[str, str]:
    return 'SavedModel', export(task, config, self.data, self.shared.model_dir)

  def evaluation_figures(self) -> Mapping[str, str]:
    return {'validation_loss': 'validation loss {:.3f}', 'accuracy': 'accuracy {:.1%}'}

  def write_images(self) -> None:
    images = min(training_log.IMAGES, self.batch_size)
    training_log.write_images(self.data.training_batches(images, self.shared.seed))

  def _backbone_config(self) -> backbones.Backbone:
    return backbones.make_config(self.backbone, self.shared.norm_act, self.shared.options)
