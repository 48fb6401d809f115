"""Tests of baselines."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.baselines import BASELINES

SHAPES = ((3, 7), (3, 5, 6), (2, 4, 3, 8), (1, 1, 1, 5), (2, 2, 3, 2, 6))
EPSILON = 1e-5
NAMES = tuple(BASELINES)


def make(baseline, **options):
  layer_class, arguments = BASELINES[baseline]
  return layer_class(**{**arguments, **options})


def random_input(shape, seed=0, mean=0.5, deviation=2.):
  return np.random.default_rng(seed).normal(mean, deviation, shape)


def randomize(layer, seed=1):
  """Gives every trainable weight random values; the moving averages keep theirs."""
  rng = np.random.default_rng(seed)
  for weight in layer.trainable_weights:
    weight.assign(rng.normal(0.5, 1., weight.shape))


def standardize(x, axes):
  return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPSILON)


def group_normalize(x, groups):
  grouped = x.reshape(x.shape[:-1] + (groups, -1))
  return standardize(grouped, (*range(1, x.ndim - 1), x.ndim)).reshape(x.shape)


def numpy_norm(name, x):
  """The normalization alone of NumPy float64 x in training, without γ and β."""
  spatial = tuple(range(1, x.ndim - 1))
  if name == 'pixel_norm_relu':
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + EPSILON)
  if name == 'frn_tlu':
    return x / np.sqrt(np.square(x).mean(spatial, keepdims=True) + EPSILON)
  if name.startswith('bn'):
    return standardize(x, (0,) + spatial)
  channels = x.shape[-1]
  default = max(g for g in range(1, 33) if channels % g == 0)
  return group_normalize(x, {'ln_relu': 1, 'in_relu': channels}.get(name, default))


def numpy_layer(name, x, layer, nonlinearity=True):
  """The output that the formula gives for NumPy float64 x in training, by the weights of the layer."""
  gamma, beta = (v.numpy().astype(np.float64).reshape(-1) for v in (layer.gamma, layer.beta))
  y = numpy_norm(name, x) * gamma + beta
  if not nonlinearity:
    return y
  if name == 'frn_tlu':
    return np.maximum(y, layer.tlu.tau.numpy().reshape(-1))
  return y / (1. + np.exp(-y)) if name.endswith('silu') else np.maximum(y, 0.)


@pytest.mark.parametrize('nonlinearity', (True, False))
@pytest.mark.parametrize('name', NAMES)
def test_output_is_the_formula(name, nonlinearity):
  for shape in SHAPES:
    x = random_input(shape)
    layer = make(name, nonlinearity=nonlinearity)
    layer.build((None,) * (len(shape) - 1) + shape[-1:])
    randomize(layer)
    y = layer(x.astype(np.float32), training=True)
    np.testing.assert_allclose(y, numpy_layer(name, x, layer, nonlinearity), rtol=1e-3, atol=2e-4, err_msg=str(shape))


def test_groups_fall_to_the_largest_divisor():
  x = random_input((2, 3, 3, 12))
  y = make('gn_relu', groups=5, nonlinearity=False)(x.astype(np.float32))
  np.testing.assert_allclose(y, group_normalize(x, 4), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    'shape, synchronized, ddof', (((2, 3, 3, 4), False, 1), ((2, 3, 3, 4), True, 0), ((6, 4), False, 0)))
def test_batch_norm_keeps_moving_averages(shape, synchronized, ddof):
  layer = make('bn_relu', momentum=0.8, synchronized=synchronized, nonlinearity=False)
  x = random_input(shape)
  axes = tuple(range(len(shape) - 1))
  for _ in range(2):
    layer(x.astype(np.float32), training=True)
  mean = 0.36 * x.mean(axes)
  variance = 0.64 + 0.36 * x.var(axes, ddof=ddof)
  np.testing.assert_allclose(layer.norm.moving_mean, mean, rtol=1e-4)
  np.testing.assert_allclose(layer.norm.moving_variance, variance, rtol=1e-4)
  y = layer(x.astype(np.float32), training=False)
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + EPSILON), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('frozen_before_build', (True, False))
def test_frozen_batch_norm_infers_and_keeps_its_averages(frozen_before_build):
  layer = make('bn_relu', trainable=not frozen_before_build)
  layer.build((None, 2, 2, 3))
  if not frozen_before_build:
    layer.trainable = False
  x = random_input((4, 2, 2, 3)).astype(np.float32)
  y = layer(x, training=True)
  np.testing.assert_allclose(y, np.maximum(x, 0.) / np.sqrt(1. + EPSILON), rtol=1e-5)
  assert not layer.trainable_weights and not np.any(layer.norm.moving_mean)


@pytest.mark.parametrize('policy', ('mixed_float16', 'mixed_bfloat16', 'float16', 'bfloat16', 'float64'))
@pytest.mark.parametrize('name', NAMES)
def test_statistics_are_precise_in_every_dtype(name, policy):
  layer = make(name, dtype=tf_keras.mixed_precision.Policy(policy))
  x = tf.cast(random_input((2, 8, 8, 8), mean=300., deviation=5.), layer.compute_dtype)
  y = layer(x, training=True)
  expected = numpy_layer(name, tf.cast(x, tf.float64).numpy(), layer)
  assert y.dtype == layer.compute_dtype and {w.dtype.size for w in layer.weights} <= {4, 8}
  # One rounding of the output (BN-SiLU's several: BN's output is 16-bit), and what float32 leaves of a mean of 300.
  rounding = {'float16': 2.**-11, 'bfloat16': 2.**-8, 'float64': 1e-9}[y.dtype.name]
  rtol = rounding * (3. if name == 'bn_silu' else 1.1)
  np.testing.assert_allclose(tf.cast(y, tf.float64), expected, rtol=rtol, atol=min(rounding, 2e-4))


@pytest.mark.parametrize('name', NAMES)
def test_gradients_of_constant_inputs_are_finite(name):
  layer = make(name, dtype=tf_keras.mixed_precision.Policy('mixed_float16'))
  for value in (0., 1., 1000.):
    x = tf.fill((1, 1, 1, 6), tf.constant(value, tf.float16))
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    for tensor in [y] + tape.gradient(y, [x] + layer.trainable_weights):
      assert np.all(np.isfinite(tensor))


def make_chain():
  """A baseline of each class in a row, for any batch and spatial size, with random weights."""
  inputs = x = tf_keras.Input((None, None, 6))
  for name in ('bn_silu', 'ln_relu', 'frn_tlu', 'pixel_norm_relu'):
    x = make(name, name=name, gamma_regularizer=tf_keras.regularizers.L2(0.1), beta_constraint='non_neg')(x)
  model = tf_keras.Model(inputs, x)
  randomize(model)
  return model


@pytest.mark.parametrize('form', ('model.keras', 'model.h5', 'saved_model'))
def test_saved_model_loads(form, tmp_path):
  model = make_chain()
  x = random_input((3, 4, 5, 6)).astype(np.float32)
  model(x, training=True)
  model.save(tmp_path / form)
  loaded = tf_keras.models.load_model(tmp_path / form)
  np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5, atol=1e-6)
  assert np.std(model(x)) > 0.1
  assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]


def test_weights_and_config_make_a_copy(tmp_path):
  model = make_chain()
  x = random_input((3, 2, 2, 6)).astype(np.float32)
  clone = tf_keras.models.clone_model(model)
  model.save_weights(tmp_path / 'model.weights.h5')
  clone.load_weights(tmp_path / 'model.weights.h5')
  np.testing.assert_allclose(clone(x), model(x), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(clone.losses, model.losses, rtol=1e-5)
  for old, new in zip(model.layers[1:], clone.layers[1:]):
    assert new.get_config() == old.get_config()
    assert [w.name for w in new.weights] == [w.name for w in old.weights]


def test_compiled_by_xla_and_exported_it_gives_the_same(tmp_path):
  model = make_chain()
  x = random_input((3, 4, 5, 6)).astype(np.float32)
  compiled = tf.function(lambda x: model(x), jit_compile=True)
  np.testing.assert_allclose(compiled(x), model(x), rtol=1e-4, atol=1e-5)
  model.export(tmp_path / 'exported')
  exported = tf.saved_model.load(tmp_path / 'exported')
  np.testing.assert_allclose(exported.serve(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_affine_part_can_be_switched_off(name):
  x = random_input((2, 3, 3, 4))
  layer = make(name, center=False, scale=False, nonlinearity=False, gamma_regularizer='l2', beta_regularizer='l2')
  y = layer(x.astype(np.float32), training=True)
  np.testing.assert_allclose(y, numpy_norm(name, x), rtol=1e-3, atol=1e-4)
  assert not layer.trainable_weights and not layer.losses and layer.gamma is layer.beta is None
  full = make(name)
  full.build(x.shape)
  names = [w.name.split('/')[-1].split(':')[0] for w in full.trainable_weights]
  assert names == ['gamma', 'beta'] + (['tau'] if name == 'frn_tlu' else [])


@pytest.mark.parametrize('name, options', (
    ('bn_relu', {'groups': 8}), ('gn_relu', {'momentum': 0.9}), ('frn_tlu', {'activation': 'relu'}),
    ('pixel_norm_relu', {'synchronized': True}), ('ln_relu', {'v1_initializer': 'ones'})))
def test_option_of_another_layer_is_refused(name, options):
  with pytest.raises(TypeError, match=next(iter(options))):
    make(name, **options)


def test_values_out_of_range_are_refused():
  for match, name, options in (('`epsilon` must be positive, received 0', 'bn_relu', {'epsilon': 0}),
                               ('`momentum` must lie in .*received 1.5', 'bn_relu', {'momentum': 1.5}),
                               ('`groups` must be an integer of at least 1.*received 0', 'gn_relu', {'groups': 0})):
    with pytest.raises(ValueError, match=match):
      make(name, **options)


def test_synchronized_statistics_are_precise_on_one_replica():
  layer = make('bn_relu', synchronized=True)
  x = random_input((4, 8, 8, 8), mean=300., deviation=.05).astype(np.float32)
  np.testing.assert_allclose(layer(x, training=True), numpy_layer('bn_relu', x.astype(np.float64), layer), atol=2e-3)
