"""Layers on two replicas, the logical CPUs of conftest: second derivatives; Keras 3 in `fit`.

One device is the reference; there the layers are tested against the formula. More of the tf_keras layers on replicas is
tested with `keras2_norm_act_layer`.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.devices.strategy import get_strategy
from search.graphs.known_graphs import known_graph

SHAPE = (4, 3, 3, 6)
BN_SILU = known_graph('bn_silu')


def random_batch():
  """x, and the weights of the outputs in the loss."""
  rng = np.random.default_rng(0)
  return tf.constant(rng.normal(.3, 1.2, SHAPE)), tf.constant(rng.normal(size=SHAPE))


def make_layer(module, spec, dtype='float64', **options):
  """A built layer with random weights."""
  layer, rng = module.get_norm_act(spec, **options)(dtype=dtype), np.random.default_rng(1)
  layer.build((None, *SHAPE[1:]))
  layer.set_weights([rng.uniform(.5, 1.5, w.shape) for w in layer.get_weights()])
  return layer


def derivatives(layer, x, loss_weights):
  """The gradients of the loss by x and the weights, and those of Σ(∂loss/∂x)²."""
  x = tf.cast(x, layer.compute_dtype)
  sources = [x] + [w.value if isinstance(w, keras.Variable) else w for w in layer.trainable_weights]
  with tf.GradientTape() as outer:
    outer.watch(x)
    with tf.GradientTape() as inner:
      inner.watch(x)
      loss = tf.reduce_sum(tf.cast(layer(x, training=True), tf.float64) * loss_weights)
    gradients = inner.gradient(loss, sources)
    norm = tf.reduce_sum(tf.square(tf.cast(gradients[0], tf.float64)))
  return gradients, outer.gradient(norm, sources, unconnected_gradients='zero')


def distribute(values, shares):
  parts = tf.split(values, shares)
  return get_strategy('mirrored').experimental_distribute_values_from_function(
      lambda context: parts[context.replica_id_in_sync_group])


def derivatives_on_two_replicas(make, x, loss_weights, shares):
  """As `derivatives`: those by x of both replicas, the sums of those by the weights."""
  strategy = get_strategy('mirrored')
  with strategy.scope():
    layer = make()

  @tf.function(autograph=False)
  def step(*batch):
    return strategy.run(lambda *batch: derivatives(layer, *batch), batch)

  return [[tf.concat(strategy.experimental_local_results(by_x), 0)]
          + [strategy.reduce('SUM', g, axis=None) for g in by_weights]
          for by_x, *by_weights in step(distribute(x, shares), distribute(loss_weights, shares))]


def join(first, second):
  """The derivatives on two devices that do not meet."""
  return [[tf.concat([f[0], s[0]], 0)] + [u + v for u, v in zip(f[1:], s[1:])] for f, s in zip(first, second)]


UNCOMPILED = {'jit_compile': False}  # the core of the layer on one device, which would take seconds


# Each dtype's tolerance, relative to the largest: half precision rounds x, y, dy and dx.
TOLERANCES = {'float64': 1e-12, 'float32': 1e-5, 'mixed_float16': 2e-3, 'mixed_bfloat16': 2e-2}
CASES = {
    'B0 synchronized': (evonorm_tf, 'evonorm_b0', UNCOMPILED, True),
    'B0': (evonorm_tf, 'evonorm_b0', UNCOMPILED, False),
    'S0': (evonorm_tf, 'evonorm_s0', {'groups': 2, **UNCOMPILED}, None),
    'graph synchronized': (evonorm_tf, BN_SILU, {}, True),
    'Keras 3, B0 synchronized': (keras3, 'evonorm_b0', UNCOMPILED, True),
}


# The exact dtype of each case, and the narrowest range of the one with the most steps between the replicas; the others
# are slow.
@pytest.mark.parametrize('module,spec,options,synchronized,dtype,tolerance', [
    pytest.param(*case, dtype, tolerance, id=f'{name}, {dtype}', marks=[pytest.mark.slow] * (
        dtype != 'float64' and (name, dtype) != ('B0 synchronized', 'mixed_float16')))
    for name, case in CASES.items() for dtype, tolerance in TOLERANCES.items()])
def test_both_derivatives_equal_those_of_one_device(module, spec, options, synchronized, dtype, tolerance):
  (x, loss_weights), shares = random_batch(), (3, 1)
  x = tf.cast(tf.cast(x, dtype.removeprefix('mixed_')), tf.float64)  # what the layer gets
  single = make_layer(module, spec, **options)
  if synchronized is False:  # each replica has a batch of its own
    expected = join(*(derivatives(single, *part) for part in zip(tf.split(x, shares), tf.split(loss_weights, shares))))
  else:
    expected = derivatives(single, x, loss_weights)
  if synchronized:
    options = {**options, 'synchronized': True}
  actual = derivatives_on_two_replicas(lambda: make_layer(module, spec, dtype, **options), x, loss_weights, shares)
  for a, e in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
    np.testing.assert_allclose(tf.cast(a, tf.float64), e, rtol=0, atol=tolerance * np.abs(e).max())


TRACKING = [(evonorm_tf, spec) for spec in ('evonorm_b0', 'bn_relu', BN_SILU)] + [
    (keras3, 'evonorm_b0'), (keras3, BN_SILU)] + [
        pytest.param(evonorm_tf, spec, marks=pytest.mark.slow) for spec in ('evonorm_b1', 'evonorm_b2')]


def run_on_two_replicas(module, spec, shape, parts, **options):
  """A layer for inputs of this shape after one call in training, of part i of the batch on replica i; the outputs."""
  strategy = get_strategy('mirrored')
  with strategy.scope():
    layer = make_layer(module, spec, **options)
  values = strategy.experimental_distribute_values_from_function(lambda c: parts[c.replica_id_in_sync_group])
  step = tf.function(lambda x: strategy.run(lambda x: layer(tf.ensure_shape(x, shape), training=True), (x,)),
                     autograph=False)
  return layer, strategy.experimental_local_results(step(values))


@pytest.mark.parametrize('module, spec', TRACKING)
def test_a_replica_without_samples_follows_the_others_if_synchronized(module, spec):
  x, single = random_batch()[0], make_layer(module, spec)
  expected = single(x, training=True)
  for parts in ((x, x[:0]), (x[:0], x)):
    layer, outputs = run_on_two_replicas(
        module, spec, (None, *SHAPE[1:]), parts, dtype='float64', synchronized=True)
    np.testing.assert_allclose(tf.concat(outputs, 0), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.concatenate(layer.get_weights()), np.concatenate(single.get_weights()), rtol=1e-8)


@pytest.mark.parametrize('synchronized', [True, False])
@pytest.mark.parametrize('module, spec', TRACKING)
def test_replicas_that_observe_nothing_move_nothing(module, spec, synchronized):
  before = make_layer(module, spec, 'float32').get_weights()
  for shape in ((0, *SHAPE[1:]), (2, 0, *SHAPE[2:])):
    layer, outputs = run_on_two_replicas(module, spec, (None, None, *SHAPE[2:]), (tf.zeros(shape),) * 2,
                                         dtype='float32', synchronized=synchronized)
    assert [y.shape for y in outputs] == [shape, shape]
    for weight, old in zip(layer.get_weights(), before, strict=True):
      np.testing.assert_array_equal(weight, old)


def make_keras3_model(**options):
  """EvoNorm-B0 on the images, a graph with two moments over the batch behind a convolution."""
  keras.utils.set_random_seed(0)
  images = keras.Input((4, 4, 6))
  x = keras3.EvoNormB0(name='first', **UNCOMPILED, **options)(images)
  x = keras3.GraphLayer(BN_SILU, **options)(keras.layers.Conv2D(8, 2)(x))
  model = keras.Model(images, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
  model.compile(keras.optimizers.SGD(.1, momentum=.9), 'mse', jit_compile=False)  # XLA does not take two CPUs
  return model


def fit(model):
  """Two steps, of 6 images each, twice; returns the images."""
  images = np.random.default_rng(0).normal(.3, 1.2, (12, 4, 4, 6)).astype(np.float32)
  model.fit(images, np.eye(3)[np.arange(12) % 3], batch_size=6, epochs=2, shuffle=False, verbose=0)
  return images


def test_synchronized_fit_equals_one_device():
  single = make_keras3_model()
  before = single.get_weights()
  fit(single)
  with get_strategy('mirrored').scope():
    model = make_keras3_model(synchronized=True)
  fit(model)
  for weight, actual, expected in zip(model.weights, model.get_weights(), single.get_weights(), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6, err_msg=weight.path)
  moved = {w.name: np.abs(w - b).max() for w, b in zip(model.weights, before) if 'moving' in w.path}
  assert len(moved) == 3 and min(moved.values()) > 1e-3


def test_each_replica_has_its_own_moving_variance_saved_as_their_mean(tmp_path):
  with get_strategy('mirrored').scope():
    model = make_keras3_model()
  images = fit(model)
  own = []
  for first in (0, 3):  # the first and the second half of every batch
    own.append(np.ones(6))
    for start in (first, first + 6) * 2:
      own[-1] = .9 * own[-1] + .1 * images[start:start + 3].var((0, 1, 2))
  moving_variance = model.get_layer('first').moving_variance
  np.testing.assert_allclose([v.numpy() for v in moving_variance.value.values], own, rtol=1e-5)
  np.testing.assert_allclose(moving_variance, np.mean(own, 0), rtol=1e-5)
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_allclose(loaded.get_layer('first').moving_variance, np.mean(own, 0), rtol=1e-5)
  np.testing.assert_allclose(loaded(images), model(images), rtol=1e-6)


@pytest.mark.parametrize('shares', [(2, 2), (4, 0)])
def test_training_can_be_a_tensor_and_a_replica_without_samples(shares):
  """As for the tf_keras layer, each of whose replicas does as a layer of its own."""
  x, strategy = tf.cast(random_batch()[0], tf.float32), get_strategy('mirrored')
  with strategy.scope():
    layer = make_layer(keras3, 'evonorm_b0', 'float32')

  @tf.function(autograph=False)
  def step(x, training):
    return strategy.run(lambda x: layer(x, training=training), (x,))

  y = tf.concat(strategy.experimental_local_results(step(distribute(x, shares), tf.constant(True))), 0)
  singles = [make_layer(evonorm_tf, 'evonorm_b0', 'float32', **UNCOMPILED) for _ in shares]
  expected = [single(part, training=True) for single, part in zip(singles, tf.split(x, shares))]
  np.testing.assert_allclose(y, tf.concat(expected, 0), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(layer.moving_variance, np.mean([s.moving_variance for s in singles], 0), rtol=1e-5)
