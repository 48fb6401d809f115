"""Finding, restoring and saving the checkpoints of a training run, the best checkpoint among them."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import time
from typing import Any

from absl import logging
from official.core import config_definitions
from official.core import train_utils
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import MachineError
from evonorm_tf.errors import unwritable_file
from evonorm_tf.output.model_dir import write_json
from evonorm_tf.training.checkpoint_files import find_checkpoints
from evonorm_tf.training.checkpoint_files import newest_readable
from evonorm_tf.training.checkpoint_files import read_state
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.resumable import ResumableTask
from evonorm_tf.training.resumable import ResumableTrainer


def latest_checkpoint(folder: str, report: Callable[[str], None] | None = None) -> str:
  """Returns the path of the newest checkpoint in a folder that can be read, without a file name extension.

  Args:
    folder: the path of a model directory.
    report: is called with a line of text if newer checkpoints are damaged; None, the default, for a warning in the log.

  Raises:
    ArgumentError: if the folder contains no checkpoint, or none that can be read.
  """
  checkpoint = newest_readable(folder, report)
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
  """TensorFlow's checkpoint manager, with two differences in restoring.

  It fails if a variable is missing in the file. And it takes the newest checkpoint that can be read; the damaged ones
  count neither as checkpoints to keep nor to delete.

  Args:
    checkpoint: the object to save and restore.
    directory: the path of the folder.
    max_to_keep: the number of checkpoints to keep.
    before_saving: is called before a checkpoint is saved, and may raise an error; None, the default, for nothing.
    **options: further arguments of `tf.train.CheckpointManager`.
  """

  def __init__(self, checkpoint: tf.train.Checkpoint, directory: str, max_to_keep: int,
               before_saving: Callable[[], None] | None = None, **options):
    state_is_damaged = tf.io.gfile.exists(os.path.join(directory, 'checkpoint')) and read_state(directory) is None
    # TensorFlow's constructor fails at a damaged file `checkpoint`, and is then given a folder without one.
    super().__init__(
        checkpoint, os.path.join(directory, 'nothing') if state_is_damaged else directory, max_to_keep, **options)
    self._checkpoint_prefix = os.path.join(directory, os.path.basename(self._checkpoint_prefix))
    self._directory = directory
    self._before_saving = before_saving or (lambda: None)

  def save(self, *args: Any, **options: Any) -> str | None:
    """Saves a checkpoint, as TensorFlow's manager does.

    Args:
      *args: the arguments of TensorFlow's method.
      **options: the same by name.

    Returns:
      The path of the checkpoint, or None if the interval is not over.

    Raises:
      MachineError: if the checkpoint cannot be written, for instance because the disk is full; the earlier checkpoints
        are kept.
    """
    self._before_saving()
    try:
      return super().save(*args, **options)
    except tf.errors.OpError as e:
      unwritable = unwritable_file(e)
      if unwritable is None:
        raise
      raise MachineError(f"A checkpoint cannot be written to '{self.directory}': {unwritable.strerror}. The earlier "
                         'ones are kept, and the same command goes on from the newest.') from e

  def restore_or_initialize(self) -> str | None:
    """Restores the newest checkpoint that can be read, or calls the manager's `init_fn` if there are no checkpoints.

    Returns:
      The path of the restored checkpoint, or None if there is none.

    Raises:
      ArgumentError: if the checkpoint lacks a variable or has it in another shape, or if there are checkpoints, but
        none that can be read.
    """
    newest = newest_readable(self.directory)
    if newest:
      restore(self.checkpoint, newest)
      self._go_on_from(newest)
    elif self._init_fn:
      self._init_fn()
    self._last_checkpoint_step = int(self._step_counter.numpy())  # a fresh run also waits for a whole interval
    return newest

  def _go_on_from(self, newest: str) -> None:
    """Makes a checkpoint the latest, and forgets the damaged ones after it without deleting their files."""
    there = find_checkpoints(self.directory)
    for path in there[:there.index(newest)]:
      self._maybe_delete.pop(path, None)
    self._maybe_delete.setdefault(newest, time.time())
    self._latest_checkpoint = newest


class BestCheckpoint(train_utils.BestCheckpointExporter):
  """Model Garden's exporter of the best checkpoint, with two differences.

  It writes the checkpoint before the results. So if the process is killed in between, info.json never describes a
  checkpoint that does not exist. And if the best checkpoint so far cannot be read, its results do not count either, so
  that a readable one takes its place.

  Args:
    folder: the folder that receives the checkpoint and its results, info.json.
    metric_name: the name of the evaluation result by which checkpoints are compared.
    metric_comp: 'higher' or 'lower', whichever is better.
    is_chief: whether this host writes info.json, by default True. Other hosts of a distributed training only save the
      checkpoint, to a temporary folder.
    notes: texts by name that are written to info.json beside the results, for instance how these were measured; None,
      the default, for none.
    before_saving: as for `CheckpointManager`.
  """

  def __init__(self, folder: str, metric_name: str, metric_comp: str, is_chief: bool = True,
               notes: Mapping[str, str] | None = None, before_saving: Callable[[], None] | None = None):
    self._before_saving = before_saving
    self._is_chief = is_chief  # which `_maybe_load_best_eval_metric` needs
    self._notes = dict(notes or {})
    super().__init__(folder, metric_name, metric_comp)

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


  def _maybe_load_best_eval_metric(self) -> dict[str, Any] | None:
    """Returns the results in info.json; None, after a warning, if they or their checkpoint cannot be read."""
    try:
      results = super()._maybe_load_best_eval_metric()
      if results is not None and self._is_chief:
        latest_checkpoint(self._export_dir)
    except ValueError as e:  # of JSON, too
      logging.warning('%s: the best results so far do not count, for their files cannot be read: %s',
                      self._export_dir, e)
      return None
    return results

  def _get_checkpoint_manager(self, checkpoint: tf.train.Checkpoint) -> CheckpointManager:
    if self._checkpoint_manager is None:
      self._checkpoint_manager = CheckpointManager(
          checkpoint, self._export_dir, 1, self._before_saving, checkpoint_name=train_utils.BEST_CHECKPOINT_NAME)
    return self._checkpoint_manager


def trained_model(task: ResumableTask, config: config_definitions.ExperimentConfig, model_dir: str) -> tf_keras.Model:
  """Builds a task's model and restores it from the newest checkpoint.

  Args:
    task: the task with which the model was trained.
    config: the Model Garden configuration with which it was trained.
    model_dir: the folder that contains the checkpoints.

  Returns:
    The model. If the training kept a moving average of the weights, the model has the averaged weights.

  Raises:
    ArgumentError: if there is no checkpoint that can be read, or it belongs to another model or optimizer.
  """
  path = latest_checkpoint(model_dir)
  trainer = train_utils.create_trainer(config, task, train=False, evaluate=False, trainer_cls=ResumableTrainer)
  restore(trainer.checkpoint, path)
  if isinstance(trainer.optimizer, MovingAverage):
    trainer.optimizer.swap_weights()
  return trainer.model
