"""The rational σ against the float64 formula: error, saturation, symmetry, order."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.equations.rational_sigmoid import LIMIT
from evonorm_tf.equations.rational_sigmoid import rational_sigmoid

POINTS = np.linspace(-40., 40., 400_001).astype(np.float32)


@pytest.fixture(scope='module', params=[False, True], ids=['graph', 'compiled'])
def values(request):
  return tf.function(rational_sigmoid, jit_compile=request.param)(tf.constant(POINTS)).numpy().astype(np.float64)


def test_error(values):
  np.testing.assert_allclose(values, 1. / (1. + np.exp(-POINTS.astype(np.float64))), rtol=0, atol=4e-7)


def test_saturation_is_exact(values):
  assert (values[POINTS <= -LIMIT] == 0.).all() and (values[POINTS >= LIMIT] == 1.).all()
  assert values.min() == 0. and values.max() == 1.


def test_symmetry_and_order(values):
  np.testing.assert_allclose(values + values[::-1], 1., rtol=0, atol=1e-7)
  assert (np.diff(values) > -3e-7).all() and values[len(values) // 2] == .5


def test_extreme_inputs_stay_finite():
  extremes = tf.constant([-np.inf, np.inf, -3e38, 3e38, 0.], tf.float32)
  np.testing.assert_array_equal(rational_sigmoid(extremes), [0., 1., 0., 1., .5])
  assert np.isnan(rational_sigmoid(tf.constant([np.nan])))
