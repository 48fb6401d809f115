"""Layers that meet the other Keras: a sentence says which import to use."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf import keras3

USE_KERAS_3 = 'use the layers of `evonorm_tf.keras3`, as by `from evonorm_tf.keras3 import EvoNormS0`'
USE_TF_KERAS = 'use the layers of `evonorm_tf`, as by `from evonorm_tf import EvoNormS0`'


def model_with(layer, model_class):
  """A subclassed model that calls a layer."""
  class Subclassed(model_class):
    def __init__(self):
      super().__init__()
      self.layer = layer

    def call(self, inputs):
      return self.layer(inputs)
  return Subclassed()


@pytest.mark.parametrize('use', [
    lambda: evonorm_tf.EvoNormS0()(keras.Input((8, 8, 3))),
    lambda: keras.Sequential([evonorm_tf.EvoNormS0()]),
    lambda: keras.layers.TimeDistributed(evonorm_tf.EvoNormS0())])
def test_tf_keras_layer_in_keras_3(use):
  with pytest.raises(ValueError, match=USE_KERAS_3):
    use()


@pytest.mark.parametrize('use', [
    lambda: keras3.EvoNormS0()(tf_keras.Input((8, 8, 3))),
    lambda: tf_keras.Sequential([keras3.EvoNormS0()]),
    lambda: tf_keras.layers.TimeDistributed(keras3.EvoNormS0())])
def test_keras_3_layer_in_tf_keras(use):
  with pytest.raises((ValueError, TypeError), match=USE_TF_KERAS):
    use()


def test_a_layer_that_would_not_be_trained():
  x = tf.zeros((2, 8, 8, 3))
  with pytest.warns(UserWarning, match=f'{USE_KERAS_3}.* called by a layer or model of Keras 3, which does not train'):
    model_with(evonorm_tf.EvoNormS0(), keras.Model)(x)
  with pytest.warns(UserWarning, match=f'{USE_TF_KERAS}.* called by a layer or model of tf_keras, which does not'):
    model_with(keras3.EvoNormS0(), tf_keras.Model)(x)


@pytest.mark.filterwarnings('error')
def test_where_they_belong_nothing_is_said():
  x = tf.zeros((2, 8, 8, 3))
  model_with(keras3.EvoNormS0(), keras.Model)(x)
  model_with(evonorm_tf.EvoNormS0(), tf_keras.Model)(x)
  for package in (keras3, evonorm_tf):
    package.EvoNormS0()(x)


def test_factories_and_conversions():
  with pytest.raises(ValueError, match="received 'frn_tlu', which is a layer of tf_keras only: use "
                     '`evonorm_tf.get_norm_act`'):
    keras3.get_norm_act('frn_tlu')
  model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()], name='mine')
  with pytest.raises(ValueError, match="must make layers of Keras 3, of which 'mine' is, received one of tf_keras: use "
                     '`evonorm_tf.keras3.get_norm_act`'):
    evonorm_tf.convert_norm_act(model, evonorm_tf.get_norm_act('evonorm_s0'))


def test_a_name_that_the_other_keras_has(registry):
  evonorm_tf.register_norm_act('of_keras_3', keras3.EvoNormS0)
  with pytest.raises(ValueError, match="'of_keras_3', which is a layer of Keras 3 only: use "
                     '`evonorm_tf.keras3.get_norm_act`'):
    evonorm_tf.get_norm_act('of_keras_3')
  assert isinstance(keras3.get_norm_act('of_keras_3')(), keras3.EvoNormS0)


@pytest.mark.parametrize('package', [evonorm_tf, keras3])
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'bn_relu'])
def test_a_layer_is_a_function_for_tensorflow(package, name):
  layer, x = package.get_norm_act(name)(), tf.random.stateless_normal((2, 4, 4, 8), (0, 1))
  np.testing.assert_allclose(tf.function(layer)(x), layer(x), rtol=1e-5, atol=1e-6)
