"""Generator, discriminator and averaged generator as the one model that a checkpoint holds."""

from collections.abc import Iterator

from official.modeling.optimization import ema_optimizer
import tensorflow as tf
import tf_keras


class AdversarialModel(tf_keras.Model):
  """The networks of a training run.

  The average is a generator whose variables follow those of `generator`, including statistics and the vectors of power
  iterations: at each step average ← decay·average + (1 − decay)·generator. It makes all images that are shown or
  scored.

  Args:
    generator: a built generator.
    discriminator: a built discriminator.
    average: a second generator, built like the first; it receives the values of `generator`.

  Attributes:
    bad_evaluations: how many evaluations in a row were bad, a variable; see `collapse`.
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
    """The weights that an optimizer moves; the average's are not among them, though its layers are not frozen."""
    return self.generator.trainable_weights + self.discriminator.trainable_weights

  def update_average(self, decay: float, start: int, step: tf.Variable) -> None:
    """Brings the average up to date; to be called in a replica, after the step of the generator.

    Args:
      decay: of the average, in [0, 1).
      start: the first step, counted from 1, at which it is an average; before that it is a copy.
      step: the number of steps before this one.
    """
    ema_optimizer.maybe_merge_call(self._update, tf.distribute.get_strategy(), decay, start, step)

  def _update(self, strategy: tf.distribute.Strategy, decay: float, start: int, step: tf.Variable) -> None:
    decay = tf.where(step + 1 < start, 0., decay)

    def move(average, variable):
      factor = tf.cast(decay, average.dtype)
      average.assign(factor * average + (1. - factor) * variable)  # so that a decay of 0 copies bit by bit

    for average, variable in self._pairs():
      strategy.extended.update(average, move, args=(variable,))

  def _pairs(self) -> Iterator[tuple[tf.Variable, tf.Variable]]:
    return ((a, v) for a, v in zip(self.average.variables, self.generator.variables) if v.dtype.is_floating)
