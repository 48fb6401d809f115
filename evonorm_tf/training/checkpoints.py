"""Finding, restoring and saving the checkpoints of a training run, the best checkpoint among them."""

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
  """Returns the path of the newest checkpoint in a folder, without a file name extension.

  Args:
    folder: the path of a model directory.

  Raises:
    ArgumentError: if the folder contains no checkpoint.
  """
  checkpoint = tf.train.latest_checkpoint(folder)
  if not checkpoint:
    raise ArgumentError(f"`model_dir` must hold a checkpoint, found none in '{folder}'. Train first (--mode=train).")
  return checkpoint


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores every variable of a checkpoint object from a file.

  Args:
    checkpoint: the object whose variables are restored. The file may contain further variables.
    path: the path of the checkpoint, as `latest_checkpoint` returns it.

  Raises:
    ArgumentError: if the file lacks a variable or has it in another shape; the message names the variable.
  """
  try:
    checkpoint.restore(path).expect_partial().assert_existing_objects_matched()
  except (AssertionError, ValueError) as e:  # a variable is missing, or has another shape
    raise ArgumentError(f"The checkpoint '{path}' is of another model or optimizer: {e}") from e


class CheckpointManager(tf.train.CheckpointManager):
  """TensorFlow's checkpoint manager, except that restoring fails if a variable is missing in the file.

  The constructor's arguments are those of `tf.train.CheckpointManager`.
  """

  def restore_or_initialize(self) -> str | None:
    """Restores the newest checkpoint, or calls the manager's `init_fn` if there is none.

    Returns:
      The path of the restored checkpoint, or None if there is none.

    Raises:
      ArgumentError: if the checkpoint lacks a variable or has it in another shape.
    """
    if self.latest_checkpoint:
      restore(self.checkpoint, self.latest_checkpoint)
    elif self._init_fn:
      self._init_fn()
    self._last_checkpoint_step = int(self._step_counter.numpy())  # a fresh run also waits for a whole interval
    return self.latest_checkpoint


class BestCheckpoint(train_utils.BestCheckpointExporter):
  """Model Garden's exporter of the best checkpoint, except that it writes the checkpoint before the results.

  So if the process is killed in between, info.json never describes a checkpoint that does not exist.

  Args:
    folder: the folder that receives the checkpoint and its results, info.json.
    metric_name: the name of the evaluation result by which checkpoints are compared.
    metric_comp: 'higher' or 'lower', whichever is better.
    is_chief: whether this host writes info.json, by default True. Other hosts of a distributed training only save the
      checkpoint, to a temporary folder.
    notes: texts by name that are written to info.json beside the results, for instance how these were measured; None,
      the default, for none.
  """

  def __init__(self, folder: str, metric_name: str, metric_comp: str, is_chief: bool = True,
               notes: Mapping[str, str] | None = None):
    super().__init__(folder, metric_name, metric_comp)
    self._is_chief = is_chief
    self._notes = dict(notes or {})

  def maybe_export_checkpoint(self, checkpoint: tf.train.Checkpoint, eval_logs: Mapping[str, Any], global_step: int,
                              write_logs: bool = True) -> bool:
    """Saves the checkpoint and the results if the results are the best so far.

    Args:
      checkpoint: the checkpoint object to save.
      eval_logs: the results of the evaluation by name, scalars.
      global_step: the training step of the evaluation.
      write_logs: ignored; the results are always written.

    Returns:
      Whether the results are the best so far.
    """
    is_better = super().maybe_export_checkpoint(checkpoint, eval_logs, global_step, write_logs=False)
    if is_better and self._is_chief:
      results = {name: float(value) for name, value in eval_logs.items()}
      write_json(self.best_ckpt_logs_path, {**results, 'best_ckpt_global_step': int(global_step), **self._notes},
                 indent=1)
    return is_better


def trained_model(task: ResumableTask, config: config_definitions.ExperimentConfig, model_dir: str) -> tf_keras.Model:
  """Builds a task's model and restores it from the newest checkpoint.

  Args:
    task: the task with which the model was trained.
    config: the Model Garden configuration with which it was trained.
    model_dir: the folder that contains the checkpoints.

  Returns:
    The model. If the training kept a moving average of the weights, the model has the averaged weights.

  Raises:
    ArgumentError: if there is no checkpoint, or it belongs to another model or optimizer.
  """
  path = latest_checkpoint(model_dir)
  trainer = train_utils.create_trainer(config, task, train=False, evaluate=False, trainer_cls=ResumableTrainer)
  restore(trainer.checkpoint, path)
  if isinstance(trainer.optimizer, MovingAverage):
    trainer.optimizer.swap_weights()
  return trainer.model
