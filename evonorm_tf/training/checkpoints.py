"""Checkpoints of a training: finding, restoring and keeping them, and the best one."""

from collections.abc import Mapping
from typing import Any

from official.core import config_definitions
from official.core import train_utils
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import write_json
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.resumable import ResumableTask
from evonorm_tf.training.resumable import ResumableTrainer


def latest_checkpoint(folder: str) -> str:
  """Returns the path of the newest checkpoint in a folder; ArgumentError if there is none."""
  checkpoint = tf.train.latest_checkpoint(folder)
  if not checkpoint:
    raise ArgumentError(f"`model_dir` must hold a checkpoint, found none in '{folder}'. Train first (--mode=train).")
  return checkpoint


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores every variable of a checkpoint; raises ArgumentError, naming one, if the file lacks it."""
  try:
    checkpoint.restore(path).expect_partial().assert_existing_objects_matched()
  except (AssertionError, ValueError) as e:  # a variable is missing, or has another shape
    raise ArgumentError(f"The checkpoint '{path}' is of another model or optimizer: {e}") from e


class CheckpointManager(tf.train.CheckpointManager):
  """TensorFlow's manager, but it restores every variable or fails."""

  def restore_or_initialize(self) -> str | None:
    """Returns the path of the newest checkpoint, which has been restored, or None if there is none."""
    if self.latest_checkpoint:
      restore(self.checkpoint, self.latest_checkpoint)
    elif self._init_fn:
      self._init_fn()
    self._last_checkpoint_step = int(self._step_counter.numpy())  # also a fresh run waits for the interval's end
    return self.latest_checkpoint


class BestCheckpoint(train_utils.BestCheckpointExporter):
  """Model Garden's exporter, but it writes the checkpoint before the results, so that no results lack a checkpoint.

  Args:
    folder: receives the checkpoint and info.json.
    metric_name: the result by which a checkpoint is the best.
    metric_comp: 'higher' or 'lower'.
    is_chief: whether this host writes results. The others know theirs, and their folder need not outlive the process.
    notes: texts by name that stand beside the results, such as how they were measured.
  """

  def __init__(self, folder: str, metric_name: str, metric_comp: str, is_chief: bool = True,
               notes: Mapping[str, str] | None = None):
    super().__init__(folder, metric_name, metric_comp)
    self._is_chief = is_chief
    self._notes = dict(notes or {})

  def maybe_export_checkpoint(self, checkpoint: tf.train.Checkpoint, eval_logs: Mapping[str, Any], global_step: int,
                              write_logs: bool = True) -> bool:
    """Returns whether these results are the best so far, in which case it has saved them."""
    is_better = super().maybe_export_checkpoint(checkpoint, eval_logs, global_step, write_logs=False)
    if is_better and self._is_chief:
      results = {name: float(value) for name, value in eval_logs.items()}
      write_json(self.best_ckpt_logs_path, {**results, 'best_ckpt_global_step': int(global_step), **self._notes},
                 indent=1)
    return is_better


def trained_model(task: ResumableTask, config: config_definitions.ExperimentConfig, model_dir: str) -> tf_keras.Model:
  """Returns the model of the newest checkpoint, with the moving average of its weights if there is one.

  Args:
    task: the task of the training.
    config: the experiment of the training.
    model_dir: the folder of the checkpoints.

  Raises:
    ArgumentError: if there is no checkpoint, or one of another model.
  """
  path = latest_checkpoint(model_dir)
  trainer = train_utils.create_trainer(config, task, train=False, evaluate=False, trainer_cls=ResumableTrainer)
  restore(trainer.checkpoint, path)
  if isinstance(trainer.optimizer, MovingAverage):
    trainer.optimizer.swap_weights()
  return trainer.model
