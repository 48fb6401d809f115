"""The Keras 3 layers beside the tf_keras ones, which the formula is tested on: same weights, values and gradients."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import evonorm_tf
from evonorm_tf import keras3
from search.graphs.known_graphs import known_graph

ROOT = pathlib.Path(__file__).parents[2]
WITH_GROUPS = ('evonorm_s0', 'evonorm_s1', 'evonorm_s2', 'gn_relu', 'gn_silu')
SPECS = (*keras3.NORM_ACTS, known_graph('bn_silu'))


def random_images(dtype='float32'):
  return tf.constant(np.random.default_rng(1).normal(.3, 1.2, (4, 6, 5, 8)), dtype)


def make_pair(spec, **options):
  """The layers of both Keras, the Keras 3 one with random weights, the other with the same."""
  if spec in WITH_GROUPS or not isinstance(spec, str):
    options['groups'] = 4
  layer, expected = (module.get_norm_act(spec, **options)() for module in (keras3, evonorm_tf))
  for built in (layer, expected):
    built.build((None, None, None, 8))
  rng = np.random.default_rng(0)
  layer.set_weights([rng.uniform(.5, 1.5, w.shape) for w in layer.get_weights()])
  expected.set_weights(layer.get_weights())
  return layer, expected


def values_and_gradients(layer, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
    loss = tf.reduce_sum(tf.cast(y, tf.float32) * np.sin(np.arange(960)).reshape(4, 6, 5, 8))
  weights = [w.value if isinstance(w, keras.Variable) else w for w in layer.trainable_weights]
  return [y] + tape.gradient(loss, [x] + weights)


@pytest.mark.parametrize('spec', SPECS, ids=str)
def test_equals_the_tf_keras_layer(spec):
  layer, expected = make_pair(spec)
  assert [w.name for w in layer.weights] == [w.name.split('/')[-1].removesuffix(':0') for w in expected.weights]
  x, before = random_images(), layer.get_weights()
  np.testing.assert_allclose(layer(x, training=False), expected(x, training=False), rtol=1e-6, atol=1e-6)
  for a, e in zip(values_and_gradients(layer, x), values_and_gradients(expected, x)):
    np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)
  after = expected.get_weights()
  if spec in ('bn_relu', 'bn_silu'):  # tf_keras's moving average is of the unbiased variance of the 120 positions
    after[-1] = .9 * before[-1] + (after[-1] - .9 * before[-1]) * 119 / 120
  for a, e in zip(layer.get_weights(), after):  # the moving variance too
    np.testing.assert_allclose(a, e, rtol=2e-6)


@pytest.mark.parametrize('spec', ['evonorm_b0', 'evonorm_s0'])
@pytest.mark.parametrize('dtype', ['mixed_float16', 'mixed_bfloat16', 'float16'])
def test_precision(spec, dtype):
  layer, expected = make_pair(spec, dtype=dtype)
  x = random_images(dtype.removeprefix('mixed_'))
  y = layer(x, training=True)
  assert y.dtype == x.dtype and {w.dtype for w in layer.weights} == {'float32'}
  np.testing.assert_array_equal(tf.cast(y, tf.float32), tf.cast(expected(x, training=True), tf.float32))


def make_model(spec, **options):
  images = keras.Input((None, None, 3))
  x = keras.layers.Conv2D(8, 3)(images)
  x = keras3.get_norm_act(spec, **options)(name='norm_act')(x)
  x = keras3.get_norm_act('evonorm_s0', groups=4)(nonlinearity=False, name='affine')(x)
  return keras.Model(images, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize('jit_compile', [False, True])
@pytest.mark.parametrize('spec', ['evonorm_b0', 'evonorm_s0', known_graph('bn_silu')], ids=str)
def test_a_model_trains_and_saves(spec, jit_compile, tmp_path):
  keras.utils.set_random_seed(0)
  model = make_model(spec, **({} if jit_compile else {'jit_compile': True}))  # the core alone, as users' is by default
  model.compile(keras.optimizers.SGD(.1), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=jit_compile)
  rng = np.random.default_rng(0)
  images, labels = rng.normal(size=(32, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 32)
  before = model.get_weights()
  losses = model.fit(images, labels, batch_size=16, epochs=4, verbose=0).history['loss']
  assert losses[-1] < losses[0]
  assert all(np.abs(b - a).max() > 0 for b, a in zip(before, model.get_weights()))
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_array_equal(loaded(images), model(images))
  assert loaded.get_layer('norm_act').get_config() == model.get_layer('norm_act').get_config()


def test_options_survive():
  layer = keras3.EvoNormS0(groups=2, epsilon=1e-3, center=False, v1_initializer='zeros', gamma_regularizer='l2',
                           v1_constraint='non_neg', jit_compile=True)
  copy = keras3.EvoNormS0.from_config(layer.get_config())
  copy.build((None, 8))
  assert copy.get_config() == layer.get_config()
  assert [w.name for w in copy.weights] == ['gamma', 'v1'] and copy.groups == 2 and copy.epsilon == 1e-3
  np.testing.assert_array_equal(copy.v1, np.zeros(8))
  np.testing.assert_allclose(copy.losses, [.01 * 8])


def test_names():
  with pytest.raises(ValueError, match="must be one of bn_relu, .* received 'evonorm_b3'. Did you mean 'evonorm_b"):
    keras3.get_norm_act('evonorm_b3')
  with pytest.raises(ValueError, match='`groups` must be a positive integer'):
    keras3.get_norm_act('evonorm_s0', groups=0)
  assert isinstance(keras3.get_norm_act('evonorm_b1')(name='x'), keras3.EvoNormB1)


@pytest.mark.parametrize('spec', ['evonorm_b0', 'evonorm_s0', 'bn_relu', known_graph('bn_silu')],
                         ids=['b0', 's0', 'bn_relu', 'graph'])
def test_a_model_is_exported(spec, tmp_path):
  model = make_model(spec)
  x = random_images()[..., :3]
  model(x, training=True)
  model.export(str(tmp_path / 'exported'), verbose=False)
  loaded = tf.saved_model.load(str(tmp_path / 'exported'))
  np.testing.assert_allclose(loaded.serve(x), model(x), rtol=1e-5, atol=1e-6)


# A program that has not heard of TF_USE_LEGACY_KERAS.
TRAIN = '''
import keras
import numpy as np
import sys
import tensorflow as tf
from evonorm_tf.keras3 import EvoNormB0, get_norm_act

images, labels = np.load('images.npy'), np.arange(8) % 4
for model_name in sys.argv[1:]:
  dtype, mode = model_name.split('.')
  keras.utils.set_random_seed(0)
  keras.config.set_dtype_policy(dtype)
  x = inputs = keras.Input((8, 8, 3))
  for norm_act in (EvoNormB0(), get_norm_act('evonorm_s0', groups=4)()):
    x = norm_act(keras.layers.Conv2D(8, 3)(x))
  x = keras.layers.Dense(4, dtype='float32')(tf.keras.layers.GlobalAveragePooling2D()(x))
  model = keras.Model(inputs, x)
  before = model.get_weights()
  model.compile('adam', keras.losses.SparseCategoricalCrossentropy(True), jit_compile=mode == 'jit')
  model.fit(images, labels, batch_size=4, verbose=0)
  assert all(np.abs(a - b).max() > 0 for a, b in zip(model.get_weights(), before))
  model.save(f'{model_name}.keras')
  np.save(model_name, model.predict(images, verbose=0))
'''


@pytest.mark.slow
@pytest.mark.parametrize('models,dtypes,jit_compiles', [
    (['mixed_bfloat16.jit', 'mixed_float16.graph'], ['bfloat16', 'float16'], [True, False]),
    (['mixed_float16.jit', 'mixed_bfloat16.graph', 'float32.jit', 'float32.graph'],
     ['float16', 'bfloat16', 'float32', 'float32'], [True, False] * 2)])
def test_a_program_that_knows_keras_3_alone(models, dtypes, jit_compiles, tmp_path):
  np.save(tmp_path / 'images.npy', np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32))
  environment = {k: v for k, v in os.environ.items() if k != 'TF_USE_LEGACY_KERAS'} | {'PYTHONPATH': str(ROOT)}
  result = subprocess.run([sys.executable, '-c', TRAIN, *models], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False)
  assert result.returncode == 0, result.stderr
  # What it saved loads in another process, this one; that an import of ours suffices is in saved_models_test.py.
  for model_name, dtype, jit_compile in zip(models, dtypes, jit_compiles, strict=True):
    model = keras.models.load_model(tmp_path / f'{model_name}.keras')
    y = model.predict(np.load(tmp_path / 'images.npy'), verbose=0)
    np.testing.assert_array_equal(y, np.load(tmp_path / f'{model_name}.npy'))
    assert (model.layers[2].compute_dtype, model.jit_compile) == (dtype, jit_compile)
