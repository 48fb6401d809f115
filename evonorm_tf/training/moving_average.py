"""An exponential moving average of the weights, which evaluation and export use in place of the weights themselves."""

from collections.abc import Sequence

from official.core import config_definitions
from official.modeling import optimization
from official.modeling import performance
from official.modeling.optimization import ema_optimizer
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError


class MovingAverage(ema_optimizer.ExponentialMovingAverage):
  """An optimizer that wraps another one and keeps a moving average of the trainable weights.

  It departs from its base class in Model Garden in two ways:
  - Weights and averages are exchanged exactly. Model Garden adds and subtracts them; because of the rounding, training
    would then depend on when it is evaluated.
  - The training step calls `inner` for the weights and then `update` for the average. In float16, `inner` can therefore
    be the optimizer that scales the loss, which Model Garden's training step would not find inside the average.

  Args:
    optimizer: the optimizer that changes the weights.
    average_decay: the decay of the average, in (0, 1); default 0.99. Unless `dynamic_decay` is False, the decay rises
      from 0.1 to this value in the course of the first steps.
    **kwargs: further arguments of Model Garden's `ExponentialMovingAverage`.
  """

  @property
  def inner(self) -> tf_keras.optimizers.legacy.Optimizer:
    """The wrapped optimizer, which changes the weights."""
    return self._optimizer

  def update(self) -> None:
    """Updates the average with the current weights; to be called in each replica after each training step."""
    ema_optimizer.maybe_merge_call(self.update_average, tf.distribute.get_strategy())

  def swap_weights(self) -> None:
    """Exchanges weights and averages; a second call restores them. To be called eagerly, outside the replicas."""
    for average, weight in zip(self._average_weights, self._model_weights):
      values = tf.identity(average), tf.identity(weight)
      weight.assign(values[0])
      average.assign(values[1])

  @property
  def learning_rate(self) -> tf.Tensor | tf_keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of the wrapped optimizer, a number or a schedule."""
    return self._optimizer.learning_rate

  def _create_all_weights(self, var_list: Sequence[tf.Variable]) -> None:
    self._optimizer._create_all_weights(var_list)  # noqa: SLF001 this method overrides the same one of Keras


def make_optimizer(optimizer_config: optimization.OptimizationConfig, runtime_config: config_definitions.RuntimeConfig
                   ) -> tf_keras.optimizers.Optimizer:
  """Builds an optimizer from Model Garden's configurations.

  In float16 it is wrapped in a Keras LossScaleOptimizer; with a moving average it is then wrapped in a `MovingAverage`.

  Args:
    optimizer_config: the configuration of optimizer, learning rate and moving average; see `Optimization.config`.
    runtime_config: the configuration of precision and loss scaling; see `config.runtime_config`.

  Raises:
    ArgumentError: if the optimizer's class rejects an option.
  """
  factory = optimization.OptimizerFactory(optimizer_config.replace(ema=None))
  try:
    optimizer = factory.build_optimizer(factory.build_learning_rate())
  except (ValueError, TypeError) as e:  # raised by Keras
    chosen = optimizer_config.optimizer
    raise ArgumentError(f'`options` must be such that {chosen.type!r} can be made of them, received '
                        f'{chosen.get().as_dict()}: {e}') from e
  optimizer = performance.configure_optimizer(
      optimizer, use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
  return MovingAverage(optimizer, **optimizer_config.ema.as_dict()) if optimizer_config.ema else optimizer
