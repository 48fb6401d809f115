"""The implementation of `GraphLayer`, which runs a LayerGraph (as in the paper).

In training its values equal those of the graph's NumPy form, `LayerGraph.evaluate`. In inference, moving averages
replace the moments over the batch. The class here subclasses no Keras layer: `keras2` and `keras3` combine
it with the layer class of tf_keras or Keras 3.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.equations.elementwise import form_of
from evonorm_tf.equations.graph_equation import GraphEquation
from evonorm_tf.equations.graph_plan import fits
from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.fused_core import FusedBatchCore
from evonorm_tf.layers.norm_act_body import check_groups
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import Training

# A moment is an average, of which there can be a moving average, followed by the identity or √(· + ε).
_AVERAGES = {
    'first_moment': moments.average,
    'second_moment': moments.mean_of_squares,
    'centered_second_moment': moments.variance,
}
_MOVING_AVERAGE_INITIALIZERS = {'first_moment': 'zeros', 'second_moment': 'ones', 'centered_second_moment': 'ones'}


class Graph(FusedBatchCore):
  """y = graph(x; v0, v1)·γ + β, for a layer graph of primitives.

  v0 and v1 are trainable vectors over channels, initialized to 0 and 1. Each exists only if the output depends on it.
  Each node that is a moment over the batch has a moving average: of μ, initialized to 0, or of μ(x²) or s², initialized
  to 1.

  If each moment is of an affine function of x or of a vector, as in all known layers, the layer keeps little more than
  x for the backward pass and is compiled, as the EvoNorms are. Other graphs ignore `jit_compile`, and so do graphs
  whose output does not vary over positions and subclasses that compute f themselves.

  Args:
    graph: a `LayerGraph`, or the dictionary that its `to_dict` returns. Nodes that the output does not depend on are
      left out.
    groups: the number of channel groups (default 32). If it does not divide C, the largest smaller number that does is
      used: `groups=7` gives 4 groups of 8 channels.

  Raises:
    LayerGraphError: if `graph` is not valid (a ValueError).

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import GraphLayer
    >>> from evonorm_tf.graph import INSTANCE, LayerGraph, Node
    >>> graph = LayerGraph((  # nodes 0 to 3 are x, 0, v0 and v1
    ...     Node('second_moment', (0,), INSTANCE), Node('sigmoid', (0,)), Node('mul', (0, 5)), Node('div', (6, 4))))
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> y = GraphLayer(graph, epsilon=8.)(x)  # x·σ(x) / √(μ(x²) + ε); the root is 3 and √73
    >>> np.round(np.ravel(y), 3)
    array([-0.09 ,  0.244,  0.819,  1.053], dtype=float32)

  Reference:
    Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", NeurIPS 2020, arXiv 2004.02967.
  """

  def __init__(self, graph: LayerGraph | Mapping[str, Any], groups: int = 32, momentum: float = 0.9,
               synchronized: bool = False, **kwargs):
    super().__init__(momentum, synchronized, **kwargs)
    check_groups(groups)
    graph = graph if isinstance(graph, LayerGraph) else LayerGraph.from_dict(graph)
    self.graph = graph.without_dead_nodes()
    self.groups = groups

  def _build_nonlinearity(self, channels: int) -> None:
    live = self.graph.live
    self.v0 = self._add_variable('v0', (channels,), 'zeros') if INITIAL_NODES.index('v0') in live else None
    self.v1 = self._add_vector('v1', channels) if INITIAL_NODES.index('v1') in live else None
    # A node varies over the channels unless it comes from the zero tensor or a layer moment alone.
    node_channels = [channels, 1, channels, channels]
    self._moving_averages = {}
    for index, node in enumerate(self.graph.nodes, len(INITIAL_NODES)):
      size = 1 if primitives.is_over_channels(node.axes) else max(node_channels[i] for i in node.inputs)
      node_channels.append(size)
      if node.axes == primitives.BATCH:
        initializer = _MOVING_AVERAGE_INITIALIZERS[node.primitive]
        self._moving_averages[str(index)] = self._add_moving_average(f'moving_average_{index}', (size,), initializer)

  def _call_nonlinear(self, inputs: Tensor, training: Training, mask: Mask) -> Tensor:
    if self._gradient is None or mask is not None or self._computes_itself or not fits(self.graph):
      return super()._call_nonlinear(inputs, training, mask)
    moving = list(self._moving_averages.values())
    if not moving:
      return self._evaluate(inputs, training, mask)[0]
    ops = ops_of(inputs)

    def in_training():
      y, moments_of_batch = self._evaluate(inputs, training, mask)
      observed = moments.is_observed(inputs, self.synchronized)
      for number, average in enumerate(moving):
        self._update(average, moments_of_batch[0, number], observed)
      return y

    def in_inference():
      given = ops.stack([ops.convert_to_tensor(average) for average in moving])
      return self._evaluate(inputs, False, mask, given[None])[0]
    return self._if_training(training, in_training, in_inference)

  @property
  def _equation(self) -> GraphEquation:
    return GraphEquation(self.graph, self.epsilon, self.groups, self.synchronized)

  @property
  def _computes_itself(self) -> bool:
    """Whether a subclass has methods of its own in the place of those that run the graph."""
    methods = '_normalize_activate', '_moment', '_batch_or_moving'
    return any(getattr(type(self), name) is not getattr(Graph, name) for name in methods)

  def _own_weights(self) -> list[Any]:
    return [v for v in (self.v0, self.v1) if v is not None]

  def _normalize_activate(self, x: Tensor, training: Training, mask: Mask = None) -> Tensor:
    ops, unit = ops_of(x), [1] * (len(x.shape) - 1)
    vectors = [None if v is None else ops.reshape(v, unit + [-1]) for v in (self.v0, self.v1)]
    values = [x, ops.zeros([1] + unit, x.dtype), *vectors]
    for index, node in enumerate(self.graph.nodes, len(INITIAL_NODES)):
      arguments = [values[i] for i in node.inputs]
      if primitives.PRIMITIVES[node.primitive].is_moment:
        values.append(self._moment(index, arguments[0], training, x, mask))
      else:
        values.append(_apply(form_of(node.primitive), arguments, mask))
    return ops.broadcast_to(values[-1], ops.shape(x))

  def _moment(self, index: int, x: Tensor, training: Training, inputs: Tensor, mask: Mask) -> Tensor:
    """Returns the value of the moment node `index` for its input x, with √(· + ε) for the second moments."""
    ops, node = ops_of(x), self.graph.node(index)
    average = lambda x: _AVERAGES[node.primitive](x, node.axes, self.groups, self.synchronized, mask)
    if node.axes == primitives.BATCH:
      moving = self._moving_averages[str(index)]
      moment = self._batch_or_moving(x, average, moving, training, inputs, mask)
      moment = ops.reshape(moment, [1] * (len(x.shape) - 1) + list(moving.shape))
    else:
      moment = average(x)
    return moment if node.primitive == 'first_moment' else ops.sqrt(moment + self.epsilon)

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'graph': self.graph.to_dict(), 'groups': self.groups}


def _apply(function: Callable[..., Tensor], arguments: Sequence[Tensor], mask: Mask) -> Tensor:
  """Returns function(*arguments); where that of a masked position is not finite, as exp(100), the arguments count as 1.

  Its gradient, 0·∞ if the loss leaves the position out, would get into those of the weights.
  """
  value = function(*arguments)
  if mask is None:
    return value
  ops = ops_of(value)
  usable = ops.logical_or(mask, ops.isfinite(value))
  return function(*(ops.where(usable, x, ops.ones([], x.dtype)) for x in arguments))
