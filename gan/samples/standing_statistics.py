"""Standing statistics, which replace the moving averages of a generator's layers when it makes images.

As in BigGAN (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, appendix B), layers with batch statistics then use the
means of the statistics of many batches, all computed with the current weights. The moving averages of training, in
contrast, contain statistics from earlier weights.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib

import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act_body import MovingAverages
from gan.networks import latents


class StandingStatistics:
  """Replaces a generator's moving averages for a time by means of the moments of random batches.

  Args:
    generator: a built generator, with the attributes `z_size` and `num_classes`.
    batches: the number of batches; with 0 nothing is replaced.
    batch_size: the number of images per batch, over all replicas; a multiple of their number.
    seed: the seed of z and labels.

  Attributes:
    generator: the argument `generator`.
  """

  def __init__(self, generator: tf_keras.Model, batches: int, batch_size: int, seed: int):
    self.generator = generator
    self._batches, self._batch_size, self._seed = batches, batch_size, seed
    self._run: Callable[[tf.Tensor], None] | None = None  # traced once: its gradients stay in memory

  @contextlib.contextmanager
  def replaced(self) -> Iterator[None]:
    """A context in which the moving averages are the means; it has no effect if no layer has moving averages.

    At the end, also after an exception, the moving averages have exactly their former values. Nothing else in the
    generator changes; the vectors u of spectral norm keep their values too. Enter it inside `strategy.scope()`, in the
    cross-replica context.
    """
    generator, batches = self.generator, self._batches
    layers = [layer for layer in generator.submodules
              if isinstance(layer, (MovingAverages, tf_keras.layers.BatchNormalization))]
    moving = [variable for layer in layers for variable in layer.non_trainable_variables]
    if not moving or not batches:
      yield
      return
    before = _values(generator.non_trainable_variables)
    means = [tf.zeros_like(variable) for variable in moving]
    self._run = self._run or _make_run(generator, self._batch_size, self._seed)
    try:
      for number in range(batches):
        for variable in moving:
          variable.assign(tf.zeros_like(variable))  # the batch's moments are added to it
        with _without_momentum(layers):
          self._run(tf.constant(number))
        means = [mean + tf.convert_to_tensor(variable) / batches for mean, variable in zip(means, moving)]
        _restore(generator.non_trainable_variables, before)
      for variable, mean in zip(moving, means):
        variable.assign(mean)
      yield
    finally:
      _restore(generator.non_trainable_variables, before)


def _make_run(generator: tf_keras.Model, batch_size: int, seed: int) -> tf.types.experimental.PolymorphicFunction:
  """Returns a function that calls the generator, in training mode, on the random batch with a given number."""
  strategy = tf.distribute.get_strategy()

  def call(number):
    z, labels = latents.draw(latents.seed_of(seed, latents.Purpose.STANDING_STATISTICS, number), batch_size,
                             generator.z_size, generator.num_classes)
    generator((latents.own_rows(z), latents.own_rows(labels)), training=True)

  return tf.function(lambda number: strategy.run(call, args=(number,)), autograph=False)


@contextlib.contextmanager
def _without_momentum(layers: Sequence[tf_keras.layers.Layer]) -> Iterator[None]:
  """A context in which the layers' momentum is 0, also for functions that are traced in it.

  Each call in training then sets the moving averages to the moments of its batch.
  """
  momenta = [layer.momentum for layer in layers]
  for layer in layers:
    layer.momentum = 0.
  try:
    yield
  finally:
    for layer, momentum in zip(layers, momenta):
      layer.momentum = momentum


def _values(variables: Sequence[tf.Variable]) -> list[list[tf.Tensor]]:
  """Returns for each variable its values in all replicas of this host; they may differ."""
  return [[tf.identity(component) for component in _components(variable)] for variable in variables]


def _restore(variables: Sequence[tf.Variable], values: Sequence[Sequence[tf.Tensor]]) -> None:
  for variable, components in zip(variables, values):
    for component, value in zip(_components(variable), components):
      component.assign(value)


def _components(variable: tf.Variable) -> tuple:
  return tf.distribute.get_strategy().experimental_local_results(variable)
