"""Fingerprints: what they are made of, and the layer itself in TensorFlow as the reference of a history."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.layers.keras2 import GraphLayer
from search.equivalence import fingerprint as fingerprint_lib
from search.equivalence.fingerprint import fingerprint
from search.equivalence.fingerprint import make_probes
from search.equivalence.fingerprint import PROBES
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

TIES = [LayerGraph((Node('mul', (0, 2)), Node('max', arguments))) for arguments in ((4, 1), (1, 4))]
BATCH_OF_BATCH = LayerGraph((Node('mul', (3, 0)), Node('first_moment', (4,), 'b,w,h'),
                             Node('second_moment', (5,), 'b,w,h'), Node('div', (0, 6))))


class Layer:
  """The layer in float64, whose moving averages are those of the last batch."""

  def __init__(self, graph, probe):
    self.layer = GraphLayer(graph, groups=probe.groups, epsilon=probe.epsilon, momentum=0., dtype='float64',
                            jit_compile=False)
    self.layer.build(probe.start.x.shape)
    self.vectors = {name: v for name in ('v0', 'v1') if (v := getattr(self.layer, name)) is not None}
    self.moving = {v.name: v for v in self.layer.non_trainable_variables}

  def run(self, given, training=True):
    for name, variable in self.vectors.items():
      variable.assign(getattr(given, name).ravel())
    return self.layer(tf.constant(given.x), training=training)

  def derivative(self, start, direction):
    """The tangent, as the derivative of the gradient's product with the direction by the gradient's weights."""
    x = tf.constant(start.x)
    weights = tf.ones_like(x)
    with tf.GradientTape() as outer:
      outer.watch(weights)
      with tf.GradientTape() as inner:
        inner.watch(x)
        y = self.layer(x, training=True)
      gradients = inner.gradient(y, [x, *self.vectors.values()], weights, unconnected_gradients='zero')
      directions = [direction.x, *(getattr(direction, name).ravel() for name in self.vectors)]
      product = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradients, directions)])
    return outer.gradient(product, weights)


KNOWN = tuple(map(known_graph, ('bn_relu', 'evonorm_b0', 'evonorm_s0')))
MOMENT_ALONE = LayerGraph((Node('centered_second_moment', (0,), 'b,w,h'), Node('mul', (0, 4))))


# A layer's `epsilon` is that of its moments; the guards of its divisions have the fixed one.
@pytest.mark.parametrize('graph, probe', [
    *((graph, PROBES[0]) for graph in (*KNOWN, *TIES, BATCH_OF_BATCH)), (MOMENT_ALONE, PROBES[5])])
def test_the_history_is_the_layers(graph, probe):
  layer = Layer(graph, probe)
  history = [layer.run(probe.start), layer.derivative(probe.start, probe.direction)]
  averages = {name: .36 * initial_average(graph, name) for name in layer.moving}
  for weight, batch in zip((.24, .4), probe.batches):
    history.append(layer.run(batch))
    averages = {name: average + weight * layer.moving[name].numpy() for name, average in averages.items()}
  for name, average in averages.items():
    layer.moving[name].assign(average)
  history.append(layer.run(probe.inference, training=False))
  expected = [np.ravel(y)[probe.elements] for y in history]
  np.testing.assert_allclose(fingerprint(graph, (probe,)).values, expected, rtol=2e-5, atol=2e-5)


def initial_average(graph, name):
  """0 for the moving average of a first moment, 1 for the others; its name ends with the node's index."""
  index = int(name.split(':')[0].rpartition('_')[2])
  return 0. if graph.without_dead_nodes().node(index).primitive == 'first_moment' else 1.


def test_probes_are_of_all_kinds():
  assert {probe.epsilon for probe in PROBES} > {EPSILON}
  assert {probe.start.x.shape[-1] % probe.groups == 0 for probe in PROBES} == {True, False}
  for probe in PROBES:
    assert (probe.start.v0 == 0).all() and (probe.start.v1 == 1).all() and (probe.start.x != 0).all()
    assert all((batch.x == 0).any() and (batch.v0 != 0).all() for batch in (*probe.batches, probe.inference))
  magnitudes = np.concatenate([np.abs(p.batches[0].x).ravel() for p in PROBES])
  assert magnitudes[magnitudes > 0].min() < 1e-6 and magnitudes.max() > 50


def test_permanence():
  """The seed fixes the probes: a fingerprint changes only where what it is made of does."""
  one, other = fingerprint(known_graph('evonorm_b0')), fingerprint(known_graph('evonorm_b0'), make_probes(0))
  assert np.array_equal(one.values, other.values) and one.magnitude == other.magnitude
  assert not one.agrees(fingerprint(known_graph('evonorm_b0'), make_probes(1)))


def test_fingerprints_are_finite_numbers():
  rng = np.random.default_rng(0)
  graphs = (random_graph(SearchSpace(), rng) for _ in range(300))
  prints = [fingerprint(g) for g in graphs if static_rejection(g) is None]
  overflow = fingerprint(LayerGraph((Node('exp', (0,)), Node('exp', (4,)), Node('exp', (5,)), Node('neg', (6,)))))
  assert len(prints) > 10 and all(np.isfinite(p.values).all() and np.isfinite(p.magnitude) for p in prints + [overflow])
  assert (np.abs(overflow.values) == fingerprint_lib._LARGEST).any()
  assert all(p.agrees(p) for p in prints)
