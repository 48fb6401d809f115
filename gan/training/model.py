"""The model that a GAN's checkpoint contains: generator, discriminator and averaged generator."""

from collections.abc import Iterator

from official.modeling.optimization import ema_optimizer
import tensorflow as tf
import tf_keras


class AdversarialModel(tf_keras.Model):
  """The networks of a GAN's training run: generator, discriminator and averaged generator.

  The averaged generator makes all images that are shown or scored. Its floating-point variables are moving averages of
  the generator's, which include statistics and the vectors u of spectral norm:
  average ← decay·average + (1 − decay)·generator at each training step.

  Args:
    generator: a built generator.
    discriminator: a built discriminator.
    average: a second built generator with the same settings. Its variables are set to those of `generator`.

  Attributes:
    generator, discriminator, average: the three networks.
    bad_evaluations: a variable, the number of bad evaluations in a row; `collapse.CollapseGuard` updates it.
  """

  def __init__(self, generator: tf_keras.Model, discriminator: tf_keras.Model, average: tf_keras.Model):
    super().__init__()
    self.generator = generator
    self.discriminator = discriminator
    self.average = average
    self.bad_evaluations = tf.Variable(
        0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
    for copy, variable in self._pairs():
      copy.assign(variable)

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    """The weights that the optimizers train: those of generator and discriminator, not those of `average`."""
    return self.generator.trainable_weights + self.discriminator.trainable_weights

  def update_average(self, decay: float, start: int, step: tf.Variable) -> None:
    """Updates the averaged generator; to be called in each replica after the generator's step.

    Args:
      decay: the decay of the moving average, in [0, 1).
      start: the number of the first training step, counted from 1, that updates the average with this decay. Earlier
        steps copy the generator.
      step: the number of training steps before the current one.
    """
    ema_optimizer.maybe_merge_call(self._update, tf.distribute.get_strategy(), decay, start, step)

  def _update(self, strategy: tf.distribute.Strategy, decay: float, start: int, step: tf.Variable) -> None:
    decay = tf.where(step + 1 < start, 0., decay)

    def move(average, variable):
      factor = tf.cast(decay, average.dtype)
      average.assign(factor * average + (1. - factor) * variable)  # in this form a decay of 0 copies bit by bit

    for average, variable in self._pairs():
      strategy.extended.update(average, move, args=(variable,))

  def _pairs(self) -> Iterator[tuple[tf.Variable, tf.Variable]]:
    return ((a, v) for a, v in zip(self.average.variables, self.generator.variables) if v.dtype.is_floating)
