"""The rows of the benchmark `layers` for tf_keras: which layers are measured, in which modes and dtypes.

The rows come in groups, and each group has its own BN-ReLU, to which its ratios are taken:
- evonorms: the EvoNorms and batch normalizations in float32, and EvoNorms written operation by operation.
- dtypes: some of them on bfloat16 and float16 inputs, under the layer's policies mixed_bfloat16 and mixed_float16. The
  weights and the statistics are float32. The BN-ReLU is one of the same dtype.
- graphs: known and found layers as graphs of primitives, in float32: run by `GraphLayer`, and as the code that
  `search.compile_layer` writes for them.
"""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from benchmarks.measuring.generated_layers import generated_layer
from evonorm_tf import get_norm_act
from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.known_graphs import known_graph

BASE = 'bn_relu', 'graph'  # the row to which ratios are taken
BATCH_NORMS = ('bn_relu', 'bn_silu')
EVONORMS = ('evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2')
SELECTED = ('evonorm_b0', 'evonorm_s0')  # one of each series
EPSILON, GROUPS = 1e-5, 32  # of `PlainB0` and `PlainS0`


class Contender(NamedTuple):
  """What is measured in a row.

  Attributes:
    layer: a new layer, or a module that is called like one.
    compiled: whether XLA compiles the whole function that calls it.
  """
  layer: Any
  compiled: bool


Contenders = dict[tuple[str, str], Contender]  # by the layer's name in the table and the mode


class Rows(NamedTuple):
  """The rows of one table.

  Attributes:
    title: what the rows have in common, for the table's title.
    dtype: the dtype of x.
    contenders: a function of the number of channels that returns the contenders by name and mode, `BASE` among them.
  """
  title: str
  dtype: str
  contenders: Callable[[int], Contenders]


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


def _in_modes(make_layers: dict[str, Callable[[], Any]], modes: tuple[str, ...] = ('graph', 'XLA')) -> Contenders:
  """Returns a contender for each layer, by its name in the table, and each mode."""
  return {(name, mode): Contender(make_layer(), mode == 'XLA')
          for name, make_layer in make_layers.items() for mode in modes}


def _in_all_modes(title: str, spec: str | LayerGraph, **options: Any) -> Contenders:
  """Returns a contender for each mode of a layer whose core can be compiled, by the layer's name in the table."""
  return {(title, mode): Contender(get_norm_act(spec, jit_compile=mode != 'graph', **options)(), mode == 'XLA')
          for mode in ('graph', 'core', 'XLA')}


def _known(names: tuple[str, ...], **options: Any) -> Contenders:
  """Returns the contenders of layers by their registered names, EvoNorms in mode 'core' as well."""
  contenders = {}
  for name in names:
    if name.startswith('evonorm'):
      contenders |= _in_all_modes(name, name, **options)
    else:
      contenders |= _in_modes({name: get_norm_act(name, **options)})
  return contenders


def _evonorms(channels: int) -> Contenders:
  return _known(BATCH_NORMS + EVONORMS) | _in_modes(
      {'plain B0': lambda: PlainB0(channels), 'plain S0': lambda: PlainS0(channels)})


def _in_dtype(policy: str) -> Callable[[int], Contenders]:
  return lambda channels: _known(BATCH_NORMS + SELECTED, dtype=policy)


def _graphs(channels: int) -> Contenders:
  del channels  # the layers find out when they are built
  contenders = _in_modes({BASE[0]: get_norm_act(BASE[0])}, (BASE[1],))
  for name in (*BATCH_NORMS, *SELECTED, *found_graphs()):
    graph = known_graph(name)
    contenders |= _in_all_modes(f'{name}, GraphLayer', graph)
    contenders |= _in_modes({f'{name}, generated': lambda graph=graph: generated_layer(graph)})
  return contenders


GROUPS_OF_ROWS = {
    'evonorms': (Rows('Layers in float32', 'float32', _evonorms),),
    'dtypes': tuple(Rows(f'Layers in mixed_{dtype}', dtype, _in_dtype(f'mixed_{dtype}'))
                    for dtype in ('bfloat16', 'float16')),
    'graphs': (Rows('Layer graphs in float32', 'float32', _graphs),),
}
