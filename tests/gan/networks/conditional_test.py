"""Tests of conditional: with zero W the unconditional layer; γ and β where they belong, against NumPy in float64."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf import get_norm_act
from gan.networks.conditional import ConditionalNormAct
from search.graphs.known_graphs import known_graph
from tests.layer_names import KERAS_2_NAMES

SHAPE = (4, 5, 3, 6)
EPSILON = 1e-5


def make_norm_act(name, folder):
  """A factory by name; 'graph' is a layer graph's file, BN-SiLU as the search would find it."""
  if name != 'graph':
    return get_norm_act(name)
  known_graph('bn_silu').save(folder / 'layer.json')
  return get_norm_act(folder / 'layer.json')


def random_input(shape=SHAPE, seed=0):
  return np.random.default_rng(seed).normal(.4, 1.5, shape).astype(np.float32)


def random_condition(size=7, seed=1):
  return np.random.default_rng(seed).normal(size=(SHAPE[0], size)).astype(np.float32)


def make_layer(norm_act, x, condition, seed=2, **options):
  """A built layer with random trainable weights."""
  layer = ConditionalNormAct(norm_act, **options)
  layer((x, condition))
  randomize(layer.trainable_weights, seed)
  return layer


def randomize(weights, seed=2):
  rng = np.random.default_rng(seed)
  for weight in weights:
    weight.assign(rng.uniform(.3, 1.2, weight.shape))


@pytest.mark.parametrize('name', ['evonorm_b0', 'bn_relu', 'gn_silu', 'frn_tlu'])
def test_a_mask_of_x_reaches_the_norm_activation_layer(name):
  x, condition = random_input(), random_condition()
  mask = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE[:2]) % 5 != 3
  layer = make_layer(get_norm_act(name), x, condition, spectral_norm=False)
  y, garbled = (np.asarray(layer((np.where(mask[..., None, None], x, value), condition), training=True,
                                 mask=[tf.constant(mask), None])) for value in (0., np.nan))
  np.testing.assert_array_equal(garbled[mask], y[mask])
  unmasked = np.asarray(layer((np.where(mask[..., None, None], x, 0.), condition), training=True))
  assert np.abs(y - unmasked)[mask].max() > 1e-3
  assert layer.compute_mask((x, condition), [mask, None]) is mask


def sigmoid(x):
  return 1. / (1. + np.exp(-x))


def moments(x, axes):
  return x.mean(axes, keepdims=True), x.var(axes, keepdims=True)


def numpy_layer(name, x, gamma, beta, v1=1., v0=0.):
  """The layer in training, for x of float64 and γ and β of each sample, [N, 1, 1, C]."""
  (batch_mean, batch), (_, instance), (layer_mean, layer) = (
      moments(x, axes) for axes in ((0, 1, 2), (1, 2), (1, 2, 3)))
  deviation = np.sqrt(batch + EPSILON)
  if name == 'bn_relu':
    return np.maximum((x - batch_mean) / deviation * gamma + beta, 0.)
  if name == 'ln_relu':
    return np.maximum((x - layer_mean) / np.sqrt(layer + EPSILON) * gamma + beta, 0.)
  if name == 'pixel_norm_relu':
    return np.maximum(x / np.sqrt(np.square(x).mean(-1, keepdims=True) + EPSILON) * gamma + beta, 0.)
  if name == 'graph':
    standard = (x - batch_mean) / deviation * v1 + v0
    return standard * sigmoid(standard) * gamma + beta
  if name == 'evonorm_b0':
    return x / np.maximum(deviation, v1 * x + np.sqrt(instance + EPSILON)) * gamma + beta
  assert name == 'evonorm_s0'  # six channels: as many groups
  return x * sigmoid(v1 * x) / np.sqrt(instance + EPSILON) * gamma + beta


FORMULAS = ('bn_relu', 'ln_relu', 'pixel_norm_relu', 'evonorm_b0', 'evonorm_s0', 'graph')


def vectors_of(layer):
  """v1 and v0, those that the layer has."""
  vectors = {name: getattr(layer.norm_act, name, None) for name in ('v1', 'v0')}
  return {name: v.numpy().astype(np.float64) for name, v in vectors.items() if v is not None}


@pytest.mark.parametrize('name', (*KERAS_2_NAMES, 'graph'))
def test_with_zero_weights_it_is_the_unconditional_layer(name, tmp_path):
  norm_act = make_norm_act(name, tmp_path)
  for shape in (SHAPE, (4, 6)):
    x, condition = random_input(shape), random_condition()
    unconditional, layer = norm_act(), ConditionalNormAct(norm_act)
    unconditional(x)
    layer((x, condition))
    for weights in (layer.gain, layer.bias):
      weights.kernel.assign(tf.zeros_like(weights.kernel))
    randomize([w for w in unconditional.trainable_weights if not w.name.split('/')[-1].startswith(('gamma', 'beta'))])
    randomize(layer.norm_act.trainable_weights)
    for training in (True, False):
      expected = unconditional(x, training=training)
      np.testing.assert_allclose(layer((x, condition), training=training), expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize('spectral_norm', (False, True))
@pytest.mark.parametrize('name', FORMULAS)
def test_output_is_the_formula(name, spectral_norm, tmp_path):
  x, condition = random_input(), random_condition()
  layer = make_layer(make_norm_act(name, tmp_path), x, condition, spectral_norm=spectral_norm)
  matrices = [weights.kernel.numpy().astype(np.float64) for weights in (layer.gain, layer.bias)]
  if spectral_norm:
    step = tf.function(lambda: layer((x, condition), training=True), autograph=False)
    for _ in range(50):
      y = step()
    matrices = [m / np.linalg.svd(m, compute_uv=False)[0] for m in matrices]
  else:
    y = layer((x, condition), training=True)
  gamma, beta = 1. + condition @ matrices[0], condition @ matrices[1]
  expected = numpy_layer(name, x.astype(np.float64), gamma[:, None, None], beta[:, None, None], **vectors_of(layer))
  np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)


def test_labels_look_up_tables_without_spectral_norm():
  x, labels = random_input(), np.array([2, 0, 2, 1])
  layer = make_layer(get_norm_act('bn_relu'), x, labels, num_classes=3)
  y = layer((x, labels), training=True)
  gamma, beta = 1. + layer.gain.embeddings.numpy()[labels], layer.bias.embeddings.numpy()[labels]
  expected = numpy_layer('bn_relu', x.astype(np.float64), gamma[:, None, None], beta[:, None, None])
  np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
  assert {w.name.split('/')[-1] for w in layer.trainable_weights} == {'embeddings:0'}


@pytest.mark.parametrize('name', (*FORMULAS, 'gn_relu', 'evonorm_b1', 'evonorm_b2', 'evonorm_s1', 'evonorm_s2'))
def test_gradients_reach_weights_condition_and_input(name, tmp_path):
  x, condition = random_input(), tf.constant(random_condition())
  layer = make_layer(make_norm_act(name, tmp_path), x, condition)
  x = tf.constant(x)
  with tf.GradientTape() as tape:
    tape.watch([x, condition])
    loss = tf.reduce_sum(tf.square(layer((x, condition), training=True)))
  names = [w.name.split('/')[-1] for w in layer.trainable_weights]
  assert names.count('kernel:0') == 2 and not {'gamma:0', 'beta:0'} & set(names)
  for gradient in tape.gradient(loss, [x, condition, *layer.trainable_weights]):
    assert np.all(np.isfinite(gradient)) and np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize('policy,tolerance', (('mixed_float16', 2e-3), ('mixed_bfloat16', 2e-2), ('float64', 1e-9)))
@pytest.mark.parametrize('name', FORMULAS)
def test_precision(name, policy, tolerance, tmp_path):
  policy = tf_keras.mixed_precision.Policy(policy)
  x = tf.cast(random_input(), policy.compute_dtype)
  condition = tf.constant(300. * random_condition(), tf.float64 if policy.compute_dtype == 'float64' else tf.float32)
  layer = make_layer(make_norm_act(name, tmp_path), x, condition, spectral_norm=False, dtype=policy)
  y = layer((x, condition), training=True)
  assert y.dtype == policy.compute_dtype and all(w.dtype.size >= 4 for w in layer.weights)
  gamma, beta = (weights(tf.cast(condition, weights.dtype)).numpy().astype(np.float64)[:, None, None]
                 for weights in (layer.gain, layer.bias))
  expected = numpy_layer(name, tf.cast(x, tf.float64).numpy(), 1. + gamma, beta, **vectors_of(layer))
  np.testing.assert_allclose(tf.cast(y, tf.float64), expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_compiled_core_and_whole_graph_agree():
  x, condition = random_input(), random_condition()
  outputs = []
  for jit_compile in (False, True):
    layer = make_layer(get_norm_act('evonorm_s0', jit_compile=jit_compile), x, condition, spectral_norm=False)
    outputs.append(layer((x, condition), training=True))
  whole = tf.function(lambda pair: layer(pair, training=True), jit_compile=True)((x, condition))
  np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(outputs[0], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('options', ({}, {'num_classes': 3}, {'spectral_norm': False, 'initializer': 'n02'}))
@pytest.mark.parametrize('name', (*KERAS_2_NAMES, 'graph'))
def test_config_round_trip(name, options, tmp_path):
  x, condition = random_input(), np.array([2, 0, 2, 1]) if options.get('num_classes') else random_condition()
  layer = make_layer(make_norm_act(name, tmp_path), x, condition, name='conditional', **options)
  config = json.loads(json.dumps(layer.get_config()))
  again = ConditionalNormAct.from_config(config)
  assert again.get_config() == layer.get_config() and again.norm_act.get_config() == layer.norm_act.get_config()
  again((x, condition))
  again.set_weights(layer.get_weights())
  for training in (True, False):
    np.testing.assert_array_equal(again((x, condition), training=training), layer((x, condition), training=training))


@pytest.mark.parametrize('name', ('bn_relu', 'evonorm_b0', 'graph'))
def test_a_saved_model_is_loaded(name, tmp_path):
  x, condition = random_input(), random_condition()
  inputs = [tf_keras.Input(x.shape[1:]), tf_keras.Input(condition.shape[1:])]
  outputs = ConditionalNormAct(make_norm_act(name, tmp_path), dtype='mixed_bfloat16')(inputs)
  model = tf_keras.Model(inputs, outputs)
  randomize(model.trainable_weights)
  model.save(tmp_path / 'model.keras')
  again = tf_keras.models.load_model(tmp_path / 'model.keras')
  assert again.output.dtype == tf.bfloat16
  np.testing.assert_array_equal(again([x, condition]), model([x, condition]))


def test_a_layer_without_a_config_is_named():
  class Own(tf_keras.layers.Layer):
    def __init__(self, slope, center, scale, **kwargs):
      super().__init__(**kwargs)

  layer = ConditionalNormAct(lambda **options: Own(.2, **options))
  with pytest.raises(ValueError, match='`norm_act` must make layers that have a `get_config`, received .*Own'):
    layer.get_config()
