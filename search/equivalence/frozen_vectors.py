"""Vectors that never move: v0 or v1 in a layer whose gradient with respect to it is exactly 0 where training begins.

In tanh(x + v0²) the derivative with respect to v0 is 0 at v0 = 0, so that v0 stays 0 and the layer is tanh(x). The same
holds for |v0| and s(v0), whose derivatives at 0 TensorFlow takes for 0 (see `tangents`). The derivatives must vanish
for all x and for any value of the other vector, unless that does not move either.
"""

import dataclasses

import numpy as np

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import PRIMITIVES
from search.equivalence.tangents import tangent

_GROUPS, _CHANNELS = 2, 6
_RNG = np.random.default_rng(2)
_X = _RNG.normal(size=(4, 3, 2, _CHANNELS)) * 10 ** _RNG.uniform(-1, 1, _CHANNELS) + _RNG.normal(size=_CHANNELS)
_INITIAL = {'v0': np.zeros((1, 1, 1, _CHANNELS)), 'v1': np.ones((1, 1, 1, _CHANNELS))}
_RANDOM = {name: _RNG.uniform(.1, 2., (1, 1, 1, _CHANNELS)) * _RNG.choice((-1., 1.), _CHANNELS) for name in _INITIAL}
_DIRECTIONS = {name: _RNG.normal(size=(1, 1, 1, _CHANNELS)) for name in _INITIAL}


def frozen_vectors(graph: LayerGraph) -> frozenset[str]:
  """Returns the vectors on which a layer graph depends and which training never moves: some of 'v0' and 'v1'.

  Args:
    graph: the layer graph.
  """
  used = [name for name in _INITIAL if INITIAL_NODES.index(name) in graph.live]
  still = [name for name in used if not _moves(graph, name, _INITIAL)]
  if len(still) == len(used):
    return frozenset(still)
  return frozenset(name for name in still if not _moves(graph, name, {**_RANDOM, name: _INITIAL[name]}))


def without_frozen_vectors(graph: LayerGraph) -> LayerGraph:
  """Returns a graph of the same layer with the initial values in place of the vectors that training never moves.

  Args:
    graph: the layer graph; its dead nodes are ignored.
  """
  frozen = frozen_vectors(graph)
  zero, v0, v1 = (INITIAL_NODES.index(name) for name in ('0', 'v0', 'v1'))
  one = len(INITIAL_NODES)  # the first node, exp(0), in front of the others
  index_of = {i: i + (i >= one) for i in range(graph.output + 1)}
  index_of |= ({v0: zero} if 'v0' in frozen else {}) | ({v1: one} if 'v1' in frozen else {})
  moved = (dataclasses.replace(node, inputs=tuple(index_of[i] for i in node.inputs)) for node in graph.nodes)
  return LayerGraph((Node('exp', (zero,)), *moved)).without_dead_nodes()


def _moves(graph: LayerGraph, name: str, vectors: dict[str, np.ndarray]) -> bool:
  """Returns whether the output has a derivative with respect to a vector, on random x and at the given vectors."""
  zero = np.zeros((1, 1, 1, 1))
  values = [_X, zero, vectors['v0'], vectors['v1']]
  tangents = [zero, zero, *(_DIRECTIONS[v] if v == name else zero for v in _INITIAL)]
  with np.errstate(all='ignore'):
    for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
      if index not in graph.live:
        values.append(zero)
        tangents.append(zero)
        continue
      arguments = [values[i] for i in node.inputs]
      primitive = PRIMITIVES[node.primitive]
      axes = (node.axes, _GROUPS) if primitive.is_moment else ()
      values.append(primitive.numpy_form(*arguments, *axes))
      tangents.append(tangent(node, _GROUPS, EPSILON, values[-1], arguments, [tangents[i] for i in node.inputs]))
  return bool((tangents[-1] != 0.).any())
