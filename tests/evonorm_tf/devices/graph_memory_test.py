"""Graphs are let go of, and what others register stays."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf import EvoNormB0
from evonorm_tf.devices.graph_memory import released_gradients
from evonorm_tf.gradients.tensorflow_gradient import forget_traced


@pytest.fixture
def collect():
  """A function that frees what the test has made and let go of, whatever earlier tests have left behind.

  Without automatic collections, all that a test makes is in the youngest generation until its own next collection. The
  oldest one, which may hold the garbage of many trainings, is left out: collecting it can take a minute.
  """
  was_enabled = gc.isenabled()
  gc.disable()
  yield lambda: gc.collect(1)
  if was_enabled:
    gc.enable()


@tf.custom_gradient
def cube(x):
  return x**3, lambda upstream: 3 * x**2 * upstream


def gradient_of_a_graph(x):
  """A gradient through a freshly traced graph, and a weak reference to that graph."""
  @tf.function
  def slope(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = cube(x)
    return tape.gradient(y, x)

  concrete = slope.get_concrete_function(tf.TensorSpec([], tf.float32))
  return float(concrete(tf.constant(x))), weakref.ref(concrete.graph)


def test_graphs_are_freed_and_new_ones_differentiate(collect):
  kept_slope, kept = gradient_of_a_graph(2.)
  collect()
  assert kept() is not None  # what TensorFlow does; if it stops doing so, this module can go
  for x in (2., 3.):
    with released_gradients():
      slope, graph = gradient_of_a_graph(x)
    collect()
    assert graph() is None
    np.testing.assert_allclose(slope, 3 * x**2)
  assert kept() is not None and kept_slope == 12.


def test_they_are_freed_after_an_error_too(collect):
  with pytest.raises(ZeroDivisionError), released_gradients():
    _, graph = gradient_of_a_graph(2.)
    1 / 0
  collect()
  assert graph() is None


def test_gradients_of_other_names_stay():
  with released_gradients():
    @tf.RegisterGradient('OfGraphMemoryTest')
    def double(op, upstream):
      del op
      return 2 * upstream

  with tf.Graph().as_default() as graph:
    x = tf.constant(3.)
    with graph.gradient_override_map({'Identity': 'OfGraphMemoryTest'}):
      slope, = tf.gradients(tf.identity(x), x)
    assert tf.compat.v1.Session().run(slope) == 2.
  del double


def test_compiled_layers_are_differentiated_twice_afterwards():
  """Their traced functions, which layers share, have gradients that the context has taken away."""
  layer, x = EvoNormB0(jit_compile=True, epsilon=.01), tf.constant([[[1.], [2.], [4.]]])
  layer.build(x.shape)

  @tf.function(autograph=False)
  def slope_of_norm(x):
    with tf.GradientTape() as outer:
      outer.watch(x)
      with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x, training=True)**3)
      norm = tf.reduce_sum(tape.gradient(y, x)**2)
    return outer.gradient(norm, x)

  expected = slope_of_norm(x)
  with released_gradients():
    forget_traced()
    layer(x, training=True)
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    tape.gradient(y, x)
  retraced = tf.function(slope_of_norm.python_function, autograph=False)
  np.testing.assert_allclose(retraced(x), expected, rtol=1e-5)
