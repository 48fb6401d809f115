"""Settings of the optimizer, with a learning rate that scales with the batch size and a schedule in epochs.

The TensorFlow Model Garden builds the optimizer and the schedule. This module converts epochs to steps, and scales the
learning rate from a batch of 256 images to the actual batch (linear scaling: Goyal et al., Accurate, Large Minibatch
SGD, 2017, arXiv 1706.02677).
"""

import dataclasses
import math
from typing import Any

from official.modeling import optimization
from official.modeling.optimization import optimizer_factory
import tf_keras

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError

REFERENCE_BATCH = 256  # images per batch to which `learning_rate` applies
DECAYS = ('constant', 'cosine', 'stepwise', 'exponential')
# If the class of an optimizer is not installed, Model Garden has a string in its place.
OPTIMIZERS = tuple(name for name, c in optimizer_factory.LEGACY_OPTIMIZERS_CLS.items() if isinstance(c, type))


@dataclasses.dataclass(frozen=True)
class Optimization:
  """Settings of the optimizer and the learning rate.

  Attributes:
    learning_rate: the learning rate at the start of the decay for a batch of 256 images. For b images it is
      learning_rate·b/256.
    optimizer: Model Garden's name of the optimizer, one of `OPTIMIZERS`: 'sgd' (the default), 'rmsprop', 'adam',
      'adamw', 'lamb', 'lars', ...
    options: the optimizer's options in Model Garden's configuration, such as {'momentum': 0.9, 'nesterov': True}; by
      default none.
    decay: the schedule of the learning rate, one of `DECAYS`. The default, 'cosine', falls to 0 at the end of training.
    boundaries: the epochs at which 'stepwise' multiplies the rate by `decay_rate`, in rising order.
    decay_epochs: the number of epochs after which 'exponential' multiplies the rate by `decay_rate`, again and again,
      in a staircase. Default: 2.4.
    decay_rate: the factor for 'stepwise' and 'exponential'. Default: 0.1.
    warmup_epochs: the length of the warm-up, by default 0. The rate rises linearly from 0 to the value that the decay,
      which also counts from the start of training, has at the end of the warm-up.
    ema_decay: the decay of a moving average of the trainable weights, in (0, 1). Evaluation, export and the checkpoint
      in best/ then use the average. None, the default, for no average. Not available for Keras's new optimizers
      (..._experimental, adafactor_keras).

  Raises:
    ArgumentError: for a rate or a number of epochs out of range, an unknown decay or optimizer, or an option that the
      optimizer does not have.
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
    """Returns the settings as Model Garden's configuration, for a training of a known length.

    Args:
      batch_size: the number of images per training batch, over all replicas.
      steps_per_epoch: the number of training steps per epoch; may be a fraction.
      steps: the length of training in steps.

    Raises:
      ArgumentError: if the warm-up is not shorter than a training with cosine decay, or the optimizer does not have one
        of the options.
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
    """Returns the name and the arguments of Model Garden's learning rate schedule."""
    if self.decay == 'constant':
      # Model Garden's constant rate would be restored from a checkpoint, whatever the configuration says.
      return 'cosine', {'initial_learning_rate': rate, 'decay_steps': steps, 'alpha': 1.}
    if self.decay == 'cosine':
      return 'cosine', {'initial_learning_rate': rate, 'decay_steps': steps}
    if self.decay == 'exponential':
      return 'exponential', {
          'initial_learning_rate': rate, 'decay_steps': max(1, round(self.decay_epochs * steps_per_epoch)),
          'decay_rate': self.decay_rate, 'staircase': True}
    return 'stepwise', {'boundaries': [round(epoch * steps_per_epoch) for epoch in self.boundaries],
                        'values': [rate * self.decay_rate**i for i in range(len(self.boundaries) + 1)]}
