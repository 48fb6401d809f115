"""Elementwise primitives: values of the NumPy forms, gradients of central differences and of TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.engines.tensorflow_ops import first_maximum
from evonorm_tf.equations.elementwise import ELEMENTWISE
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import PRIMITIVES

SHAPES = [[(3, 2, 4), (3, 2, 4)], [(3, 2, 4), (1, 1, 1)], [(1, 1, 4), (3, 2, 4)], [(3, 1, 4), (1, 2, 1)]]


def arguments_of(name, shapes=SHAPES[0]):
  rng = np.random.default_rng(0)
  return [tf.constant(rng.normal(size=s)) for s in shapes[:PRIMITIVES[name].arity]]


def test_every_elementwise_primitive_is_here():
  assert set(ELEMENTWISE) == {p.name for p in PRIMITIVES.values() if p.arity and not p.is_moment}


@pytest.mark.parametrize('name', ELEMENTWISE)
def test_values_are_those_of_the_numpy_forms(name):
  x = tf.constant([-2., -EPSILON, -1e-7, -0., 0., 1e-7, EPSILON, 3., np.inf, -np.inf, np.nan], tf.float64)
  arguments = [x] if PRIMITIVES[name].arity == 1 else [x[:, None], x[None]]
  with np.errstate(all='ignore'):
    expected = PRIMITIVES[name].numpy_form(*(a.numpy() for a in arguments))
  np.testing.assert_allclose(ELEMENTWISE[name](*arguments), expected, rtol=1e-12)


@pytest.mark.parametrize('shapes', SHAPES)
@pytest.mark.parametrize('name', ELEMENTWISE)
def test_gradients_equal_central_differences(name, shapes):
  arguments = arguments_of(name, shapes)
  for actual, expected in zip(*tf.test.compute_gradient(ELEMENTWISE[name], arguments, delta=1e-5)):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', ELEMENTWISE)
def test_second_derivatives_equal_central_differences(name):
  def gradient(*arguments):
    with tf.GradientTape() as tape:
      tape.watch(arguments)
      y = tf.reduce_sum(tf.square(ELEMENTWISE[name](*arguments)))
    return tf.concat(tape.gradient(y, arguments), 0)
  for actual, expected in zip(*tf.test.compute_gradient(gradient, arguments_of(name), delta=1e-5)):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('shape', [[5], [1]])
def test_maximum_has_tensorflows_gradient_where_both_are_equal(shape):
  x, y = tf.constant([1., 2., 2., -0., np.inf]), tf.fill(shape, 2.)
  gradients = []
  for function in (first_maximum, tf.maximum):
    with tf.GradientTape() as tape:
      tape.watch([x, y])
      value = tf.reduce_sum(function(x, y) * tf.range(1., 6.))
    gradients.append(tape.gradient(value, [x, y]))
  for actual, expected in zip(*gradients):
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize('name', ['max', 'div', 'log', 'sqrt'])
def test_infinite_gradients_of_what_is_not_selected_leave_no_nan(name):
  x = tf.constant([0., 1.]), tf.constant([1., 0.])
  arguments = x[:PRIMITIVES[name].arity][::-1]
  with tf.GradientTape() as tape:
    tape.watch(arguments)
    y = ELEMENTWISE[name](*arguments)
  gradients = tape.gradient(y, arguments, output_gradients=tf.constant([np.inf, 1.]))
  assert not np.isnan(gradients[0]).any()
