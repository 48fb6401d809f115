"""Each layer on JAX or PyTorch: values and gradients of the float64 formula, moving averages, masks, dtypes, saving."""

import keras
import numpy as np
import pytest

from backend_tests.gradients import values_and_gradients
from evonorm_tf import keras3
from evonorm_tf.graph.found_layers import found_graphs
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace

CHANNELS, GROUPS = 6, 3
SHAPES = ((5, 6), (3, 4, 6), (2, 3, 4, 6), (2, 2, 3, 2, 6))
WITH_GROUPS = ('evonorm_s0', 'evonorm_s1', 'evonorm_s2', 'gn_relu', 'gn_silu')
NAMES_OF_CLASSES = tuple(name for name in keras3.NORM_ACTS if name not in found_graphs())
NAMES = tuple(name for name in keras3.NORM_ACTS if name in KNOWN_GRAPHS)
ONE_OF_EACH_KIND = ('evonorm_b0', 'evonorm_s0', 'bn_relu', 'gn_relu')


def images(shape=SHAPES[2], seed=0):
  return np.random.default_rng(seed).normal(.3, 1.2, shape)


def make(spec, shape=SHAPES[2], seed=1, **options):
  """A built float64 layer with random weights."""
  if spec in WITH_GROUPS or not isinstance(spec, str):
    options.setdefault('groups', GROUPS)
  layer = keras3.get_norm_act(spec, dtype='float64', **options)()
  layer.build(shape)
  rng = np.random.default_rng(seed)
  for variable in layer.trainable_variables:
    variable.assign(rng.uniform(.5, 1.5, variable.shape))
  return layer


def formula(name, layer, x):
  """y = graph(x; v0, v1)·γ + β in float64. γ and β of a baseline come before the activation: they are v1 and v0."""
  graph = known_graph(name) if isinstance(name, str) else name
  one, zero = np.ones(x.shape[-1]), np.zeros(x.shape[-1])
  array = lambda variable, default: default if variable is None else keras.ops.convert_to_numpy(variable)
  gamma, beta = array(layer.gamma, one), array(layer.beta, zero)
  if hasattr(layer, 'norm'):
    return graph.evaluate(x, beta, gamma, GROUPS)
  v0, v1 = array(getattr(layer, 'v0', None), zero), array(getattr(layer, 'v1', None), one)
  return graph.evaluate(x, v0, v1, GROUPS) * gamma + beta


def assert_gradients(layer, name, x, rtol=2e-6):
  """Compares the gradients of a random functional with central differences of the float64 formula."""
  cotangent = np.random.default_rng(2).normal(size=x.shape)
  y, *gradients = values_and_gradients(layer, x, cotangent)
  np.testing.assert_allclose(y, formula(name, layer, x), rtol=1e-9, atol=1e-9)
  step, rng = 1e-5, np.random.default_rng(3)
  for number, gradient in enumerate(gradients):
    direction = rng.normal(size=gradient.shape)
    sides = []
    for sign in (1, -1):
      moved = x + sign * step * direction if number == 0 else x
      if number:
        variable = layer.trainable_variables[number - 1]
        before = keras.ops.convert_to_numpy(variable)
        variable.assign(before + sign * step * direction)
      sides.append((formula(name, layer, moved) * cotangent).sum())
      if number:
        variable.assign(before)
    expected = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=rtol, atol=1e-6, err_msg=str(number))


# Images for each layer; all other ranks for one layer of each kind.
@pytest.mark.parametrize('name, shape', [
    (name, shape) for name in NAMES for shape in SHAPES if shape == SHAPES[2] or name in ONE_OF_EACH_KIND])
def test_values_and_gradients_are_those_of_the_formula(name, shape):
  assert_gradients(make(name, shape), name, images(shape))


@pytest.mark.parametrize('seed', range(20))
def test_random_graphs(seed):
  graph = random_graph(SearchSpace(6, uniform_over='pairs'), np.random.default_rng(seed))
  x = images(seed=seed)
  layer = make(graph)
  with np.errstate(all='ignore'):
    expected = np.broadcast_to(formula(graph, layer, x), x.shape)
  if not np.isfinite(expected).all() or np.abs(expected).max() > 1e6:
    pytest.skip('not finite')
  np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x, training=True)), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize('name', ['evonorm_b0', 'bn_relu', known_graph('evonorm_b0')], ids=['b0', 'bn_relu', 'graph'])
def test_moving_averages(name):
  layer, x = make(name, momentum=.75), images()
  for _ in range(2):
    layer(x, training=True)
  moving = keras.ops.convert_to_numpy(layer.non_trainable_variables[-1]).ravel()
  np.testing.assert_allclose(moving, .75**2 + (1 - .75**2) * x.var((0, 1, 2)), rtol=1e-9)
  before = keras.ops.convert_to_numpy(layer(x))
  layer.trainable = False
  np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x, training=True)), before, rtol=1e-9)
  np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.non_trainable_variables[-1]).ravel(), moving)


@pytest.mark.parametrize('name', NAMES_OF_CLASSES)
def test_statistics_are_of_what_a_mask_keeps(name):
  x = images((4, 5, 6))
  layer = make(name, x.shape)
  mask = np.arange(5) < 3
  expected = keras.ops.convert_to_numpy(layer(x[:, mask], training=True))
  x[:, ~mask] = np.nan
  y = keras.ops.convert_to_numpy(layer(x, training=True, mask=np.tile(mask, (4, 1))))
  np.testing.assert_allclose(y[:, mask], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('name, policy', [
    (name, policy) for name in NAMES_OF_CLASSES for policy in ('mixed_float16', 'mixed_bfloat16', 'bfloat16', 'float32')
    if policy == 'mixed_float16' or name in ONE_OF_EACH_KIND])
def test_dtypes(name, policy):
  layer = keras3.get_norm_act(name, dtype=policy)()
  y = layer(images().astype('float32'), training=True)
  assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
  assert all(keras.backend.standardize_dtype(v.dtype) == 'float32' for v in layer.weights)
  wide = keras3.get_norm_act(name, dtype='float64')()
  np.testing.assert_allclose(keras.ops.convert_to_numpy(keras.ops.cast(y, 'float64')),
                             keras.ops.convert_to_numpy(wide(images(), training=True)), rtol=.05, atol=.03)


def model_of(name, **options):
  norm_act = keras3.get_norm_act(name, **options)
  inputs = keras.Input((8, 8, 3))
  x = keras.layers.Conv2D(CHANNELS, 3, padding='same', use_bias=False)(inputs)
  x = norm_act(name='norm_act')(x)
  x = keras.layers.TimeDistributed(norm_act(name='inner'))(x)
  x = norm_act(nonlinearity=False, name='affine')(keras.layers.Conv2D(CHANNELS, 1)(x))
  return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'bn_relu', known_graph('evonorm_s1')],
                         ids=['b0', 's0', 'bn_relu', 'graph'])
def test_a_model_trains_and_is_saved(name, tmp_path):
  keras.utils.set_random_seed(0)  # from some initial weights, a few steps are too few
  model, rng = model_of(name), np.random.default_rng(0)
  model.compile(keras.optimizers.SGD(.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
  x, labels = rng.normal(size=(32, 8, 8, 3)).astype('float32'), rng.integers(4, size=32)
  history = model.fit(x, labels, batch_size=8, epochs=6, verbose=0).history['loss']
  assert history[-1] < history[0]
  expected = model.predict(x, verbose=0)
  model.save(tmp_path / 'model.keras')
  again = keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_allclose(again.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)
  model.save_weights(tmp_path / 'model.weights.h5')
  copy = keras.models.clone_model(model)
  copy.load_weights(tmp_path / 'model.weights.h5')
  np.testing.assert_allclose(copy.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


NARROW = {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True}


@pytest.mark.parametrize('build, name, options', [
    pytest.param(keras3.build_resnet, 'evonorm_b0', {'depth': 8, 'width_multiplier': .5}, id='resnet'),
    pytest.param(keras3.build_efficientnet, 'evonorm_s0', NARROW, marks=pytest.mark.slow, id='efficientnet')])
def test_models(build, name, options):
  model = build(keras3.get_norm_act(name), num_classes=4, input_shape=(16, 16, 3), **options)
  x = images((2, 16, 16, 3)).astype('float32')
  assert isinstance(model, keras.Model) and model.predict(x, verbose=0).shape == (2, 4)


@pytest.mark.slow
def test_backbones():
  x = images((2, 16, 16, 3)).astype('float32')
  for build, first in ((keras3.build_resnet_backbone, '0'), (keras3.build_mobilenet_v2_backbone, '1')):
    model = build('evonorm_s0', width_multiplier=.25, depth_multiplier=.25, small_images=True, input_shape=(16, 16, 3))
    levels = {level: maps.shape[1:3] for level, maps in model.predict(x, verbose=0).items() if level != 'features'}
    assert isinstance(model, keras.Model) and first in levels
    assert all(size == (16 // 2 ** int(level),) * 2 for level, size in levels.items())


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0'])
def test_conversion(name):
  model = keras3.build_resnet(keras3.get_norm_act('bn_relu'), depth=8, num_classes=4, input_shape=(16, 16, 3))
  assert keras3.list_norm_acts(model) == []
  inputs = keras.Input((8, 8, 3))
  y = keras.layers.BatchNormalization(name='bn')(keras.layers.Conv2D(4, 3, name='conv')(inputs))
  model = keras.Model(inputs, keras.layers.BatchNormalization(name='last')(keras.layers.ReLU(name='relu')(y)))
  plan = keras3.plan_conversion(model)
  assert plan.fused == {'bn': ('relu',)} and plan.affine == ('last',)
  converted = keras3.convert_norm_act(model, name)
  assert [layer.name for layer in converted.layers][2:] == ['bn', 'last']
  assert type(converted.get_layer('bn')) is keras3.get_norm_act(name).layer_class
  assert keras3.list_norm_acts(converted) == []


@pytest.mark.parametrize('name', ['bn_relu', 'gn_relu', 'ln_relu', 'in_relu', 'evonorm_b0', 'evonorm_s0'])
def test_variances_are_of_differences_from_the_mean(name):
  """The mean is 6,000 deviations, so that nothing would be left of μ(x²) − μ(x)² in float32."""
  x = np.float32(300. + .05 * np.random.default_rng(0).normal(size=(4, 8, 8, CHANNELS)))
  options = {'groups': GROUPS} if name in WITH_GROUPS else {}
  y = keras3.get_norm_act(name, **options)()(x, training=True)
  wide = keras3.get_norm_act(name, dtype='float64', **options)()(x.astype('float64'), training=True)
  y, wide = (keras.ops.convert_to_numpy(value) for value in (y, wide))
  np.testing.assert_allclose(y, wide, rtol=1e-2, atol=1e-2)
