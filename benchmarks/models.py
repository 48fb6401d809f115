"""Cost of a training step with an EvoNorm compared with fused BN-ReLU: ResNetV2-50 and MobileNetV2 on 32×32 images.

  python -m benchmarks.models [--batch_size=128] [--repeats=5] [--modes=graph,core,XLA] [--json=FILE]

A step consists of forward pass, cross-entropy, backward pass and SGD with momentum. A contender is a layer in a mode:
in 'graph' nothing is compiled, in 'core' XLA compiles each EvoNorm's computation (`jit_compile=True`), and in 'XLA' the
whole step is compiled. The contenders take turns; the table has median times as ratios to BN-ReLU in graph mode. The
benchmark takes a quarter of an hour on two cores, most of it for the XLA mode.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import functools
import json
import pathlib

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table
import tensorflow as tf
import tf_keras

from benchmarks.measuring.timing import median_seconds
from evonorm_tf import build_mobilenet_v2
from evonorm_tf import build_resnet
from evonorm_tf import get_norm_act

_BATCH_SIZE = flags.DEFINE_integer('batch_size', 128, 'Images in a step.', lower_bound=1)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed steps of each contender.', lower_bound=1)
_MODES = flags.DEFINE_list('modes', ['graph', 'core', 'XLA'], 'Modes to time; BN-ReLU is always timed in graph mode.')
_JSON = flags.DEFINE_string('json', None, 'Writes the figures to this file.')

CLASSES = 10
MODELS = {
    'ResNetV2-50': functools.partial(build_resnet, depth=50, num_classes=CLASSES, small_images=True,
                                     input_shape=(32, 32, 3)),
    'MobileNetV2': functools.partial(build_mobilenet_v2, num_classes=CLASSES, small_images=True,
                                     input_shape=(32, 32, 3)),
}
BASE = 'bn_relu', 'graph'  # the contender to which ratios are taken
CONTENDERS = (BASE, ('bn_relu', 'XLA'), *((name, mode) for name in ('evonorm_b0', 'evonorm_s0')
                                          for mode in ('graph', 'core', 'XLA')))


def make_step(build, name: str, mode: str):
  """Returns a function of images and labels that takes one training step of a new model and returns the loss.

  Args:
    build: a function that takes a factory of norm-activation layers and returns the model.
    name: the layer's name, as for `evonorm_tf.get_norm_act`.
    mode: 'graph', 'core' or 'XLA' (see the module).
  """
  options = {} if name == 'bn_relu' else {'jit_compile': mode != 'graph'}
  model = build(get_norm_act(name, **options))
  optimizer = tf_keras.optimizers.legacy.SGD(0.01, momentum=0.9)

  @functools.partial(tf.function, jit_compile=mode == 'XLA')
  def step(images, labels):
    with tf.GradientTape() as tape:
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
      loss = tf.reduce_mean(losses)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    return loss

  # XLA cannot create variables, and legacy optimizers have no public way to create them before the first step.
  optimizer._create_all_weights(model.trainable_variables)  # noqa: SLF001
  return step


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  images = tf.random.stateless_normal([_BATCH_SIZE.value, 32, 32, 3], [0, 0])
  labels = tf.random.stateless_uniform([_BATCH_SIZE.value], [0, 1], 0, CLASSES, tf.int32)
  table = Table(title=f'{_BATCH_SIZE.value} images, times BN-ReLU in graph mode')
  for column in ('layer', 'mode', *MODELS):
    table.add_column(column, justify='left' if column in ('layer', 'mode') else 'right')
  contenders = [c for c in CONTENDERS if c == BASE or c[1] in _MODES.value]
  seconds = {}
  for model, build in MODELS.items():
    steps = {contender: make_step(build, *contender) for contender in contenders}
    seconds[model] = median_seconds(steps, (images, labels), _REPEATS.value)
    del steps
    tf_keras.backend.clear_session()
  for contender in contenders:
    table.add_row(*contender, *(f'{seconds[model][contender] / seconds[model][BASE]:.2f}' for model in MODELS))
  table.caption = 'BN-ReLU: ' + ', '.join(f'{seconds[model][BASE]:.2f}' for model in MODELS) + ' s'
  Console(width=110).print(table)
  if _JSON.value:
    records = [dict(model=model, layer=name, mode=mode, batch_size=_BATCH_SIZE.value, seconds=value)
               for model, by_contender in seconds.items() for (name, mode), value in by_contender.items()]
    pathlib.Path(_JSON.value).write_text(json.dumps({'seconds': records}, indent=1))


if __name__ == '__main__':
  app.run(main)
