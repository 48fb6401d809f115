"""The training loop that all trainers share: configuration, checkpoints, logs and exact resumption.

It is built on the TensorFlow Model Garden (package `official`) and its loop library Orbit.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.training.checkpoints import latest_checkpoint as latest_checkpoint
  from evonorm_tf.training.checkpoints import trained_model as trained_model
  from evonorm_tf.training.config import PRECISIONS as PRECISIONS
  from evonorm_tf.training.config import Schedule as Schedule
  from evonorm_tf.training.config import SharedArguments as SharedArguments
  from evonorm_tf.training.experiment import Experiment as Experiment
  from evonorm_tf.training.experiment import run_experiment as run_experiment
  from evonorm_tf.training.finite_guard import FiniteGuard as FiniteGuard
  from evonorm_tf.training.finite_guard import LossWatch as LossWatch
  from evonorm_tf.training.log import TrainingLog as TrainingLog
  from evonorm_tf.training.moving_average import make_optimizer as make_optimizer
  from evonorm_tf.training.moving_average import MovingAverage as MovingAverage
  from evonorm_tf.training.optimization import DECAYS as DECAYS
  from evonorm_tf.training.optimization import Optimization as Optimization
  from evonorm_tf.training.optimization import OPTIMIZERS as OPTIMIZERS
  from evonorm_tf.training.resumable import ResumableTask as ResumableTask
  from evonorm_tf.training.resumable import ResumableTrainer as ResumableTrainer
  from evonorm_tf.training.runner import ExperimentRunner as ExperimentRunner

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'checkpoints': ('latest_checkpoint', 'trained_model'),
    'config': ('PRECISIONS', 'Schedule', 'SharedArguments'),
    'experiment': ('Experiment', 'run_experiment'),
    'finite_guard': ('FiniteGuard', 'LossWatch'),
    'log': ('TrainingLog',),
    'moving_average': ('MovingAverage', 'make_optimizer'),
    'optimization': ('DECAYS', 'OPTIMIZERS', 'Optimization'),
    'resumable': ('ResumableTask', 'ResumableTrainer'),
    'runner': ('ExperimentRunner',),
})
