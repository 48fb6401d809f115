"""GANs of seconds: dense networks on 40 real images of 8×8 pixels; features that are a projection of the pixels."""

import dataclasses
import io

import numpy as np
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf.data import cifar10
from gan import data as gan_data
from gan import trainer as adversarial_training
from gan.scores import metrics
from gan.training.optimizer import Adams
from gan.training.step import StepSettings

SIZE = 8  # pixels


@dataclasses.dataclass(frozen=True)
class TinyData:
  """The first images of the bundled subset, averaged to 8×8."""
  images: int = 40

  name = 'tiny'
  num_classes = 10
  image_size = SIZE

  def check(self):
    pass

  def skipped_records(self):
    return 0

  def training_batches(self, batch_size, seed, first_step=0, input_context=None):
    images, labels = self.split()
    return cifar10.training_batches(
        images, labels, batch_size, SIZE, seed, first_step, input_context, gan_data.scale)

  def real_images(self, batch_size):
    return tf.data.Dataset.from_tensor_slices(self.split()[0]).batch(batch_size).map(gan_data.scale)

  def split(self):
    images, labels = cifar10.load_split('train')
    return cifar10.downscale(images[:self.images], SIZE), labels[:self.images]


class TinyGenerator(tf_keras.Model):
  """tanh(W·norm_act(maps of z + embedding of the label)), without spectral norm."""

  def __init__(self, norm_act, num_classes, channels, **kwargs):
    super().__init__(**kwargs)
    self.z_size, self.num_classes, self.resolution = 4, num_classes, SIZE
    self.channels = channels
    self.first = tf_keras.layers.Dense(SIZE * SIZE * channels)
    self.embedding = tf_keras.layers.Embedding(num_classes, self.z_size)
    self.norm_act = norm_act()
    self.last = tf_keras.layers.Dense(3)

  def call(self, inputs, training=None):
    z, labels = inputs
    x = self.first(tf.cast(z, tf.float32) + tf.cast(self.embedding(labels), tf.float32))
    x = tf.reshape(x, [-1, SIZE, SIZE, self.channels])
    return tf.tanh(tf.cast(self.last(self.norm_act(x, training=training)), tf.float32))


class TinyDiscriminator(tf_keras.Model):
  """w·tanh(W·[image, label])."""

  def __init__(self, num_classes, channels, **kwargs):
    super().__init__(**kwargs)
    self.num_classes = num_classes
    self.hidden = tf_keras.layers.Dense(8 * channels, 'tanh')
    self.last = tf_keras.layers.Dense(1)

  def call(self, inputs, training=None):
    images, labels = inputs
    pixels = tf.reshape(images, [-1, SIZE * SIZE * 3])
    hidden = self.hidden(tf.concat([pixels, tf.one_hot(labels, self.num_classes, dtype=pixels.dtype)], -1))
    return tf.cast(self.last(hidden)[:, 0], tf.float32)


@dataclasses.dataclass(frozen=True)
class TinyNetworks:
  """Makes both."""
  channels: int = 4

  def make_generator(self, norm_act, resolution, num_classes, name='generator'):
    assert resolution == SIZE
    return TinyGenerator(norm_act, num_classes, self.channels, name=name)

  def make_discriminator(self, resolution, num_classes):
    return TinyDiscriminator(num_classes, self.channels, name='discriminator')


class TinyFeatures:
  """Features `[N, 6]` and logits `[N, 4]`: fixed projections."""
  features = 6
  name = 'projection'

  def __call__(self, images):
    rng = np.random.default_rng(0)
    pixels = tf.reshape(images, [-1, SIZE * SIZE * 3])
    return tuple(pixels @ tf.constant(rng.normal(size=[SIZE * SIZE * 3, n]) / 8, tf.float32) for n in (6, 4))


class TinyProtocol(metrics.Protocol):
  """A protocol of that network."""
  network_name = 'projection'

  def network(self):
    return TinyFeatures()


PROTOCOL = TinyProtocol(samples=25, splits=5, kid_subsets=4, kid_subset_size=10)


def settings(**changes):
  return StepSettings(**dict(batch_size=4, d_steps=2, ema_decay=.5, ema_start=3) | changes)


def run(model_dir, mode='train_and_eval', norm_act='evonorm_b0', steps=8, step=settings(), adams=Adams(.01, .01),
        networks=TinyNetworks(), data=TinyData(), console=None, **options):
  """Runs 8 steps of two steps of the discriminator; returns what run_gan returns."""
  arguments = dict(steps_per_loop=2, steps_between_evaluations=4, steps_between_checkpoints=2, eval_batch_size=10)
  return adversarial_training.run_gan(
      str(model_dir), mode, norm_act, networks, data, step, adams, steps, PROTOCOL,
      console=console or Console(file=io.StringIO()), **arguments | options)
