"""TensorFlow with Keras 3; see the package for the functions.

The modes are 'graph', a `tf.function`, in which the EvoNorms' core is compiled on a CPU; and 'XLA', in which all of it
is compiled. The fused batch normalization, which Keras 3 does not use, is how TensorFlow computes one best. What is
kept is counted in the traced step.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import tensorflow as tf

from benchmarks.engines.keras_layers import BASELINES
from benchmarks.engines.keras_layers import EPSILON
from benchmarks.engines.keras_layers import EVONORMS
from benchmarks.engines.keras_layers import make_layer
from search.evaluation.kept_tensors import kept


@dataclasses.dataclass(frozen=True)
class Contender:
  """A layer, and whether the function that calls it is compiled."""
  layer: Any
  compiled: bool


class FusedBatchNorm(tf.Module):
  """TensorFlow's fused batch normalization and an activation, with moving averages.

  Args:
    channels: the number of channels.
    activation: the activation.
  """

  def __init__(self, channels: int, activation: Callable[[tf.Tensor], tf.Tensor]):
    super().__init__()
    self.trainable_weights = [tf.Variable(tf.ones(channels)) for _ in range(2)]
    self.averages = [tf.Variable(tf.ones(channels)) for _ in range(2)]
    self.activation = activation

  def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
    y, *moments = tf.compat.v1.nn.fused_batch_norm(x, *self.trainable_weights, epsilon=EPSILON, is_training=training)
    for average, moment in zip(self.averages, moments):
      average.assign_sub(.1 * (average - moment))
    return self.activation(y)


def contenders(channels: int, dtype: str) -> dict[tuple[str, str], Contender]:
  """Returns the contenders by layer and mode."""
  fused = {('fused BN + ReLU', 'graph'): tf.nn.relu, ('fused BN + SiLU', 'graph'): tf.nn.silu}
  found = {key: Contender(FusedBatchNorm(channels, function), False) for key, function in fused.items()}
  for name in BASELINES + EVONORMS:
    for mode in ('graph', 'XLA'):
      found[name, mode] = Contender(make_layer(name, channels, dtype), mode == 'XLA')
  return found


def inputs(shape: tuple[int, ...], dtype: str, count: int) -> tuple[tf.Tensor, ...]:
  """Returns tensors of random numbers."""
  return tuple(tf.cast(tf.random.stateless_normal(shape, [0, seed]), dtype) for seed in range(count))


def forward(contender: Contender) -> Callable:
  """Returns the function that computes y and waits for it."""
  return _waiting(lambda x, dy: contender.layer(x, training=True), contender.compiled)


def forward_backward(contender: Contender) -> Callable:
  """Returns the function that computes y and all gradients and waits for them."""
  def step(x, dy):
    weights = [w if isinstance(w, tf.Variable) else w.value for w in contender.layer.trainable_weights]
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = contender.layer(x, training=True)
    return y, tape.gradient(y, [x, *weights], output_gradients=dy)
  return _waiting(step, contender.compiled)


def kept_bytes(contender: Contender, x: tf.Tensor, dy: tf.Tensor) -> float:
  """Returns the bytes that the backward pass of a traced step reads from the forward pass."""
  del dy
  return kept(contender.layer, tuple(x.shape), x.dtype) * x.shape.num_elements() * x.dtype.size


def copy() -> Callable:
  """Returns a function that reads x and writes as much."""
  return _waiting(lambda x: x + 1., compiled=False)


def device_name() -> str:
  """Returns the device, in words."""
  if not on_gpu():
    return 'CPU'
  return tf.config.experimental.get_device_details(tf.config.list_physical_devices('GPU')[0])['device_name']


def on_gpu() -> bool:
  """Returns whether computations run on a GPU."""
  return bool(tf.config.list_physical_devices('GPU'))


def version() -> str:
  """Returns the engine's version."""
  return tf.__version__


def _waiting(function: Callable, compiled: bool) -> Callable:
  """Returns the traced function, which waits for its results."""
  traced = tf.function(function, jit_compile=compiled, autograph=False)

  def run(*args):
    result = traced(*args)
    if on_gpu():
      tf.test.experimental.sync_devices()
    return result
  return run
