"""What a layer's first call with a new shape costs, run eagerly in training: forward and backward pass together.

  python -m benchmarks.first_calls [--layers=bn_relu,evonorm_b0,evonorm_s0]

Each of `SHAPES` is new to the process, and so compiled where the layer compiles; the table has the median, the longest,
and the median of the second calls. It takes a quarter of a minute on two cores.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import statistics
import time

from absl import app
from rich.console import Console
from rich.table import Table
import tensorflow as tf

from benchmarks.measuring.command_line import define_names
from evonorm_tf import get_norm_act
from evonorm_tf import norm_act_names

_LAYERS = define_names('layers', ['bn_relu', 'evonorm_b0', 'evonorm_s0'], norm_act_names(), 'Layers.')
SHAPES = tuple((64, size, size, channels) for size, channels in (
    (32, 16), (32, 32), (16, 64), (16, 48), (8, 128), (8, 256), (4, 512), (30, 64), (28, 64)))


def seconds_of_calls(layer, shape: tuple[int, ...], calls: int = 2) -> list[float]:
  """Returns the time of each of several calls, forward and backward.

  Args:
    layer: a layer that has been built.
    shape: the shape of its input.
    calls: the number of calls (default 2).
  """
  x, seconds = tf.random.stateless_normal(shape, [0, 0]), []
  for _ in range(calls):
    start = time.perf_counter()
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    for gradient in tape.gradient(y, [x, *layer.trainable_variables]):
      gradient.numpy()
    seconds.append(time.perf_counter() - start)
  return seconds


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  table = Table(title='A call in eager training, in ms')
  for column in ('layer', 'new shape, median', 'longest', 'second call'):
    table.add_column(column, justify='left' if column == 'layer' else 'right')
  for name in _LAYERS.value:
    firsts, seconds = [], []
    for shape in SHAPES:
      layer = get_norm_act(name)()
      layer.build(shape)
      first, second = seconds_of_calls(layer, shape)
      firsts.append(first)
      seconds.append(second)
    table.add_row(name, *(f'{1e3 * s:.1f}' for s in (
        statistics.median(firsts), max(firsts), statistics.median(seconds))))
  Console(width=110).print(table)


if __name__ == '__main__':
  app.run(main)
