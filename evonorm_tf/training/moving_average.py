"""A moving average of the weights, which evaluation and export read in place of the weights themselves."""

from official.modeling import optimization
from official.modeling import performance
from official.modeling.optimization import ema_optimizer
import tensorflow as tf
import tf_keras


class MovingAverage(ema_optimizer.ExponentialMovingAverage):
  """Model Garden's average of the trainable weights, an optimizer around another, with two departures.

  Weights and averages are swapped bit by bit. Model Garden takes sums and differences, whose rounding would make
  training depend on when it is evaluated.

  The average is brought up to date by `update`, behind the step of `inner`. So it lies around the optimizer that scales
  the loss in float16, too, where Model Garden neither finds it nor can call it.
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
  def learning_rate(self):
    return self._optimizer.learning_rate

  def _create_all_weights(self, var_list):
    self._optimizer._create_all_weights(var_list)


def make_optimizer(optimizer_config, runtime_config) -> tf_keras.optimizers.legacy.Optimizer:
  """Returns Model Garden's optimizer of a configuration, in float16 with a scaled loss, and a `MovingAverage` outside.

  Args:
    optimizer_config: an OptimizationConfig.
    runtime_config: a RuntimeConfig, which tells the precision.
  """
  factory = optimization.OptimizerFactory(optimizer_config.replace(ema=None))
  optimizer = performance.configure_optimizer(
      factory.build_optimizer(factory.build_learning_rate()),
      use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
  return MovingAverage(optimizer, **optimizer_config.ema.as_dict()) if optimizer_config.ema else optimizer
