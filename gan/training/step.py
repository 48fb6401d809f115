"""The training step of a GAN, as a task of Model Garden's trainer.

A training step consists of `d_steps` steps of the discriminator and then one of the generator. Each of these is a step
of Adam with the mean gradient of `accumulations` batches, of which only one is in memory at a time. z and labels are
functions of (seed, training step, number of the network's step within it).
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
  """The settings of a training step.

  Attributes:
    batch_size: the number of generated images per batch, over all replicas. A discriminator's batch also contains as
      many real images.
    d_steps: the number of steps of the discriminator for each step of the generator (default 1).
    accumulations: the number of batches whose mean gradient makes one step of a network (default 1).
    loss: a `losses.GanLoss`, or another object with its functions `d_loss` and `g_loss` (default `losses.hinge`).
    orthogonal: the strength β of the generator's orthogonal regularization; 0 (default) for none (BigGAN: 1e-4).
    ema_decay: the decay of the moving average of the generator's weights, in [0, 1) (default 0.9999).
    ema_start: the number of the first training step that updates the moving average with this decay (default 0).
      Earlier steps copy the generator's weights.

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
    # For a reference such as @losses.hinge, gin passes a function that wraps the object.
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
    """The number of real images that a training step needs, over all replicas."""
    return self.batch_size * self.d_steps * self.accumulations


class AdversarialStep(base_task.Task):
  """A Model Garden task that takes the training steps of a GAN; `AdversarialTask` adds networks, data and evaluation.

  Its metrics are the `FIGURES`: `d_loss` and `g_loss`, the losses of the discriminator and the generator, and `d_real`
  and `d_fake`, the mean logits of real and of generated images in the discriminator's steps.

  Args:
    params: Model Garden's configuration of the task.
    settings: the settings of a training step.
    **kwargs: further arguments of Model Garden's Task.

  Attributes:
    settings: the argument `settings`.
  """

  def __init__(self, params: config_definitions.TaskConfig, settings: StepSettings, **kwargs):
    super().__init__(params, **kwargs)
    self.settings = settings

  def build_metrics(self, training: bool = True) -> list[tf_keras.metrics.Metric]:
    """Returns the metrics.

    Args:
      training: whether they are for training (default True). If so, there is a mean for each of the `FIGURES`; for
        evaluation, which computes scores instead, there are none.
    """
    return [tf_keras.metrics.Mean(name) for name in FIGURES] if training else []

  def train_step(self, inputs: tuple[tf.Tensor, tf.Tensor], model: AdversarialModel, optimizer: AdversarialOptimizer,
                 metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, tf.Tensor]:
    """Takes one training step, that is, all steps of both networks; to be called in each replica.

    Args:
      inputs: the pair (images, labels) of the replica's share of `settings.images` real images: `[N, H, W, 3]` in
        [−1, 1], and integers `[N]`.
      model: the networks.
      optimizer: the optimizers of both networks.
      metrics: the result of `build_metrics`, which this updates; None (default) for none.

    Returns:
      The `FIGURES` by name and, under the task's key `loss`, the sum of both losses; all are scalars.
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
    """Takes one step of the discriminator; returns its loss and the means of D(x) and D(G(z))."""
    images, labels = (values[d_step::self.settings.d_steps] for values in inputs)
    z, fake_labels = self._draw(d_step, model.generator)

    def losses_of(part):
      fakes = tf.stop_gradient(model.generator((z[part], fake_labels[part]), training=True))
      # Real and generated images share one call, so that power iterations advance once and the device is used better.
      logits = model.discriminator(
          (tf.concat([self._part(images, part), fakes], 0),
           tf.concat([self._part(labels, part), tf.cast(fake_labels[part], labels.dtype)], 0)), training=True)
      real_logits, fake_logits = tf.split(logits, 2)
      return (self.settings.loss.d_loss(real_logits, fake_logits), tf.reduce_mean(real_logits),
              tf.reduce_mean(fake_logits))

    return self._descend(losses_of, model.discriminator.trainable_variables, optimizer)

  def _train_generator(self, model, optimizer) -> tf.Tensor:
    """Takes the step of the generator; returns its loss without the regularization."""
    z, labels = self._draw(self.settings.d_steps, model.generator)

    def losses_of(part):
      fakes = model.generator((z[part], labels[part]), training=True)
      return [self.settings.loss.g_loss(model.discriminator((fakes, labels[part]), training=True))]

    penalty = functools.partial(orthogonal_penalty, model.generator, self.settings.orthogonal)
    return self._descend(losses_of, model.generator.trainable_variables, optimizer,
                         penalty if self.settings.orthogonal else None)[0]

  def _descend(self, losses_of: Callable[[int], Sequence[tf.Tensor]], variables: list[tf.Variable], optimizer,
               penalty: Callable[[], tf.Tensor] | None = None) -> list[tf.Tensor]:
    """Takes one step of an optimizer with the mean gradient of all `accumulations` batches.

    Args:
      losses_of: a function from a batch's number to a list of scalars, the first of which is the loss.
      variables: the variables that the optimizer updates.
      optimizer: the optimizer of the network.
      penalty: a function that returns a further term of the loss; None for none.

    Returns:
      The mean of each scalar over the batches.
    """
    count = self.settings.accumulations
    share = 1. / (count * tf.distribute.get_strategy().num_replicas_in_sync)
    gradients, sums = None, None
    for part in range(count):
      # This makes the batches run one after the other; otherwise all would be in memory at once.
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
    """Draws z and labels for a step of a network.

    Args:
      number: the number of the network's step within the training step; `d_steps` for the generator's.
      generator: the generator, for the size of z and the number of classes.

    Returns:
      (z, labels), each a list with this replica's rows of every batch.
    """
    seed = latents.seed_of(self.seed, latents.Purpose.TRAINING, self.global_step, number)
    draws = latents.draw(
        seed, self.settings.batch_size * self.settings.accumulations, generator.z_size, generator.num_classes)
    z, labels = map(latents.own_rows, draws)
    parts = range(self.settings.accumulations)
    return [self._part(z, part) for part in parts], [self._part(labels, part) for part in parts]

  def _part(self, values: tf.Tensor, part: int) -> tf.Tensor:
    """Returns a part of this replica's rows: every `accumulations`-th one, beginning with row `part`.

    With this choice a global batch contains the same rows for any number of replicas.
    """
    return values[part::self.settings.accumulations]
