"""The body of the Keras layer that runs a LayerGraph (paper section 3).

Departure from NumPy forms: none in training; in inference every moment over the batch is its moving average.
"""

import tensorflow as tf

from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import moments
from evonorm_tf.layers.elementwise import ELEMENTWISE
from evonorm_tf.layers.norm_act_body import check_groups
from evonorm_tf.layers.norm_act_body import MovingAverages
from evonorm_tf.layers.norm_act_body import NormActBody

# A moment is an average that can have a moving average, then a function of it.
_AVERAGES = {
    'first_moment': moments.average,
    'second_moment': moments.mean_of_squares,
    'centered_second_moment': moments.variance,
}
_MOVING_AVERAGE_INITIALIZERS = {'first_moment': 'zeros', 'second_moment': 'ones', 'centered_second_moment': 'ones'}


class Graph(MovingAverages, NormActBody):
  """y = graph(x; v0, v1)·γ + β, for a layer graph of primitives.

  v0 and v1 are vectors over channels, initialised to 0 and 1; they exist where the output depends on them. Every
  node that is a moment over the batch has a moving average for inference: of μ (from 0), μ(x²) or s² (from 1).

  Args:
    graph: a `LayerGraph`, or the dictionary of its `to_dict`.
    groups: number of channel groups (default 32); where it does not divide C, the largest number below that does.
    momentum: decay of the moving averages (default 0.9).
    synchronized: whether the batch is the global one over all replicas of a tf.distribute strategy (default False).
    **kwargs: the arguments of `NormActBody`.

  Raises:
    LayerGraphError: if `graph` is not valid.
  """

  def __init__(self, graph, groups=32, momentum=0.9, synchronized=False, **kwargs):
    super().__init__(**kwargs)
    check_groups(groups)
    self._set_momentum(momentum)
    graph = graph if isinstance(graph, LayerGraph) else LayerGraph.from_dict(graph)
    self.graph = graph.without_dead_nodes()
    self.groups = groups
    self.synchronized = synchronized

  def _build_nonlinearity(self, channels):
    live = self.graph.live
    self.v0 = self._add_variable('v0', (channels,), 'zeros') if INITIAL_NODES.index('v0') in live else None
    self.v1 = self._add_vector('v1', channels) if INITIAL_NODES.index('v1') in live else None
    # A node varies over the channels unless it comes from the zero tensor or a layer moment alone.
    node_channels = [channels, 1, channels, channels]
    self._moving_averages = {}
    for index, node in enumerate(self.graph.nodes, len(INITIAL_NODES)):
      size = 1 if node.axes == primitives.LAYER else max(node_channels[i] for i in node.inputs)
      node_channels.append(size)
      if node.axes == primitives.BATCH:
        initializer = _MOVING_AVERAGE_INITIALIZERS[node.primitive]
        self._moving_averages[str(index)] = self._add_moving_average(f'moving_average_{index}', (size,), initializer)

  def _normalize_activate(self, x, training):
    unit = [1] * (x.shape.rank - 1)
    vectors = [None if v is None else tf.reshape(v, unit + [-1]) for v in (self.v0, self.v1)]
    values = [x, tf.zeros([1] + unit, x.dtype), *vectors]
    for index, node in enumerate(self.graph.nodes, len(INITIAL_NODES)):
      arguments = [values[i] for i in node.inputs]
      if primitives.PRIMITIVES[node.primitive].is_moment:
        values.append(self._moment(index, arguments[0], training))
      else:
        values.append(ELEMENTWISE[node.primitive](*arguments))
    return tf.broadcast_to(values[-1], tf.shape(x))

  def _moment(self, index: int, x: tf.Tensor, training) -> tf.Tensor:
    """The value of the moment node `index` of input x."""
    node = self.graph.node(index)
    average = lambda x: _AVERAGES[node.primitive](x, node.axes, self.groups, self.synchronized)
    if node.axes == primitives.BATCH:
      moving = self._moving_averages[str(index)]
      moment = self._batch_or_moving(x, average, moving, training)
      moment = tf.reshape(moment, [1] * (x.shape.rank - 1) + moving.shape)
    else:
      moment = average(x)
    return moment if node.primitive == 'first_moment' else tf.sqrt(moment + self.epsilon)

  def get_config(self):
    return {**super().get_config(), 'graph': self.graph.to_dict(), 'groups': self.groups, 'momentum': self.momentum,
            'synchronized': self.synchronized}
