"""Convolutions that compute their input again: the same gradients, without the input among what is kept."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf import build_efficientnet
from evonorm_tf import build_mobilenet_v2
from evonorm_tf import build_resnet
from evonorm_tf import convert_norm_act
from evonorm_tf import get_norm_act
from evonorm_tf import keras3
from evonorm_tf.layers.recomputed import recompute_norm_acts
from evonorm_tf.layers.recomputed import RecomputedConv2D
from search.evaluation.kept_tensors import kept

SHAPE = (16, 8, 8, 16)
SMALL = dict(num_classes=3, small_images=True, input_shape=(16, 16, 3), width_multiplier=.25)
BUILDERS = {
    'resnet': lambda norm_act, **options: build_resnet(norm_act, depth=50, depth_multiplier=.25, **SMALL, **options),
    'mobilenet': lambda norm_act, **options: build_mobilenet_v2(
        norm_act, depth_multiplier=.25, head_channels=16, dropout=None, **SMALL, **options),
    'efficientnet': lambda norm_act, **options: build_efficientnet(
        norm_act, depth_multiplier=.25, dropout=0., drop_connect=0., **SMALL, **options),
}
QUICK = ('mobilenet', 'evonorm_b0'),  # the others are slow


def unit(name='evonorm_s0', **options):
  """A norm-activation layer and a convolution, built."""
  convolution = tf_keras.layers.Conv2D(16, 3, padding='same', dtype=options.get('dtype'))
  model = tf_keras.Sequential([get_norm_act(name, **options)(), convolution])
  model.build(SHAPE)
  return model


def gradients(model, images, jit_compile=False):
  """The loss and the gradients of all weights, from a traced step."""
  @tf.function(autograph=False, jit_compile=jit_compile)
  def step(images):
    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(tf.square(model(images, training=True) - 1.))
    return [loss, *tape.gradient(loss, model.trainable_variables)]
  return [g.numpy() for g in step(images)]


def assert_close(actual, expected):
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, e, rtol=0, atol=1e-5 * np.abs(e).max() + 1e-9)


@pytest.mark.parametrize('builder, name', [
    pytest.param(builder, name, marks=() if (builder, name) in QUICK else pytest.mark.slow)
    for builder in BUILDERS for name in ('evonorm_s0', 'evonorm_b0')])
def test_gradients_of_models_are_the_same(builder, name):
  plain, recomputed = (BUILDERS[builder](get_norm_act(name, jit_compile=False), recompute=r) for r in (False, True))
  recomputed.set_weights(plain.get_weights())
  assert [w.name for w in recomputed.weights] == [w.name for w in plain.weights]
  images = np.random.default_rng(0).normal(size=(3, 16, 16, 3)).astype(np.float32)
  assert_close(gradients(recomputed, images), gradients(plain, images))


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2'])
@pytest.mark.parametrize('jit_compile', [False, True])
def test_input_of_the_convolution_is_not_kept(name, jit_compile):
  assert 2 < kept(unit(name, jit_compile=jit_compile), SHAPE) < 2.25
  assert 1 <= kept(recompute_norm_acts(unit(name, jit_compile=jit_compile)), SHAPE) < 1.25


@pytest.mark.parametrize('options', [
    {'dtype': 'mixed_bfloat16'}, {'dtype': 'mixed_float16'}, {'dtype': 'float64'}, {'center': False}])
def test_dtypes_and_options(options):
  model = unit(**options)
  x = np.random.default_rng(0).normal(size=SHAPE)
  expected = gradients(model, x)
  assert_close(gradients(recompute_norm_acts(model), x), expected)
  assert 1 <= kept(model, SHAPE, tf.as_dtype(model.layers[0].compute_dtype)) < 1.25


@pytest.mark.parametrize('how', ['eager', 'core compiled', 'step compiled'])
def test_ways_to_run(how):
  model = unit(jit_compile='core' in how)
  x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
  expected = gradients(model, x)
  recompute_norm_acts(model)
  if how == 'eager':
    tf.config.run_functions_eagerly(True)
  try:
    actual = gradients(model, x, jit_compile=how == 'step compiled')
  finally:
    tf.config.run_functions_eagerly(False)
  assert_close(actual, expected)


def test_frozen_convolution():
  model = unit()
  model.layers[1].trainable = False
  x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
  expected = gradients(model, x)
  assert_close(gradients(recompute_norm_acts(model), x), expected)


@pytest.mark.slow
def test_fit_save_and_load(tmp_path):
  model = BUILDERS['resnet'](get_norm_act('evonorm_b0'), recompute=True)
  assert any(isinstance(layer, RecomputedConv2D) for layer in model.layers)
  model.compile('sgd', 'mse')
  images = np.random.default_rng(0).normal(size=(6, 16, 16, 3)).astype(np.float32)
  model.fit(images, np.zeros((6, 3)), batch_size=3, verbose=0)
  model.save(tmp_path / 'model.keras')
  loaded = tf_keras.models.load_model(tmp_path / 'model.keras')
  assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
  np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5, atol=1e-6)
  program = ('from evonorm_tf.layers import keras2; import tf_keras; '
             f'tf_keras.models.load_model("{tmp_path}/model.keras")')
  subprocess.run([sys.executable, '-c', program], check=True)


def test_conversion():
  inputs = tf_keras.Input((8, 8, 3))
  x = tf_keras.layers.Conv2D(8, 3)(inputs)
  x = tf_keras.layers.ReLU()(tf_keras.layers.BatchNormalization()(x))
  model = tf_keras.Model(inputs, tf_keras.layers.Conv2D(4, 1)(x))
  plain, recomputed = (convert_norm_act(model, 'evonorm_s0', recompute=r) for r in (False, True))
  recomputed.set_weights(plain.get_weights())
  assert type(recomputed.layers[-1]) is RecomputedConv2D and type(model.layers[-1]) is tf_keras.layers.Conv2D
  images = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
  assert_close(gradients(recomputed, images), gradients(plain, images))


def test_refusals():
  for build in (lambda: BUILDERS['mobilenet'](get_norm_act('bn_relu'), recompute=True),
                lambda: recompute_norm_acts(tf_keras.Sequential([tf_keras.layers.Conv2D(3, 1)]))):
    with pytest.raises(ValueError, match='`recompute=True` needs EvoNorms.*found (BatchNormAct|none)'):
      build()
  for build in (lambda: BUILDERS['resnet'](keras3.get_norm_act('evonorm_s0'), recompute=True),
                lambda: convert_norm_act(keras.Sequential([keras.Input((4, 4, 3))]), 'evonorm_s0', recompute=True)):
    with pytest.raises(ValueError, match='`recompute=True` is for tf_keras; it has no counterpart in Keras 3'):
      build()


def test_second_derivatives_are_refused():
  model = recompute_norm_acts(unit())

  @tf.function(autograph=False)
  def norm_gradient(x):
    with tf.GradientTape() as outer:
      outer.watch(x)
      with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(model(x, training=True))
      norm = tf.reduce_sum(tf.square(tape.gradient(y, x)))
    return outer.gradient(norm, x)

  with pytest.raises(ValueError, match='cannot be differentiated twice'):
    norm_gradient(tf.ones(SHAPE))
