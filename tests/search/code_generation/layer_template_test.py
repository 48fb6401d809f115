"""The template of compiled layers: a working layer, and its functions against hand-worked numbers and `moments`."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.equations import moments
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import LAYER
from search.code_generation import layer_template
from search.code_generation.tf_keras_template import Template

X = tf.constant(np.random.default_rng(0).normal(2., 1., (4, 3, 2, 6)))


@pytest.fixture
def layer():
  """A layer of float64 with a moving average of a vector over channels, as `build` would have made it."""
  layer = Template(groups=4, momentum=.75, dtype='float64')
  layer.build(X.shape)
  layer.moving = layer._add_moving_average('moving', X.shape[-1], 'ones')
  return layer


def test_it_is_the_affine_form(layer):
  layer.gamma.assign(np.arange(6.))
  layer.beta.assign([1.] * 6)
  np.testing.assert_allclose(layer(X), X * np.arange(6.) + 1.)
  assert layer.compute_output_shape(X.shape) == X.shape
  assert Template.from_config(layer.get_config()).get_config() == layer.get_config()
  assert Template(center=False, scale=False)(X).dtype == tf.float32


def test_its_guard_is_that_of_the_primitives():
  assert layer_template.GUARD == EPSILON
  Template(epsilon=EPSILON**2)
  with pytest.raises(ValueError, match=f'`epsilon` must be at least {EPSILON**2:g}, received'):
    Template(epsilon=.99 * EPSILON**2)


def test_guards():
  t = tf.constant([-2., -1e-9, 0., 1e-9, 2.])
  np.testing.assert_allclose(layer_template._guarded(t), [-2., -1e-5, 1e-5, 1e-5, 2.])
  small, large = np.log([1e-5, 2.])
  np.testing.assert_allclose(layer_template._signed(tf.math.log, t), [-large, -small, 0., small, large], rtol=1e-6)


def test_aligned():
  assert layer_template._aligned(tf.ones([6]), X).shape == (1, 1, 1, 6)
  assert layer_template._aligned(tf.constant(1.), X).shape == (1, 1, 1, 1)


@pytest.mark.parametrize('groups', (1, 2, 4, 6, 32))  # 4 does not divide 6, and means 3
def test_means_and_variances(groups):
  group_mean = Template(groups=groups)._group_mean
  for mean, axes in ((layer_template._layer_mean, LAYER), (group_mean, GROUP)):
    np.testing.assert_allclose(mean(X), moments.average(X, axes, groups))
    np.testing.assert_allclose(layer_template._variance(X, mean), moments.variance(X, axes, groups))


@pytest.mark.parametrize('name, expected', [
    ('_tracked_mean', np.mean(X, (0, 1, 2))), ('_tracked_variance', np.var(X, (0, 1, 2))),
    ('_tracked_mean_square', np.mean(np.square(X), (0, 1, 2)))])
def test_tracked_averages(layer, name, expected):
  tracked = getattr(layer, name)
  np.testing.assert_allclose(tracked(X, layer.moving, training=True, inputs=X), expected)
  moved = .75 + .25 * expected
  np.testing.assert_allclose(layer.moving, moved)
  np.testing.assert_allclose(tracked(X, layer.moving, training=False, inputs=X), moved)
  np.testing.assert_allclose(layer.moving, moved)


def test_each_line_to_generate_is_marked_once():
  source = inspect.getsource(layer_template.LayerTemplate)
  assert source.count('# GENERATED') == 2
  assert '# GENERATED: weights\n' in inspect.getsource(layer_template.LayerTemplate.build)
  assert '# GENERATED: statements\n' in inspect.getsource(layer_template.LayerTemplate.call)
