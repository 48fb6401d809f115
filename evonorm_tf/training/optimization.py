"""Settings of the optimizer, with a learning rate that scales with the batch and a schedule in epochs.

Model Garden builds the optimizer and the schedule. This module converts epochs to steps, and the rate for 256 images to
that for the batch (linear scaling: Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv 1706.02677).
"""

import dataclasses
import math
from typing import Any

from official.modeling import optimization
from official.modeling.optimization import optimizer_factory
import tf_keras

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError

REFERENCE_BATCH = 256  # images
DECAYS = ('constant', 'cosine', 'stepwise', 'exponential')
# Where the class of an optimizer is not installed, Model Garden has a string in its place.
OPTIMIZERS = tuple(name for name, c in optimizer_factory.LEGACY_OPTIMIZERS_CLS.items() if isinstance(c, type))


@dataclasses.dataclass(frozen=True)
class Optimization:
  """Settings of the optimizer and the learning rate.

  Attributes:
    learning_rate: the highest rate, for 256 images; a batch of b images gets learning_rate·b/256.
    optimizer: Model Garden's name, one of `OPTIMIZERS`: 'sgd', 'rmsprop', 'adam', 'adamw', 'lamb', 'lars', ...
    options: the arguments of Model Garden's configuration of it, such as {'momentum': 0.9, 'nesterov': True}.
    decay: one of `DECAYS`. 'cosine' falls to 0 at the end.
    boundaries: epochs at which 'stepwise' multiplies the rate by `decay_rate`.
    decay_epochs: epochs after which 'exponential' multiplies it by `decay_rate`, in one step.
    decay_rate: the factor of 'stepwise' and 'exponential'.
    warmup_epochs: epochs of a linear rise from 0 to the rate that the decay, which counts from the start, has by then.
    ema_decay: decay of a moving average of the trainable weights, which evaluation, best/ and export then use; None
      for no average. Not for Keras's new optimizers (..._experimental, adafactor_keras).

  Raises:
    ArgumentError: for a rate or a time out of range, an unknown decay or optimizer, or an option it does not have.
  """
  learning_rate: float
  optimizer: str = 'sgd'
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  decay: str = 'cosine'
  boundaries: tuple[float, ...] = ()
  decay_epochs: float = 2.4
  decay_rate: float = 0.1
  warmup_epochs: float = 0.
  ema_decay: float | None = None

  def __post_init__(self):
    if self.decay not in DECAYS:
      raise ArgumentError(f'`decay` must be one of {DECAYS}, received {self.decay!r}.')
    boundaries = list(self.boundaries)
    if self.decay == 'stepwise' and (not boundaries or boundaries != sorted(set(boundaries)) or boundaries[0] <= 0):
      raise ArgumentError(f"`boundaries` must be rising epochs for decay='stepwise', received {self.boundaries}.")
    checks.check_positive(
        learning_rate=self.learning_rate, decay_epochs=self.decay_epochs, decay_rate=self.decay_rate)
    if not 0 <= self.warmup_epochs < math.inf:
      raise ArgumentError(f'`warmup_epochs` must not be negative, received {self.warmup_epochs}.')
    if self.ema_decay is not None and not 0 < self.ema_decay < 1:
      raise ArgumentError(f'`ema_decay` must lie in (0, 1) or be None, received {self.ema_decay}.')
    self._check_optimizer()

  def _check_optimizer(self) -> None:
    if self.optimizer not in OPTIMIZERS:
      raise ArgumentError(f'`optimizer` must be one of {OPTIMIZERS}, received {self.optimizer!r}.')
    is_legacy = issubclass(
        optimizer_factory.LEGACY_OPTIMIZERS_CLS[self.optimizer], tf_keras.optimizers.legacy.Optimizer)
    if self.ema_decay is not None and not is_legacy:
      raise ArgumentError(f'`ema_decay` must be None for optimizer={self.optimizer!r}, received {self.ema_decay}.')
    self.config(REFERENCE_BATCH, steps_per_epoch=1., steps=math.ceil(self.warmup_epochs) + 1)

  def config(self, batch_size: int, steps_per_epoch: float, steps: int) -> optimization.OptimizationConfig:
    """Returns Model Garden's configuration.

    Args:
      batch_size: images of a global batch.
      steps_per_epoch: training steps of an epoch.
      steps: the length of the training.

    Raises:
      ArgumentError: if a cosine decay has reached 0 when the warm-up ends.
    """
    rate = self.learning_rate * batch_size / REFERENCE_BATCH
    decay, schedule = self._schedule(rate, steps_per_epoch, steps)
    config = {
        'optimizer': {'type': self.optimizer, self.optimizer: dict(self.options)},
        'learning_rate': {'type': decay, decay: schedule}}
    warmup_steps = round(self.warmup_epochs * steps_per_epoch)
    if warmup_steps >= steps and self.decay == 'cosine':
      raise ArgumentError(f"`warmup_epochs` must be fewer than those of training for decay='cosine', received "
                          f'{self.warmup_epochs}, which are {warmup_steps} of {steps} steps: the rate would always '
                          'be 0.')
    if warmup_steps:
      config['warmup'] = {'type': 'linear', 'linear': {'warmup_steps': warmup_steps, 'warmup_learning_rate': 0.}}
    if self.ema_decay is not None:
      config['ema'] = {'average_decay': self.ema_decay}
    result = optimization.OptimizationConfig()
    try:
      result.override(config, is_strict=True)
    except (KeyError, TypeError) as e:
      raise ArgumentError(f'`options` must be those of Model Garden for {self.optimizer!r}, received {self.options}: '
                          f'{e.args[0]}') from e
    return result

  def _schedule(self, rate: float, steps_per_epoch: float, steps: int) -> tuple[str, dict[str, Any]]:
    """Returns the name and the arguments of Model Garden's schedule."""
    if self.decay == 'constant':
      # Not Model Garden's constant, which a checkpoint would restore whatever the configuration says.
      return 'cosine', {'initial_learning_rate': rate, 'decay_steps': steps, 'alpha': 1.}
    if self.decay == 'cosine':
      return 'cosine', {'initial_learning_rate': rate, 'decay_steps': steps}
    if self.decay == 'exponential':
      return 'exponential', {
          'initial_learning_rate': rate, 'decay_steps': max(1, round(self.decay_epochs * steps_per_epoch)),
          'decay_rate': self.decay_rate, 'staircase': True}
    return 'stepwise', {'boundaries': [round(epoch * steps_per_epoch) for epoch in self.boundaries],
                        'values': [rate * self.decay_rate**i for i in range(len(self.boundaries) + 1)]}
