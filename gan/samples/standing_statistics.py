"""Standing statistics: what layers with statistics of the batch use for images that are made one by one.

Brock, Donahue, Simonyan (2019), appendix B: BigGAN's generator makes images with means of the statistics over many
batches, all taken with the weights as they are, in place of moving averages from the training.
"""

from collections.abc import Iterator
import contextlib

import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act_body import MovingAverages
from gan.networks import latents


@contextlib.contextmanager
def standing_statistics(generator: tf_keras.Model, batches: int, batch_size: int, seed: int) -> Iterator[None]:
  """Gives a generator the mean of the moments of so many batches within; takes them away at the end, bit by bit.

  Nothing else of the generator changes, power iterations neither. In the scope of the strategy, outside the replicas.

  Args:
    generator: has `z_size` and `num_classes`. Without a layer that has moving averages nothing happens.
    batches: how many; with 0 nothing happens.
    batch_size: of all replicas together.
    seed: of z and labels.
  """
  layers = [layer for layer in generator._flatten_layers()
            if isinstance(layer, (MovingAverages, tf_keras.layers.BatchNormalization))]
  moving = [variable for layer in layers for variable in layer.non_trainable_variables]
  if not moving or not batches:
    yield
    return
  before = _values(generator.non_trainable_variables)
  means = [tf.zeros_like(variable) for variable in moving]
  run = _make_run(generator, batch_size, seed)
  for number in range(batches):
    for variable in moving:
      variable.assign(tf.zeros_like(variable))  # the moment is added to it
    with _without_momentum(layers):
      run(tf.constant(number))
    means = [mean + tf.convert_to_tensor(variable) / batches for mean, variable in zip(means, moving)]
    _restore(generator.non_trainable_variables, before)
  for variable, mean in zip(moving, means):
    variable.assign(mean)
  try:
    yield
  finally:
    _restore(generator.non_trainable_variables, before)


def _make_run(generator, batch_size, seed):
  """Returns a function that calls the generator in training on the batch of a number."""
  strategy = tf.distribute.get_strategy()

  def call(number):
    z, labels = latents.draw(latents.seed_of(seed, latents.Purpose.STANDING_STATISTICS, number), batch_size,
                             generator.z_size, generator.num_classes)
    generator((latents.own_rows(z), latents.own_rows(labels)), training=True)

  return tf.function(lambda number: strategy.run(call, args=(number,)), autograph=False)


@contextlib.contextmanager
def _without_momentum(layers: list) -> Iterator[None]:
  """Layers' moving averages are the last batch's moments within, in what is traced there too."""
  momenta = [layer.momentum for layer in layers]
  for layer in layers:
    layer.momentum = 0.
  try:
    yield
  finally:
    for layer, momentum in zip(layers, momenta):
      layer.momentum = momentum


def _values(variables) -> list:
  """Returns the values of variables in each replica of this host, which may differ."""
  return [[tf.identity(component) for component in _components(variable)] for variable in variables]


def _restore(variables, values) -> None:
  for variable, components in zip(variables, values):
    for component, value in zip(_components(variable), components):
      component.assign(value)


def _components(variable) -> tuple:
  return tf.distribute.get_strategy().experimental_local_results(variable)
