"""Guards that stop a training run when its loss or weights are no longer finite, before a checkpoint contains them."""

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import NotFiniteError
from evonorm_tf.training.checkpoint_files import newest_readable


class LossWatch:
  """A record of the first training step at which the loss was not finite.

  It must be created in the scope of the tf.distribute strategy.

  Args:
    global_step: the variable that counts training steps.
  """

  def __init__(self, global_step: tf.Variable):
    self._global_step = global_step
    self._bad_step = tf.Variable(
        -1, dtype=tf.int64, trainable=False, synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  def update(self, loss: tf.Tensor) -> None:
    """Records whether the loss of the current step is finite; to be called in each replica.

    Args:
      loss: the replica's loss, a scalar.
    """
    is_first = ~tf.math.is_finite(loss) & (self._bad_step < 0)
    self._bad_step.assign(tf.where(is_first, tf.cast(self._global_step, tf.int64), self._bad_step))

  def first_bad_step(self) -> int | None:
    """Returns the first step at which the loss of a replica on this host was not finite, or None."""
    replicas = tf.distribute.get_strategy().experimental_local_results(self._bad_step)
    return min((step for step in map(int, replicas) if step >= 0), default=None)


class FiniteGuard:
  """An action that stops training unless loss and weights are finite.

  Orbit, Model Garden's loop library, calls actions after each training loop and before it saves a checkpoint.

  Args:
    watch: the record of the loss at each step.
    model: the model that is being trained.
    global_step: the variable that counts training steps.
    model_dir: the folder that contains the checkpoints, for the error message.
  """

  def __init__(self, watch: LossWatch, model: tf_keras.Model, global_step: tf.Variable, model_dir: str):
    self._watch = watch
    self._variables = [v for v in model.variables if v.dtype.is_floating]
    self._global_step = global_step
    self._model_dir = model_dir

  def __call__(self, output: Mapping[str, tf.Tensor]) -> None:
    """Checks the loss of the last training loop and all floating-point variables of the model.

    Args:
      output: the results of the training loop by name, with `training_loss` among them.

    Raises:
      NotFiniteError: if one is not finite; the message names the step and the last checkpoint.
    """
    step = int(self._global_step.numpy())
    # The loss is the mean over all replicas, so that all hosts stop; the watch only knows the replicas of this host.
    if not tf.math.is_finite(output['training_loss']):
      bad_step = self._watch.first_bad_step()
      self._stop('the loss is not finite ' + (f'before step {step}' if bad_step is None else f'at step {bad_step}'))
    # Even with a finite loss, the update may have produced weights that are not finite, or a moving variance may be
    # infinite; the checkpoint would contain them.
    for variable, is_finite in zip(self._variables, self._are_finite()):
      if not is_finite:
        self._stop(f'{variable.name} is not finite after step {step}')

  def _are_finite(self):
    return tf.stack([tf.reduce_all(tf.math.is_finite(v)) for v in self._variables]).numpy()

  def _stop(self, what: str) -> None:
    kept = newest_readable(self._model_dir)
    raise NotFiniteError(f'Training stopped, for {what}. The last good checkpoint is {kept or "none"}. A smaller '
                         'learning rate, a longer warm-up or another seed may help.')
