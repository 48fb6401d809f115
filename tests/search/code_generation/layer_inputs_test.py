"""Compiled layers on what a layer may be given besides tensors of floats: nothing, integers, and masks."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import X
from tests.search.code_generation.layer_file_test import compiled
from tests.search.code_generation.layer_file_test import graph_of
from tests.search.code_generation.layer_file_test import pair_of_layers
from tests.search.code_generation.layer_file_test import step


@pytest.mark.parametrize('graph', [known_graph('evonorm_b0'), known_graph('bn_silu'), known_graph('gn_relu'), graph_of(
    ('first_moment', (X,), INSTANCE), ('second_moment', (4,), BATCH), ('first_moment', (X,), LAYER), ('mul', (5, 6)))])
def test_nothing_observed_changes_nothing(graph):
  layer, _ = pair_of_layers(graph)
  before = layer.get_weights()
  for shape in ((0, 3, 2, 6), (2, 0, 2, 6)):
    assert not any(g.any() for g in step(layer, 0, True, shape).values())
  np.testing.assert_array_equal(np.concatenate(layer.get_weights()), np.concatenate(before))


def test_integers_are_numbers():
  layer, x = compiled(known_graph('evonorm_s0'))(dtype='mixed_float16'), np.arange(36).reshape(2, 3, 6) * 111
  y = layer(x)
  assert y.dtype == tf.float16
  np.testing.assert_array_equal(y, layer(x.astype(np.float32)))


@pytest.mark.parametrize('index_set', [BATCH, LAYER, INSTANCE, GROUP])
def test_a_mask_is_refused_where_it_would_change_an_average(index_set):
  layer = compiled(graph_of(('second_moment', (X,), index_set), ('div', (X, 4))))()
  x = tf.ones([2, 3, 4])
  for call in (lambda: layer(x, mask=tf.ones([2, 3])), lambda: layer(tf_keras.layers.Masking()(x))):
    with pytest.raises(ValueError, match='takes no `mask`'):
      call()


def test_a_mask_passes_a_layer_without_averages():
  x = tf.constant([[[1., 2.], [0., 0.]]])
  y = compiled(graph_of(('tanh', (X,))))()(tf_keras.layers.Masking()(x))
  np.testing.assert_array_equal(y._keras_mask, [[True, False]])
  np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)
