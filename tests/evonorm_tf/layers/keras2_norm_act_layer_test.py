"""Features that all our layers share: the affine form, options, errors, saving, XLA, synchronized statistics."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.layers import keras2
from evonorm_tf.layers.keras2 import GraphLayer

# BN-SiLU, then over v1 times its own second moment: three moments over the batch, the later ones of the earlier.
BATCH_MOMENTS = LayerGraph((
    Node('first_moment', (0,), BATCH), Node('neg', (4,)), Node('add', (0, 5)),
    Node('centered_second_moment', (6,), BATCH), Node('div', (6, 7)), Node('mul', (3, 8)), Node('add', (9, 2)),
    Node('sigmoid', (10,)), Node('mul', (10, 11)), Node('second_moment', (12,), BATCH), Node('mul', (3, 13)),
    Node('div', (12, 14))))

BATCH_LAYERS = (keras2.EvoNormB0, keras2.EvoNormB1, keras2.EvoNormB2, functools.partial(GraphLayer, BATCH_MOMENTS))
SAMPLE_LAYERS = tuple(
    functools.partial(layer, groups=4) for layer in (keras2.EvoNormS0, keras2.EvoNormS1, keras2.EvoNormS2))
LAYERS = BATCH_LAYERS + SAMPLE_LAYERS


def images(shape=(4, 3, 3, 6), seed=0):
  return np.random.default_rng(seed).normal(.3, 1.2, shape).astype(np.float32)


def randomize(weights, seed=0):
  """Assigns positive random values to all of a layer's or model's weights."""
  rng = np.random.default_rng(seed)
  for weight in weights:
    weight.assign(rng.uniform(.5, 1.5, weight.shape))


@pytest.mark.parametrize('make', LAYERS)
@pytest.mark.parametrize('shape', [(3, 6), (2, 3, 6), (2, 3, 3, 6), (2, 2, 2, 2, 6)])
def test_affine_form(make, shape):
  layer = make(nonlinearity=False)
  layer.build(shape)
  assert [w.name.split('/')[-1] for w in layer.weights] == ['gamma:0', 'beta:0']
  assert not hasattr(layer, 'v1') and not hasattr(layer, 'moving_variance')
  layer.gamma.assign([1., 2., 3., 4., 5., 6.])
  layer.beta.assign([0., 1., 0., -1., 0., 1.])
  x = images(shape)
  for training in (True, False):
    np.testing.assert_allclose(
        layer(x, training=training), x * [1., 2., 3., 4., 5., 6.] + [0., 1., 0., -1., 0., 1.], rtol=1e-6)


@pytest.mark.parametrize('make', LAYERS)
def test_center_and_scale_can_be_switched_off(make):
  x, full = images(), make()
  full.build(x.shape)
  randomize(full.weights)
  for center, scale in ((False, True), (True, False), (False, False)):
    layer = make(center=center, scale=scale)
    layer.build(x.shape)
    assert (layer.beta is not None, layer.gamma is not None) == (center, scale)
    randomize([layer.beta] * center + [layer.gamma] * scale, seed=1)
    assert len(layer.trainable_weights) == len(full.trainable_weights) - (not center) - (not scale)
    weight_of = {w.name.split('/')[-1]: w for w in full.weights}
    for weight in layer.weights:
      weight.assign(weight_of[weight.name.split('/')[-1]])
    expected = (full(x) - full.beta) / full.gamma * (full.gamma if scale else 1.) + (full.beta if center else 0.)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('make', [keras2.EvoNormB0, keras2.EvoNormS0, functools.partial(GraphLayer, BATCH_MOMENTS)])
@pytest.mark.parametrize('vector', ['gamma', 'beta', 'v1'])
def test_initializer_regularizer_and_constraint(make, vector):
  options = {
      f'{vector}_initializer': tf_keras.initializers.Constant(3.),
      f'{vector}_regularizer': tf_keras.regularizers.L2(.5),
      f'{vector}_constraint': tf_keras.constraints.NonNeg()}
  first = make(dtype='mixed_float16', **options)
  layer = type(first).from_config(first.get_config())
  layer.build([None, 2])
  weight = getattr(layer, vector)
  np.testing.assert_array_equal(weight, [3., 3.])
  np.testing.assert_allclose(layer.losses, [.5 * 9. * 2])
  assert layer.losses[0].dtype == tf.float32
  np.testing.assert_array_equal(weight.constraint(tf.constant([-1., 2.])), [0., 2.])
  for other in {'gamma', 'beta', 'v1'} - {vector}:
    np.testing.assert_array_equal(getattr(layer, other), [float(other != 'beta')] * 2)
  assert layer.get_config() == first.get_config()


@pytest.mark.parametrize('options,message', [
    ({'epsilon': 0.}, r'`epsilon` must be positive, received 0\.0'),
    ({'momentum': 2.}, r'`momentum` must lie in \[0, 1\], received 2\.0'),
    ({'groups': 0}, '`groups` must be a positive integer, received 0'),
])
def test_argument_errors(options, message):
  layers = {'momentum': BATCH_LAYERS, 'groups': SAMPLE_LAYERS + BATCH_LAYERS[-1:], 'epsilon': LAYERS}
  for make in layers[next(iter(options))]:
    with pytest.raises(ValueError, match=message):
      make(**options)


def model_of_all_layers(dtype='float32', makes=LAYERS):
  """A chain of each layer after a convolution, and one affine form; all weights random."""
  inputs = y = tf_keras.Input([None, None, 6], dtype='float32')
  for make in makes + (functools.partial(keras2.EvoNormB0, nonlinearity=False),):
    y = make(dtype=dtype)(tf_keras.layers.Conv2D(6, 1, use_bias=False)(y))
  model = tf_keras.Model(inputs, tf_keras.layers.GlobalAveragePooling2D(dtype='float32')(y))
  randomize(model.weights)
  return model


@pytest.mark.parametrize('suffix,dtype', [
    ('.keras', 'mixed_bfloat16'), ('.h5', 'float32'), pytest.param('', 'mixed_float16', marks=pytest.mark.slow)])
def test_model_saves_and_loads(tmp_path, suffix, dtype):
  model, x = model_of_all_layers(dtype), images()
  path = tmp_path / f'model{suffix}'
  model.save(path, **({'save_format': 'h5'} if suffix == '.h5' else {} if suffix else {'save_format': 'tf'}))
  loaded = tf_keras.models.load_model(path)
  assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
  assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
  for training in (False, True, False):  # the last time with moving averages that both have updated
    np.testing.assert_allclose(loaded(x, training=training), model(x, training=training), rtol=1e-5, atol=1e-6)


def test_model_clones_and_exports(tmp_path):
  model, x = model_of_all_layers(), images()
  clone = tf_keras.models.clone_model(model)
  clone.set_weights(model.get_weights())
  assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
  np.testing.assert_array_equal(clone(x, training=True), model(x, training=True))
  model.export(tmp_path / 'export')
  served = tf.saved_model.load(tmp_path / 'export')
  for batch in (x, x[:1, :1, :1]):
    np.testing.assert_allclose(served.serve(batch), model(batch, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_fit_with_xla_equals_fit_without():
  makes = (keras2.EvoNormB0, keras2.EvoNormS0, functools.partial(GraphLayer, BATCH_MOMENTS))
  models = [model_of_all_layers(makes=makes) for _ in range(3)]
  for model, jit_compile in zip(models, (False, True)):
    model.compile(tf_keras.optimizers.legacy.SGD(.01), 'mse', jit_compile=jit_compile)
    model.fit(images(), np.ones([4, 6], np.float32), batch_size=4, epochs=2, verbose=0)
  for plain, xla, start in zip(*(model.weights for model in models)):
    np.testing.assert_allclose(xla, plain, rtol=1e-4, atol=1e-5, err_msg=plain.name)
    if 'moving' in plain.name or 'gamma' in plain.name:
      assert np.abs(plain - start).min() > 1e-6, plain.name


def initial_averages(make):
  """The moving averages of a layer that has seen nothing."""
  layer = make()
  layer.build(images().shape)
  return layer.non_trainable_weights


def gradients_and_value(layer, x, loss_weights):
  """A training step's gradients by x and the weights, and y."""
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
    loss = tf.reduce_sum(y * loss_weights)
  by_x, *by_weights = tape.gradient(loss, [x] + layer.trainable_weights)
  return by_x, by_weights, y


def run_two_replicas(make, x, loss_weights, shares):
  """The layer after a step on two logical CPUs, with dL/dx, the sums of the weights' gradients, and y."""
  strategy = get_strategy('mirrored')
  with strategy.scope():
    layer = make()
    layer.build([None, *x.shape[1:]])

  def distribute(values):
    parts = tf.split(values, shares)
    return strategy.experimental_distribute_values_from_function(lambda c: parts[c.replica_id_in_sync_group])

  step = tf.function(lambda x, w: strategy.run(lambda x, w: gradients_and_value(layer, x, w), (x, w)))
  by_x, by_weights, y = step(distribute(x), distribute(loss_weights))
  by_x, y = (tf.concat(strategy.experimental_local_results(v), 0) for v in (by_x, y))
  return layer, by_x, [strategy.reduce('SUM', g, axis=None) for g in by_weights], y


@pytest.mark.parametrize('make,shares', [*((layer, (3, 1)) for layer in BATCH_LAYERS), (keras2.EvoNormB0, (2, 2))])
def test_synchronized_moments_are_those_of_the_global_batch(make, shares):
  x, loss_weights, single = tf.constant(images()), images(seed=1), make()
  by_x, by_weights, y = gradients_and_value(single, x, loss_weights)
  layer, *actual = run_two_replicas(functools.partial(make, synchronized=True), x, loss_weights, shares)
  tf.nest.map_structure(
      lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5), actual, [by_x, by_weights, y])
  for weight, expected in zip(layer.non_trainable_weights, single.non_trainable_weights):
    np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-7)


def test_unsynchronized_moments_are_each_replicas_own():
  x, loss_weights, single = tf.constant(images()), images(seed=1), keras2.EvoNormB0()
  layer, by_x, _, y = run_two_replicas(keras2.EvoNormB0, x, loss_weights, (2, 2))
  first, second = (gradients_and_value(single, x[i:i + 2], loss_weights[i:i + 2]) for i in (0, 2))
  np.testing.assert_allclose(by_x, tf.concat([first[0], second[0]], 0), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(y, tf.concat([first[2], second[2]], 0), rtol=1e-5)
  assert np.abs(y - single(x, training=True)).max() > .01
  variances = [x.numpy()[i:i + 2].var((0, 1, 2)) for i in (0, 2)]
  np.testing.assert_allclose(layer.moving_variance, .9 + .1 * np.mean(variances, 0), rtol=1e-5)


@pytest.mark.parametrize('synchronized', [False, True])
@pytest.mark.parametrize('make', [keras2.EvoNormB0, BATCH_LAYERS[-1]])
def test_a_replica_without_samples_changes_nothing(make, synchronized):
  """tf.distribute gives a replica none, where a short last batch has fewer samples than there are replicas."""
  x, loss_weights, single = tf.constant(images()), images(seed=1), make(momentum=0.)
  by_x, by_weights, y = gradients_and_value(single, x, loss_weights)
  layer, *actual = run_two_replicas(
      functools.partial(make, momentum=0., synchronized=synchronized), x, loss_weights, (4, 0))
  tf.nest.map_structure(
      lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5), actual, [by_x, by_weights, y])
  for weight, initial, moved in zip(layer.non_trainable_weights, initial_averages(make), single.non_trainable_weights):
    expected = moved if synchronized else (initial + moved) / 2.  # saved as the mean of the replicas' own
    np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)
