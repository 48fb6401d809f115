"""Checkpoints of a training: where they are found, whether all is restored from them, which one is the best."""

from official.core import train_utils
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import write_json
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.resumable import ResumableTrainer


def latest_checkpoint(folder: str) -> str:
  """Returns the path of the newest checkpoint in a folder; ValueError if there is none."""
  checkpoint = tf.train.latest_checkpoint(folder)
  if not checkpoint:
    raise ArgumentError(f"`model_dir` must hold a checkpoint, found none in '{folder}'. Train first (--mode=train).")
  return checkpoint


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
  """Restores every variable of a checkpoint; raises ValueError, naming one, if the file lacks it."""
  try:
    checkpoint.restore(path).expect_partial().assert_existing_objects_matched()
  except AssertionError as e:
    raise ArgumentError(f"The checkpoint '{path}' is of another model or optimizer: {e}") from e


class CheckpointManager(tf.train.CheckpointManager):
  """TensorFlow's, but restores all that there is to restore or fails."""

  def restore_or_initialize(self):
    if self.latest_checkpoint:
      restore(self.checkpoint, self.latest_checkpoint)
    elif self._init_fn:
      self._init_fn()
    self._last_checkpoint_step = int(self._step_counter.numpy())  # also a fresh run waits for the interval's end
    return self.latest_checkpoint


class BestCheckpoint(train_utils.BestCheckpointExporter):
  """Model Garden's, but writes first the checkpoint and then its results, so that neither is without the other.

  Args:
    folder, metric_name, metric_comp: as Model Garden's.
    is_chief: whether this host writes results. The others know theirs, and their folder need not outlive the process.
    notes: texts by name that stand beside the results, such as how they were measured.
  """

  def __init__(self, folder: str, metric_name: str, metric_comp: str, is_chief: bool = True, notes=None):
    super().__init__(folder, metric_name, metric_comp)
    self._is_chief = is_chief
    self._notes = dict(notes or {})

  def maybe_export_checkpoint(self, checkpoint, eval_logs, global_step, write_logs=True):
    is_better = super().maybe_export_checkpoint(checkpoint, eval_logs, global_step, write_logs=False)
    if is_better and self._is_chief:
      results = {name: float(value) for name, value in eval_logs.items()}
      write_json(self.best_ckpt_logs_path, {**results, 'best_ckpt_global_step': int(global_step), **self._notes},
                 indent=1)
    return is_better


def trained_model(task, config, model_dir: str) -> tf_keras.Model:
  """Returns the model of the newest checkpoint, with the moving average of its weights where there is one.

  Args:
    task: a `ResumableTask`.
    config: the ExperimentConfig of the training.
    model_dir: the folder of the checkpoints.

  Raises:
    ValueError: if there is no checkpoint, or one of another model.
  """
  path = latest_checkpoint(model_dir)
  trainer = train_utils.create_trainer(config, task, train=False, evaluate=False, trainer_cls=ResumableTrainer)
  restore(trainer.checkpoint, path)
  if isinstance(trainer.optimizer, MovingAverage):
    trainer.optimizer.swap_weights()
  return trainer.model
