"""A moving average of the weights, which evaluation and export use in place of the weights themselves."""

from collections.abc import Sequence

from official.core import config_definitions
from official.modeling import optimization
from official.modeling import performance
from official.modeling.optimization import ema_optimizer
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError


class MovingAverage(ema_optimizer.ExponentialMovingAverage):
  """Model Garden's average of the trainable weights, an optimizer around another, with two departures.

  Weights and averages are swapped bit by bit. Model Garden takes sums and differences, whose rounding would make
  training depend on when it is evaluated.

  The average is brought up to date by `update`, after the step of `inner`. So it can also enclose the optimizer that
  scales the loss in float16, where Model Garden neither finds nor can call it.
  """

  @property
  def inner(self) -> tf_keras.optimizers.legacy.Optimizer:
    """The optimizer that changes the weights."""
    return self._optimizer

  def update(self) -> None:
    """Averages once more; in a replica, after each step."""
    ema_optimizer.maybe_merge_call(self.update_average, tf.distribute.get_strategy())

  def swap_weights(self) -> None:
    """Exchanges weights and averages; twice changes nothing. Eagerly, not in a replica."""
    for average, weight in zip(self._average_weights, self._model_weights):
      values = tf.identity(average), tf.identity(weight)
      weight.assign(values[0])
      average.assign(values[1])

  @property
  def learning_rate(self) -> tf.Tensor | tf_keras.optimizers.schedules.LearningRateSchedule:
    """That of `inner`."""
    return self._optimizer.learning_rate

  def _create_all_weights(self, var_list: Sequence[tf.Variable]) -> None:
    self._optimizer._create_all_weights(var_list)  # noqa: SLF001 the method of Keras that this one overrides


def make_optimizer(optimizer_config: optimization.OptimizationConfig, runtime_config: config_definitions.RuntimeConfig
                   ) -> tf_keras.optimizers.Optimizer:
  """Returns Model Garden's optimizer, with loss scaling in float16, wrapped in a `MovingAverage` if one is asked for.

  Args:
    optimizer_config: the optimizer, the learning rate and the moving average.
    runtime_config: the precision.

  Raises:
    ArgumentError: if the optimizer refuses its options.
  """
  factory = optimization.OptimizerFactory(optimizer_config.replace(ema=None))
  try:
    optimizer = factory.build_optimizer(factory.build_learning_rate())
  except (ValueError, TypeError) as e:  # of Keras
    chosen = optimizer_config.optimizer
    raise ArgumentError(f'`options` must be such that {chosen.type!r} can be made of them, received '
                        f'{chosen.get().as_dict()}: {e}') from e
  optimizer = performance.configure_optimizer(
      optimizer, use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
  return MovingAverage(optimizer, **optimizer_config.ema.as_dict()) if optimizer_config.ema else optimizer
