"""How a classifier is optimized: the optimizer, and a learning rate in epochs that scales with the batch.

Model Garden builds the optimizer and the schedule; here times in epochs become its times in steps, and the rate for 256
images that for the batch (linear scaling: Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv 1706.02677).
"""

import dataclasses

from official.modeling import optimization

REFERENCE_BATCH = 256  # images
DECAYS = ('constant', 'cosine', 'stepwise', 'exponential')


@dataclasses.dataclass(frozen=True)
class Optimization:
  """Settings of the optimizer and the learning rate.

  Attributes:
    learning_rate: the rate at its height, for 256 images: that of a batch of b is learning_rate·b/256.
    optimizer: Model Garden's name: 'sgd', 'rmsprop', 'adam', 'adamw', 'lamb', 'lars', ...
    options: the arguments of Model Garden's configuration of it, such as {'momentum': 0.9, 'nesterov': True}.
    decay: one of `DECAYS`. 'cosine' falls to 0 at the end.
    boundaries: epochs at which 'stepwise' multiplies the rate by `decay_rate`.
    decay_epochs: epochs after which 'exponential' multiplies it by `decay_rate`, in one step.
    decay_rate: see above.
    warmup_epochs: epochs of a linear rise from 0, which the decay counts from the start, too.
    ema_decay: decay of a moving average of the weights, which evaluation then reads; None for no average.

  Raises:
    ValueError: for a rate or a time out of range, or an unknown decay.
  """
  learning_rate: float
  optimizer: str = 'sgd'
  options: dict = dataclasses.field(default_factory=dict)
  decay: str = 'cosine'
  boundaries: tuple[float, ...] = ()
  decay_epochs: float = 2.4
  decay_rate: float = 0.1
  warmup_epochs: float = 0.
  ema_decay: float | None = None

  def __post_init__(self):
    if self.decay not in DECAYS:
      raise ValueError(f'`decay` must be one of {DECAYS}, received {self.decay!r}.')
    if self.decay == 'stepwise' and (not self.boundaries or list(self.boundaries) != sorted(set(self.boundaries))):
      raise ValueError(f"`boundaries` must be rising epochs for decay='stepwise', received {self.boundaries}.")
    for name, least in (('learning_rate', 0), ('decay_epochs', 0), ('decay_rate', 0)):
      if not getattr(self, name) > least:
        raise ValueError(f'`{name}` must be positive, received {getattr(self, name)}.')
    if self.warmup_epochs < 0:
      raise ValueError(f'`warmup_epochs` must not be negative, received {self.warmup_epochs}.')
    if self.ema_decay is not None and not 0 < self.ema_decay < 1:
      raise ValueError(f'`ema_decay` must lie in (0, 1) or be None, received {self.ema_decay}.')

  def config(self, batch_size: int, steps_per_epoch: float, steps: int) -> optimization.OptimizationConfig:
    """Returns Model Garden's configuration for a global batch of so many images and so many steps of training.

    Raises:
      ValueError: if Model Garden has no such optimizer, or the optimizer no such option.
    """
    rate = self.learning_rate * batch_size / REFERENCE_BATCH
    config = {
        'optimizer': {'type': self.optimizer, self.optimizer: dict(self.options)},
        'learning_rate': {'type': self.decay, self.decay: self._schedule(rate, steps_per_epoch, steps)}}
    warmup_steps = round(self.warmup_epochs * steps_per_epoch)
    if warmup_steps:
      config['warmup'] = {'type': 'linear', 'linear': {'warmup_steps': warmup_steps, 'warmup_learning_rate': 0.}}
    if self.ema_decay is not None:
      config['ema'] = {'average_decay': self.ema_decay}
    result = optimization.OptimizationConfig()
    try:
      result.override(config, is_strict=True)
    except KeyError as e:
      raise ValueError(f'`optimizer` and `options` must be those of Model Garden, received {self.optimizer!r} with '
                       f'{self.options}: {e.args[0]}') from e
    return result

  def _schedule(self, rate: float, steps_per_epoch: float, steps: int) -> dict:
    """The arguments of Model Garden's schedule."""
    if self.decay == 'constant':
      return {'learning_rate': rate}
    if self.decay == 'cosine':
      return {'initial_learning_rate': rate, 'decay_steps': steps}
    if self.decay == 'exponential':
      return {'initial_learning_rate': rate, 'decay_steps': round(self.decay_epochs * steps_per_epoch),
              'decay_rate': self.decay_rate, 'staircase': True}
    return {'boundaries': [round(epoch * steps_per_epoch) for epoch in self.boundaries],
            'values': [rate * self.decay_rate**i for i in range(len(self.boundaries) + 1)]}
