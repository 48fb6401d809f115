"""A layer graph as functions that a network can exchange: f, its gradient, and f in inference.

One set of functions serves all places of a network with the same input shape; a network has three to ten such shapes.
"""

from collections.abc import Iterator
import contextlib

import tensorflow as tf
import tf_keras

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.keras2 import GraphLayer

FORWARD, BACKWARD, INFERENCE = 'forward', 'backward', 'inference'


class _Arithmetic(graph_layer.Graph):
  """f with tensors in place of weights. It returns the moments over the batch, for the owner of the moving averages."""
  _keras = tf_keras
  dtype = 'float32'

  def weights(self, channels: int) -> list[tuple[str, tf.TensorSpec]]:
    """The inputs of f beside x, in order: 'v0' and 'v1' by their names, a moving average by its initializer's name."""
    weights = []
    self._make = lambda name, shape, initializer: weights.append(
        (name if name in ('v0', 'v1') else initializer, tf.TensorSpec(shape)))
    self._build_nonlinearity(channels)
    return weights

  def run(self, x: tf.Tensor, weights, training: bool) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns f(x), and in training the moments over the batch."""
    self._moments, values = [], iter(weights)
    self._make = lambda *_: next(values)
    self._build_nonlinearity(x.shape[-1])
    return self._normalize_activate(x, training), self._moments

  def _add_variable(self, name, shape, initializer, **_):
    return self._make(name, shape, initializer)

  def _batch_or_moving(self, x, batch_moment, moving, training):
    if not training:
      return moving
    self._moments.append(tf.reshape(batch_moment(x), moving.shape))
    return self._moments[-1]


class LayerFunctions:
  """The functions of a layer graph, each traced when it is first asked for.

  Args:
    graph: the layer graph.
    groups, epsilon: the arguments of `GraphLayer`.

  Attributes:
    signature: the inputs beside x of a layer with 8 channels. Graphs of one signature have functions of the same inputs
      and outputs.
    are_called: whether the layers of a network call the functions; see `only_shapes`.
  """

  def __init__(self, graph: LayerGraph, groups: int = 32, epsilon: float = 1e-5):
    self._arithmetic = _Arithmetic(graph, groups=groups, epsilon=epsilon)
    self._functions = {}
    self.are_called = True
    self.signature = tuple((name, tuple(spec.shape)) for name, spec in self._arithmetic.weights(8))

  @contextlib.contextmanager
  def only_shapes(self) -> Iterator[None]:
    """Inside, layers of these functions return x: a network can be connected before any function is traced."""
    self.are_called = False
    try:
      yield
    finally:
      self.are_called = True

  @property
  def names(self) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """The key, kind and shape of x, of each function traced so far, by the function's name."""
    return {f.name.decode(): key for key, f in self._functions.items()}

  def name(self, key: tuple[str, tuple[int | None, ...]]) -> str:
    """Returns the name of the function of a key: its kind and the shape of x."""
    return self.function(*key).name.decode()

  def function(self, kind: str, shape: tuple[int | None, ...]) -> tf.types.experimental.ConcreteFunction:
    """Returns the concrete function of a kind for x of a shape.

    - FORWARD: x, *weights -> f(x), *moments over the batch
    - BACKWARD: x, *weights, ∂ℓ/∂f -> ∂ℓ/∂x, ∂ℓ/∂v0, ∂ℓ/∂v1 as far as they exist
    - INFERENCE: x, *weights -> f(x)
    """
    if (kind, shape) not in self._functions:
      x, weights = tf.TensorSpec(shape), [spec for _, spec in self._arithmetic.weights(shape[-1])]
      functions = {FORWARD: self._forward, BACKWARD: self._backward, INFERENCE: self._inference}
      self._functions[kind, shape] = tf.function(functions[kind], autograph=False).get_concrete_function(
          x, *weights, *([x] if kind == BACKWARD else []))
    return self._functions[kind, shape]

  def _forward(self, x, *weights):
    y, moments = self._arithmetic.run(x, weights, training=True)
    return [y, *moments]

  def _backward(self, x, *weights_and_gradient):
    *weights, gradient = weights_and_gradient
    vectors = weights[:sum(name in ('v0', 'v1') for name, _ in self.signature)]
    with tf.GradientTape() as tape:
      tape.watch([x, *vectors])
      # Forward once more: once it stands in the step's graph, TensorFlow computes only once what is the same.
      y, _ = self._arithmetic.run(x, weights, training=True)
    return tape.gradient(y, [x, *vectors], gradient, unconnected_gradients='zero')

  def _inference(self, x, *weights):
    return [self._arithmetic.run(x, weights, training=False)[0]]


class ExchangeableLayer(GraphLayer):
  """A GraphLayer that calls f by name, so that the function of another graph can take its place.

  Args:
    functions: the functions of the layer's graph.
    **kwargs: the arguments of `GraphLayer`.
  """

  def __init__(self, functions: LayerFunctions, **kwargs):
    super().__init__(**kwargs)
    self._functions = functions

  def _normalize_activate(self, x, training):
    if not self._functions.are_called:
      return tf.identity(x)
    vectors = [v for v in (self.v0, self.v1) if v is not None]
    averages = list(self._moving_averages.values())
    if not training:
      return self._call(INFERENCE, x, [x, *vectors, *averages], [x])[0]
    y, *moments = self._differentiable(x, vectors, averages)
    for average, moment in zip(averages, moments):
      self._update(average, moment, tf.shape(x)[0])
    return y

  def _differentiable(self, x, vectors, averages):
    """Returns f(x) and the moments over the batch, with the gradient of f by its own function."""
    averages = [tf.convert_to_tensor(a) for a in averages]

    @tf.custom_gradient
    def forward(x, *vectors):
      inputs = [x, *vectors, *averages]
      gradient = lambda dy, *_: self._call(BACKWARD, x, [*inputs, dy], [x, *vectors])
      return self._call(FORWARD, x, inputs, [x, *averages]), gradient

    return forward(x, *[tf.convert_to_tensor(v) for v in vectors])

  def _call(self, kind, x, inputs, like) -> list[tf.Tensor]:
    """Calls the function of a kind; its outputs have the shapes of the tensors `like`."""
    function = self._functions.function(kind, tuple(x.shape))
    outputs = tf.raw_ops.PartitionedCall(
        args=[tf.convert_to_tensor(i) for i in inputs], Tout=[x.dtype] * len(like), f=function)
    for output, other in zip(outputs, like, strict=True):
      output.set_shape(other.shape)
    return outputs
