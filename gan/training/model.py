"""Generator, discriminator and the averaged generator as one model, which a checkpoint holds."""

from official.modeling.optimization import ema_optimizer
import tensorflow as tf
import tf_keras


class AdversarialModel(tf_keras.Model):
  """The networks of a training.

  The average is a generator whose variables follow those of `generator`, statistics and power iterations too: at each
  step average ← decay·average + (1 − decay)·generator. It makes all images that anybody looks at or measures.

  Args:
    generator, discriminator, average: built networks; `average` is built as `generator` and gets its values.

  Attributes:
    bad_evaluations: how many evaluations in a row were bad, a variable; see `collapse`.
  """

  def __init__(self, generator, discriminator, average):
    super().__init__()
    self.generator = generator
    self.discriminator = discriminator
    self.average = average
    self.bad_evaluations = tf.Variable(
        0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
    for copy, variable in self._pairs():
      copy.assign(variable)

  @property
  def trainable_weights(self) -> list:
    """Those that an optimizer moves: the average's are not among them, though its layers are not frozen."""
    return self.generator.trainable_weights + self.discriminator.trainable_weights

  def update_average(self, decay: float, start: int, step: tf.Variable) -> None:
    """Brings the average up to date; in a replica, behind the step of the generator.

    Args:
      decay: of the average.
      start: the first step, counted from 1, at which the average is one; before it is a copy.
      step: how many steps came before the present one.
    """
    ema_optimizer.maybe_merge_call(self._update, tf.distribute.get_strategy(), decay, start, step)

  def _update(self, strategy, decay, start, step):
    decay = tf.where(step + 1 < start, 0., decay)

    def move(average, variable):
      factor = tf.cast(decay, average.dtype)
      average.assign(factor * average + (1. - factor) * variable)  # so that a decay of 0 copies bit by bit

    for average, variable in self._pairs():
      strategy.extended.update(average, move, args=(variable,))

  def _pairs(self):
    return [(a, v) for a, v in zip(self.average.variables, self.generator.variables) if v.dtype.is_floating]
