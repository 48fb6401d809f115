"""Guards that stop a training whose loss or weights are no longer finite, before these reach a checkpoint."""

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import NotFiniteError


class LossWatch:
  """Remembers the first step whose loss was not finite.

  Args:
    global_step: the variable of the training step. The watch has to be made in the strategy's scope.
  """

  def __init__(self, global_step: tf.Variable):
    self._global_step = global_step
    self._bad_step = tf.Variable(
        -1, dtype=tf.int64, trainable=False, synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  def update(self, loss: tf.Tensor) -> None:
    """Takes a replica's loss of the present step, a scalar."""
    is_first = ~tf.math.is_finite(loss) & (self._bad_step < 0)
    self._bad_step.assign(tf.where(is_first, tf.cast(self._global_step, tf.int64), self._bad_step))

  def first_bad_step(self) -> int | None:
    """Returns the first step at which the loss of a local replica was not finite, or None."""
    replicas = tf.distribute.get_strategy().experimental_local_results(self._bad_step)
    return min((step for step in map(int, replicas) if step >= 0), default=None)


class FiniteGuard:
  """An Orbit action after each training loop; Orbit runs it before it saves a checkpoint.

  Args:
    watch: has seen the loss of every step.
    model: the model in training.
    global_step: the variable of the training step.
    model_dir: the folder of its checkpoints.
  """

  def __init__(self, watch: LossWatch, model: tf_keras.Model, global_step: tf.Variable, model_dir: str):
    self._watch = watch
    self._variables = [v for v in model.variables if v.dtype.is_floating]
    self._global_step = global_step
    self._model_dir = model_dir

  def __call__(self, output: Mapping[str, tf.Tensor]) -> None:
    """Raises NotFiniteError, naming the step and the last checkpoint, unless all is finite.

    Args:
      output: the figures of the loop, `training_loss` among them.
    """
    step = int(self._global_step.numpy())
    # The mean over all replicas, so that all hosts stop; the watch knows the step of a replica on this host.
    if not tf.math.is_finite(output['training_loss']):
      bad_step = self._watch.first_bad_step()
      self._stop('the loss is not finite ' + (f'before step {step}' if bad_step is None else f'at step {bad_step}'))
    # A finite loss can still have led to an update that is not, and an infinite variance to a finite loss: the
    # checkpoint would hold them.
    for variable, is_finite in zip(self._variables, self._are_finite()):
      if not is_finite:
        self._stop(f'{variable.name} is not finite after step {step}')

  def _are_finite(self):
    return tf.stack([tf.reduce_all(tf.math.is_finite(v)) for v in self._variables]).numpy()

  def _stop(self, what: str) -> None:
    kept = tf.train.latest_checkpoint(self._model_dir)
    raise NotFiniteError(f'Training stopped, for {what}. The last good checkpoint is {kept or "none"}. A smaller '
                         'learning rate, a longer warm-up or another seed may help.')
