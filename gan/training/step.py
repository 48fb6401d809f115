"""One training step of a GAN as a Model Garden task: n steps of the discriminator and one of the generator.

Each of them is a step of Adam along the gradient of a mean over `accumulations` batches, of which one is in memory at a
time. z and labels are functions of (seed, training step, number of the network's step within it).
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import inspect
import math

from official.core import base_task
from official.core import config_definitions
import tensorflow as tf
import tf_keras

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from gan.networks import latents
from gan.training import losses
from gan.training.losses import GanLoss
from gan.training.losses import orthogonal_penalty
from gan.training.model import AdversarialModel
from gan.training.optimizer import AdversarialOptimizer
from gan.training.optimizer import apply
from gan.training.optimizer import scaled

FIGURES = ('d_loss', 'g_loss', 'd_real', 'd_fake')


@dataclasses.dataclass(frozen=True)
class StepSettings:
  """Settings of a training step.

  Attributes:
    batch_size: images that a network sees at a time, over all replicas; as many real as generated ones.
    d_steps: steps of the discriminator for each step of the generator.
    accumulations: batches whose gradients make one step of a network.
    loss: a `losses.GanLoss`, or anything else that has its functions `d_loss` and `g_loss`.
    orthogonal: strength of the orthogonal regularization of the generator (0: none; BigGAN's code offers 1e-4).
    ema_decay: decay of the average of the generator's weights.
    ema_start: the first step at which it is an average; before that it is a copy.

  Raises:
    ArgumentError: if a setting is out of range.
  """
  batch_size: int
  d_steps: int = 1
  accumulations: int = 1
  loss: GanLoss = losses.hinge
  orthogonal: float = 0.
  ema_decay: float = .9999
  ema_start: int = 0

  def __post_init__(self):
    # What gin passes for a reference such as @losses.hinge is a function around it.
    object.__setattr__(self, 'loss', inspect.unwrap(self.loss))
    checks.check_integers(1, batch_size=self.batch_size, d_steps=self.d_steps, accumulations=self.accumulations)
    checks.check_integers(0, ema_start=self.ema_start)
    checks.check_rate(ema_decay=self.ema_decay)
    if not 0 <= self.orthogonal < math.inf:
      raise ArgumentError(f'`orthogonal` must not be negative, received {self.orthogonal}.')
    if not all(callable(getattr(self.loss, name, None)) for name in ('d_loss', 'g_loss')):
      raise ArgumentError(f'`loss` must have `d_loss` and `g_loss`, such as @losses.hinge, received {self.loss!r}.')

  @property
  def images(self) -> int:
    """The number of real images in a training step."""
    return self.batch_size * self.d_steps * self.accumulations


class AdversarialStep(base_task.Task):
  """The training step; `AdversarialTask` adds everything around it.

  Its logs and metrics are the `FIGURES`: both losses, and the means of D(x) of real images x and of D(G(z)) at the
  steps of the discriminator. The trainer watches the sum of both losses.

  Args:
    params: Model Garden's TaskConfig.
    settings: of the step.
    **kwargs: further arguments of Model Garden's Task.
  """

  def __init__(self, params: config_definitions.TaskConfig, settings: StepSettings, **kwargs):
    super().__init__(params, **kwargs)
    self.settings = settings

  def build_metrics(self, training: bool = True) -> list[tf_keras.metrics.Metric]:
    """Returns a mean for each of the `FIGURES` in training; evaluation has scores in their place."""
    return [tf_keras.metrics.Mean(name) for name in FIGURES] if training else []

  def train_step(self, inputs: tuple[tf.Tensor, tf.Tensor], model: AdversarialModel, optimizer: AdversarialOptimizer,
                 metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, tf.Tensor]:
    """Takes all steps of both networks, in a replica.

    Args:
      inputs: this replica's `settings.images` real images `[N, H, W, 3]` and their labels `[N]`.
      model: both networks.
      optimizer: both optimizers.
      metrics: means by the names of the `FIGURES`, which are updated.

    Returns:
      The logs by name, scalars.
    """
    figures = [self._train_discriminator(inputs, d_step, model, optimizer.discriminator)
               for d_step in range(self.settings.d_steps)]
    d_loss, d_real, d_fake = (sum(values) / self.settings.d_steps for values in zip(*figures))
    g_loss = self._train_generator(model, optimizer.generator)
    logs = {self.loss: d_loss + g_loss, 'd_loss': d_loss, 'g_loss': g_loss, 'd_real': d_real, 'd_fake': d_fake}
    for metric in metrics or []:
      metric.update_state(logs[metric.name])
    return logs

  def _train_discriminator(self, inputs, d_step: int, model, optimizer) -> list:
    """Returns the loss, and the means of D(x) and D(G(z))."""
    images, labels = (values[d_step::self.settings.d_steps] for values in inputs)
    z, fake_labels = self._draw(d_step, model.generator)

    def losses_of(part):
      fakes = tf.stop_gradient(model.generator((z[part], fake_labels[part]), training=True))
      # One call for both: power iterations advance once, and a device gets its work in one piece.
      logits = model.discriminator(
          (tf.concat([self._part(images, part), fakes], 0),
           tf.concat([self._part(labels, part), tf.cast(fake_labels[part], labels.dtype)], 0)), training=True)
      real_logits, fake_logits = tf.split(logits, 2)
      return (self.settings.loss.d_loss(real_logits, fake_logits), tf.reduce_mean(real_logits),
              tf.reduce_mean(fake_logits))

    return self._descend(losses_of, model.discriminator.trainable_variables, optimizer)

  def _train_generator(self, model, optimizer) -> tf.Tensor:
    """Returns the loss, without the regularization."""
    z, labels = self._draw(self.settings.d_steps, model.generator)

    def losses_of(part):
      fakes = model.generator((z[part], labels[part]), training=True)
      return [self.settings.loss.g_loss(model.discriminator((fakes, labels[part]), training=True))]

    penalty = functools.partial(orthogonal_penalty, model.generator, self.settings.orthogonal)
    return self._descend(losses_of, model.generator.trainable_variables, optimizer,
                         penalty if self.settings.orthogonal else None)[0]

  def _descend(self, losses_of: Callable[[int], Sequence[tf.Tensor]], variables: list[tf.Variable], optimizer,
               penalty: Callable[[], tf.Tensor] | None = None) -> list[tf.Tensor]:
    """Takes a step of an optimizer.

    Args:
      losses_of: a function from a batch's number to scalars, the first of which is the loss.
      variables: those that the optimizer moves.
      optimizer: as `optimizer.apply` takes it.
      penalty: a function that returns a further term of the loss.

    Returns:
      The means of the scalars.
    """
    count = self.settings.accumulations
    share = 1. / (count * tf.distribute.get_strategy().num_replicas_in_sync)
    gradients, sums = None, None
    for part in range(count):
      # One after the other: otherwise all batches would be in memory together.
      with tf.control_dependencies(gradients or []):
        with tf.GradientTape() as tape:
          scalars = losses_of(part)
          total = scalars[0] + penalty() if penalty else scalars[0]
          loss = scaled(optimizer, total * share)
        new = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
      gradients = new if gradients is None else [a + b for a, b in zip(gradients, new)]
      sums = list(scalars) if sums is None else [a + b for a, b in zip(sums, scalars)]
    apply(optimizer, gradients, variables)
    return [total / count for total in sums]

  def _draw(self, number: int, generator) -> tuple[list, list]:
    """Returns z and labels of each of this replica's batches for the network's step of this number."""
    seed = latents.seed_of(self.seed, latents.Purpose.TRAINING, self.global_step, number)
    draws = latents.draw(
        seed, self.settings.batch_size * self.settings.accumulations, generator.z_size, generator.num_classes)
    z, labels = map(latents.own_rows, draws)
    parts = range(self.settings.accumulations)
    return [self._part(z, part) for part in parts], [self._part(labels, part) for part in parts]

  def _part(self, values: tf.Tensor, part: int) -> tf.Tensor:
    """Returns every `accumulations`-th row, so that the batch does not depend on the number of replicas."""
    return values[part::self.settings.accumulations]
