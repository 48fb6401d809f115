"""The NumPy forms of the primitives by hand-worked numbers."""

import numpy as np
import pytest

from evonorm_tf.graph import primitives
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER

E = primitives.EPSILON


def apply(name, *arguments):
  return primitives.PRIMITIVES[name].numpy_form(*arguments)


@pytest.mark.parametrize('name,arguments,expected', [
    ('add', [2., -5.], -3.), ('mul', [2., -5.], -10.), ('max', [2., -5.], 2.), ('div', [2., -5.], -.4),
    ('div', [2., 0.], 2 / E), ('div', [2., -0.], 2 / E), ('div', [2., E / 10], 2 / E), ('div', [2., -E / 10], -2 / E),
    ('neg', [3.], -3.), ('sigmoid', [1.], .7310585786), ('sigmoid', [-1000.], 0.), ('tanh', [1.], .7615941560),
    ('exp', [1.], 2.7182818285), ('abs', [-3.], 3.), ('square', [-3.], 9.),
    ('log', [-2.], -.6931471806), ('log', [.5], -.6931471806), ('log', [0.], 0.), ('log', [1e-9], np.log(E)),
    ('log', [-1e-9], -np.log(E)), ('sqrt', [-4.], -2.), ('sqrt', [9.], 3.), ('sqrt', [0.], 0.),
    ('sqrt', [-1e-9], -E**.5),
])
def test_elementwise_by_hand(name, arguments, expected):
  assert len(arguments) == primitives.PRIMITIVES[name].arity
  np.testing.assert_allclose(apply(name, *map(np.float64, arguments)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('axes,mean,variance', [
    (BATCH, [6, 7, 8, 9], 20.), (INSTANCE, [2, 3, 4, 5], 4.), (LAYER, [3.5], 5.25),
    (GROUP, [2.5, 2.5, 4.5, 4.5], 4.25)])
def test_moments_by_hand(axes, mean, variance):
  x = np.arange(16.).reshape(2, 2, 4)  # samples 0 to 7 and 8 to 15; channels of sample 0: {0, 4}, {1, 5}, ...
  np.testing.assert_allclose(apply('first_moment', x, axes, 2)[0, 0], mean)
  np.testing.assert_allclose(apply('centered_second_moment', x, axes, 2)[0, 0], np.sqrt(variance + E))
  np.testing.assert_allclose(
      apply('second_moment', x, axes, 2)[0, 0], np.sqrt(variance + np.square(mean, dtype=float) + E))


@pytest.mark.parametrize('channels,groups,expected', [
    (64, 32, 32), (48, 32, 24), (6, 4, 3), (7, 4, 1), (37, 32, 1), (16, 32, 16), (1, 32, 1), (96, 1, 1)])
def test_largest_divisor(channels, groups, expected):
  assert primitives.largest_divisor(channels, groups) == expected
