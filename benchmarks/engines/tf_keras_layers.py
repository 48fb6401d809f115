"""The benchmark `layers` for tf_keras.

A contender is a layer in a mode. In mode 'graph', it runs in a tf.function without compiled parts. In mode 'core', XLA
compiles the EvoNorm's computation inside this function (`jit_compile=True`, the default in training on a CPU). In mode
'XLA', the whole function is compiled. The memory is that of the tensors that the backward pass reads from the forward
pass, in units of x.
"""

from rich.console import Console
from rich.table import Table
import tensorflow as tf

from benchmarks.measuring.timing import median_seconds
from evonorm_tf import get_norm_act
from search.evaluation.kept_tensors import kept

SHAPES = ((128, 16, 16, 64), (128, 32, 32, 32), (32, 56, 56, 64))
EVONORMS = ('evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2')
BASE, BASELINES = 'bn_relu', ('bn_relu', 'bn_silu')
PASSES = ('forward', 'forward + backward')
EPSILON, GROUPS = 1e-5, 32  # of `PlainB0` and `PlainS0`


class PlainB0(tf.Module):
  """EvoNorm-B0, operation by operation as in the authors' code, without the optimizations of this package.

  Args:
    channels: the number of channels, C.
  """

  def __init__(self, channels):
    self.trainable_weights = [tf.Variable(tf.ones(channels)) for _ in range(3)]
    self.moving_variance = tf.Variable(tf.ones(channels))

  def __call__(self, x, training):
    gamma, beta, v1 = self.trainable_weights
    _, batch_variance = tf.nn.moments(x, [0, 1, 2], keepdims=True)
    self.moving_variance.assign_sub(.1 * (self.moving_variance - tf.reshape(batch_variance, [-1])))
    _, instance_variance = tf.nn.moments(x, [1, 2], keepdims=True)
    denominator = tf.maximum(tf.sqrt(batch_variance + EPSILON), v1 * x + tf.sqrt(instance_variance + EPSILON))
    return x / denominator * gamma + beta


class PlainS0(tf.Module):
  """EvoNorm-S0, operation by operation as in the authors' code, without the optimizations of this package.

  Args:
    channels: the number of channels, C, a multiple of 32.
  """

  def __init__(self, channels):
    self.trainable_weights = [tf.Variable(tf.ones(channels)) for _ in range(3)]

  def __call__(self, x, training):
    gamma, beta, v1 = self.trainable_weights
    samples, height, width, channels = x.shape
    grouped = tf.reshape(x, [samples, height, width, GROUPS, channels // GROUPS])
    _, variance = tf.nn.moments(grouped, [1, 2, 4], keepdims=True)
    deviation = tf.reshape(tf.broadcast_to(tf.sqrt(variance + EPSILON), grouped.shape), x.shape)
    return x * tf.sigmoid(v1 * x) / deviation * gamma + beta


PLAIN = {'plain B0': PlainB0, 'plain S0': PlainS0}


def make_layers(channels: int) -> dict[tuple[str, str], tuple]:
  """Returns all contenders: by name and mode, the layer and whether the whole function is compiled.

  Args:
    channels: the number of channels of the layers' inputs.
  """
  layers = {}
  for name in BASELINES:
    for mode in ('graph', 'XLA'):
      layers[name, mode] = get_norm_act(name)(), mode == 'XLA'
  for name in EVONORMS:
    for mode in ('graph', 'core', 'XLA'):
      layers[name, mode] = get_norm_act(name, jit_compile=mode != 'graph')(), mode == 'XLA'
  for name, layer_class in PLAIN.items():
    for mode in ('graph', 'XLA'):
      layers[name, mode] = layer_class(channels), mode == 'XLA'
  return layers


def forward(layer, x, dy):
  """Returns a layer's output in training.

  Args:
    layer: the layer.
    x: its input, [N, H, W, C].
    dy: not used; it is there so that both passes have the same arguments.
  """
  del dy
  return layer(x, training=True)


def forward_backward(layer, x, dy):
  """Returns a layer's output in training, and the gradients with respect to x and to the layer's weights.

  Args:
    layer: the layer.
    x: its input, [N, H, W, C].
    dy: the gradient with respect to the output, of the same shape.
  """
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
  return y, tape.gradient(y, [x, *layer.trainable_weights], output_gradients=dy)


def time_shape(shape: tuple[int, ...], repeats: int) -> dict[tuple[str, str, str], float]:
  """Returns the median time of a call by layer, mode and pass, in seconds.

  Args:
    shape: the shape of the input, [N, H, W, C].
    repeats: the number of timed calls of each contender.
  """
  x, dy = (tf.random.stateless_normal(shape, [0, seed]) for seed in (0, 1))
  functions = {}
  for (name, mode), (layer, compiled) in make_layers(shape[-1]).items():
    layer(x, training=False)  # builds it
    for label, function in zip(PASSES, (forward, forward_backward)):
      functions[name, mode, label] = tf.function(
          lambda x, dy, layer=layer, function=function: function(layer, x, dy), jit_compile=compiled, autograph=False)
  return median_seconds(functions, (x, dy), repeats)


def measure_kept() -> dict[tuple[str, str], float]:
  """Returns the result of `kept` for the first of `SHAPES`, by layer and mode, without the mode 'XLA'."""
  shape = SHAPES[0]
  layers = {key: layer for key, (layer, compiled) in make_layers(shape[-1]).items() if not compiled}
  for layer in layers.values():
    layer(tf.zeros(shape), training=False)  # builds it
  return {key: kept(layer, shape) for key, layer in layers.items()}


def make_table(label: str, times: dict, kept_units: dict) -> Table:
  """Returns the table of one pass: ratios to fused BN-ReLU, one row for each layer and mode.

  Args:
    label: the pass, one of `PASSES`.
    times: the results of `time_shape` by shape.
    kept_units: the result of `measure_kept`; empty for a table without it.
  """
  table = Table(title=f'{label}, times fused {BASE} in graph mode')
  table.add_column('layer')
  table.add_column('mode')
  for shape in SHAPES:
    table.add_column(str(list(shape)), justify='right')
  if kept_units:
    table.add_column('kept, times x', justify='right')
  for name, mode in make_layers(SHAPES[0][-1]):
    ratios = [times[shape][name, mode, label] / times[shape][BASE, 'graph', label] for shape in SHAPES]
    units = [f'{kept_units[name, mode]:.2f}' if (name, mode) in kept_units else '–'] if kept_units else []
    table.add_row(name, mode, *(f'{ratio:.2f}' for ratio in ratios), *units)
  base = [1e3 * times[shape][BASE, 'graph', label] for shape in SHAPES]
  table.caption = f'{BASE}: ' + ', '.join(f'{ms:.1f}' for ms in base) + ' ms'
  return table


def to_json(times: dict, kept_units: dict) -> dict:
  """Returns the figures as JSON data, lists of records under 'seconds' and 'kept'.

  Args:
    times: the results of `time_shape` by shape.
    kept_units: the result of `measure_kept`.
  """
  return {
      'seconds': [dict(shape=shape, layer=name, mode=mode, passes=label, seconds=seconds)
                  for shape, by_key in times.items() for (name, mode, label), seconds in by_key.items()],
      'kept': [dict(shape=SHAPES[0], layer=name, mode=mode, times_x=units)
               for (name, mode), units in kept_units.items()]}


def run(repeats: int) -> dict:
  """Runs the benchmark, prints its tables, and returns its figures as JSON data.

  Args:
    repeats: the number of timed calls of each contender.
  """
  times = {shape: time_shape(shape, repeats) for shape in SHAPES}
  kept_units = measure_kept()
  console = Console(width=110)
  for label, units in zip(PASSES, ({}, kept_units)):
    console.print(make_table(label, times, units))
  return to_json(times, kept_units)
