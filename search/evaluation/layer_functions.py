"""Layer graphs as traced TensorFlow functions that can be exchanged in a network: f, its gradient, and f in inference.

f is the function of a layer graph, without γ and β. All layers of a network with the same input shape share the
functions of this shape; a network has three to ten different shapes. See `search.evaluation.reused_training`.
"""

from collections.abc import Iterator
import contextlib

import tensorflow as tf
import tf_keras

from evonorm_tf.equations.moments import is_observed
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.keras2 import GraphLayer

FORWARD, BACKWARD, INFERENCE = 'forward', 'backward', 'inference'
VECTORS = 'v0', 'v1'  # inputs of the functions of all graphs, whether a graph depends on them or not


class _Arithmetic(graph_layer.Graph):
  """f with tensors in place of weights. It returns its batch moments, from which the layer updates moving averages."""
  _keras = tf_keras
  dtype = 'float32'

  def weights(self, channels: int) -> list[tuple[str, tf.TensorSpec]]:
    """Returns the name and shape of each input of f but x: 'v0', 'v1', and moving averages by their initializer."""
    averages = []
    self._make = lambda shape, initializer: averages.append((initializer, tf.TensorSpec(shape)))
    self._vectors = dict.fromkeys(VECTORS)
    self._build_nonlinearity(channels)
    return [(name, tf.TensorSpec([channels])) for name in VECTORS] + averages

  def run(self, x: tf.Tensor, weights, training: bool) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns f(x), and the moments over the batch in training; none in inference."""
    averages = iter(weights[len(VECTORS):])
    self._make = lambda *_: next(averages)
    self._moments, self._vectors = [], dict(zip(VECTORS, weights))
    self._build_nonlinearity(x.shape[-1])
    return self._normalize_activate(x, training), self._moments

  def _add_variable(self, name, shape, initializer, **_):
    return self._vectors[name] if name in self._vectors else self._make(shape, initializer)

  def _batch_or_moving(self, x, batch_moment, moving, training, *_):
    if not training:
      return moving
    self._moments.append(tf.reshape(batch_moment(x), moving.shape))
    return self._moments[-1]


class LayerFunctions:
  """The TensorFlow functions of a layer graph, one for each kind and input shape, traced at their first use.

  They compute f, the graph's output without γ and β, or its gradient. The key of a function is (kind, shape): the kind
  is 'forward', 'backward' or 'inference', and the shape is that of the input x, with None for unknown sizes.

  Args:
    graph: the layer graph.
    groups: the number of channel groups of group moments (default 32); where it does not divide the number of channels,
      the largest smaller number that does.
    epsilon: the ε that the layer adds inside square roots (default 1e-5).

  Attributes:
    signature: the name and shape of each input of f but x, for 8 channels: 'v0', 'v1', and 'zeros' or 'ones' for each
      moving average, by its initial value. Graphs with equal signatures have functions with the same inputs and
      outputs, so that one can replace the other. All graphs have v0 and v1, so that only those with moments over the
      batch differ.
    are_called: whether the layers of a network call the functions; False inside `only_shapes`.
  """

  def __init__(self, graph: LayerGraph, groups: int = 32, epsilon: float = 1e-5):
    self._arithmetic = _Arithmetic(graph, groups=groups, epsilon=epsilon)
    self._functions = {}
    self.are_called = True
    self.signature = tuple((name, tuple(spec.shape)) for name, spec in self._arithmetic.weights(8))

  @contextlib.contextmanager
  def only_shapes(self) -> Iterator[None]:
    """Makes layers return their input x inside the context, so that a network is built without tracing functions."""
    self.are_called = False
    try:
      yield
    finally:
      self.are_called = True

  @property
  def names(self) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """The keys (kind, shape) of all functions traced so far, by the function's name in TensorFlow."""
    return {f.name.decode(): key for key, f in self._functions.items()}

  def name(self, key: tuple[str, tuple[int | None, ...]]) -> str:
    """Returns the name in TensorFlow of the function for a key (kind, shape), which is traced if necessary."""
    return self.function(*key).name.decode()

  def function(self, kind: str, shape: tuple[int | None, ...]) -> tf.types.experimental.ConcreteFunction:
    """Returns the traced function for a key (kind, shape), which is traced if necessary.

    The inputs `*weights` are v0 and v1, then the moving averages of the graph's batch moments.
    - 'forward': x, *weights -> f(x), *batch moments
    - 'backward': x, *weights, ∂ℓ/∂f -> ∂ℓ/∂x, ∂ℓ/∂v0, ∂ℓ/∂v1
    - 'inference': x, *weights -> f(x)

    Args:
      kind: 'forward', 'backward' or 'inference'.
      shape: the shape of x, `[batch, ..., channels]`, with None for unknown sizes.
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
    vectors = weights[:len(VECTORS)]
    with tf.GradientTape() as tape:
      tape.watch([x, *vectors])
      # f is computed once more. In the graph of the training step, TensorFlow merges this with the forward function.
      y, _ = self._arithmetic.run(x, weights, training=True)
    return tape.gradient(y, [x, *vectors], gradient, unconnected_gradients='zero')

  def _inference(self, x, *weights):
    return [self._arithmetic.run(x, weights, training=False)[0]]


class ExchangeableLayer(GraphLayer):
  """A `GraphLayer` that runs its graph by calls of TensorFlow functions, which another graph's functions can replace.

  It has both v0 and v1, also if its graph depends on neither; their gradients are then 0.

  Args:
    functions: the functions of the layer's graph.
    **kwargs: the arguments of `evonorm_tf.GraphLayer`, among them the `graph`.
  """

  def __init__(self, functions: LayerFunctions, **kwargs):
    super().__init__(**kwargs)
    self._functions = functions

  def use(self, functions: LayerFunctions) -> None:
    """Makes calls outside of traced functions run another graph.

    Args:
      functions: the functions of that graph, with the signature of the layer's own.
    """
    self._functions = functions

  def _build_nonlinearity(self, channels):
    super()._build_nonlinearity(channels)
    if self.v0 is None:
      self.v0 = self._add_variable('v0', (channels,), 'zeros')
    if self.v1 is None:
      self.v1 = self._add_vector('v1', channels)

  def _normalize_activate(self, x, training):
    if not self._functions.are_called:
      return tf.identity(x)
    vectors = [self.v0, self.v1]
    averages = list(self._moving_averages.values())
    if not training:
      return self._call(INFERENCE, x, [x, *vectors, *averages], [x])[0]
    y, *moments = self._differentiable(x, vectors, averages)
    for average, moment in zip(averages, moments):
      self._update(average, moment, is_observed(x, self.synchronized))
    return y

  def _differentiable(self, x, vectors, averages):
    """Returns f(x) and the batch moments; the gradient of f is the function of the kind 'backward'."""
    averages = [tf.convert_to_tensor(a) for a in averages]

    @tf.custom_gradient
    def forward(x, *vectors):
      inputs = [x, *vectors, *averages]
      gradient = lambda dy, *_: self._call(BACKWARD, x, [*inputs, dy], [x, *vectors])
      return self._call(FORWARD, x, inputs, [x, *averages]), gradient

    return forward(x, *[tf.convert_to_tensor(v) for v in vectors])

  def _call(self, kind, x, inputs, like) -> list[tf.Tensor]:
    """Calls the function of a kind; its outputs get the shapes of the tensors in `like`."""
    function = self._functions.function(kind, tuple(x.shape))
    outputs = tf.raw_ops.PartitionedCall(
        args=[tf.convert_to_tensor(i) for i in inputs], Tout=[x.dtype] * len(like), f=function)
    for output, other in zip(outputs, like, strict=True):
      output.set_shape(other.shape)
    return outputs
