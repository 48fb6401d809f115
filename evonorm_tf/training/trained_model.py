"""The model of a finished or interrupted training, without the training around it."""

from official.core import train_utils
import tf_keras

from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.checkpoints import restore
from evonorm_tf.training.moving_average import MovingAverage
from evonorm_tf.training.resumable_trainer import ResumableTrainer


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
