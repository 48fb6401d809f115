"""Cost of a BigGAN training step of both networks, with any norm-activation layer compared with BN-ReLU.

  python -m benchmarks.gan [--resolution=32] [--channels=16] [--batch_size=16] [--repeats=5] [--layers=bn_relu,...]
    [--modes=core] [--json=FILE]

In a step, the discriminator is trained on a batch of real images and on as many images of the generator, and then the
generator is trained on a batch of its own; both use the hinge loss and Adam. Against a step of the trainer, the moving
average of the generator's weights and the draws of z are left out. The real images are random numbers, always the same.
The generator has two norm-activation layers in each block and one at the end. The discriminator has none, so the ratios
are closer to 1 than those of `benchmarks.models`.

A contender is a layer in a mode. In mode 'core', the default in training on a CPU, XLA compiles each EvoNorm's
computation (`jit_compile=True`); in mode 'graph' nothing is compiled. Statistics are not synchronized over replicas.
The contenders take turns; the table has median times as ratios to BN-ReLU.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import json
import pathlib

from absl import app
from absl import flags
from rich.console import Console
from rich.progress import track
from rich.table import Table
import tensorflow as tf
import tf_keras

from benchmarks.measuring.command_line import define_json
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.timing import median_seconds
from evonorm_tf import get_norm_act
from evonorm_tf.layers.norm_act import NORM_ACTS
from gan.networks import biggan
from gan.training.losses import hinge

CLASSES = 10
BASE = 'bn_relu', 'graph'  # the contender to which ratios are taken
LAYERS = ('bn_relu', 'gn_relu', 'ln_relu', 'pixel_norm_relu', 'evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0',
          'evonorm_s1', 'evonorm_s2')

_RESOLUTION = flags.DEFINE_enum('resolution', '32', [str(r) for r in biggan.GENERATOR_WIDTHS], 'Pixels of the images.')
_CHANNELS = flags.DEFINE_integer('channels', 16, 'The unit of all widths.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Images in a step.', lower_bound=1)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed steps of each contender.', lower_bound=1)
_LAYERS = define_names('layers', LAYERS, tuple(NORM_ACTS), 'Layers; BN-ReLU is always timed.')
_MODES = define_names('modes', ('core',), ('core', 'graph'), 'Modes of the EvoNorms.')
_JSON = define_json()


def make_step(name: str, mode: str, resolution: int, channels: int):
  """Returns a function of real images, labels and z that takes one training step of two new networks.

  The function returns the losses of the discriminator and of the generator.

  Args:
    name: the layer's name, as for `evonorm_tf.get_norm_act`.
    mode: 'core' or 'graph' (see the module), which only matters to EvoNorms.
    resolution: the height and width of the images in pixels.
    channels: the unit of the networks' widths, ch in the BigGAN paper.
  """
  options = {'jit_compile': mode == 'core'} if name.startswith('evonorm') else {}
  generator = biggan.Generator(get_norm_act(name, **options), resolution, channels, CLASSES, hierarchical=False)
  discriminator = biggan.Discriminator(resolution, channels, CLASSES)
  g_optimizer, d_optimizer = (tf_keras.optimizers.legacy.Adam(2e-4, beta_1=0.) for _ in range(2))

  def d_loss(images, labels, z):
    fakes = tf.stop_gradient(generator((z, labels), training=True))
    pair = tf.concat([images, fakes], 0), tf.tile(labels, [2])
    return hinge.d_loss(*tf.split(discriminator(pair, training=True), 2))

  def g_loss(labels, z):
    images = generator((z, labels), training=True)
    return hinge.g_loss(discriminator((images, labels), training=True))

  def minimize(loss, model, optimizer, *arguments):
    with tf.GradientTape() as tape:
      value = loss(*arguments)
    weights = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(value, weights), weights))
    return value

  @tf.function(autograph=False)
  def step(images, labels, z):
    return (minimize(d_loss, discriminator, d_optimizer, images, labels, z),
            minimize(g_loss, generator, g_optimizer, labels, z))

  return step


def measure(contenders, resolution: int, channels: int, batch_size: int, repeats: int) -> dict[tuple[str, str], float]:
  """Returns the median time of a step by contender, in seconds.

  Args:
    contenders: pairs of a layer's name and a mode.
    resolution: the height and width of the images in pixels.
    channels: the unit of the networks' widths.
    batch_size: the number of images in a step.
    repeats: the number of timed steps of each contender.
  """
  images = tf.random.stateless_uniform([batch_size, resolution, resolution, 3], [0, 0], -1., 1.)
  labels = tf.range(batch_size) % CLASSES
  z = tf.random.stateless_normal([batch_size, 120], [0, 1])
  steps = {contender: make_step(*contender, resolution, channels)
           for contender in track(contenders, 'building', transient=True)}
  return median_seconds(steps, (images, labels, z), repeats)


def make_table(seconds: dict[tuple[str, str], float], title: str) -> Table:
  """Returns the table of ratios to BN-ReLU, one row for each layer and mode.

  Args:
    seconds: the result of `measure`, which must include `BASE`, BN-ReLU.
    title: the table's title.
  """
  table = Table(title=title, min_width=len(title))
  for column in ('layer', 'mode'):
    table.add_column(column)
  table.add_column('time', justify='right')
  for contender, value in seconds.items():
    table.add_row(*contender, f'{value / seconds[BASE]:.2f}')
  table.caption = f'BN-ReLU: {seconds[BASE]:.3f} s'
  return table


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, but every contender needs a trace of its own
  contenders = [BASE] + [(name, mode) for name in _LAYERS.value if name != BASE[0]
                         for mode in (_MODES.value if name.startswith('evonorm') else ['graph'])]
  resolution = int(_RESOLUTION.value)
  seconds = measure(contenders, resolution, _CHANNELS.value, _BATCH_SIZE.value, _REPEATS.value)
  title = (f'A step of BigGAN, both networks: {_BATCH_SIZE.value} images of {resolution} pixels, '
           f'ch={_CHANNELS.value}, times BN-ReLU')
  Console(width=110).print(make_table(seconds, title))
  if _JSON.value:
    records = [dict(layer=name, mode=mode, resolution=resolution, channels=_CHANNELS.value,
                    batch_size=_BATCH_SIZE.value, seconds=value) for (name, mode), value in seconds.items()]
    pathlib.Path(_JSON.value).write_text(json.dumps({'steps': records}, indent=1))


if __name__ == '__main__':
  app.run(main)
