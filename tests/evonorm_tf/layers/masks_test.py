"""Layers with a Keras mask: against NumPy formulas over the kept positions in float64, in both Keras, on replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from tests.layer_names import KERAS_2_NAMES
from tests.layer_names import KERAS_3_NAMES

EPSILON, GROUPS, CHANNELS = 1e-5, 2, 6
# Moments of what has no positions or no channels: v1 weights every kept position alike, a sample's mean counts as often
# as the sample has positions.
NARROW = LayerGraph((
    Node('first_moment', (X,), INSTANCE), Node('second_moment', (4,), BATCH), Node('first_moment', (V1,), BATCH),
    Node('centered_second_moment', (X,), LAYER), Node('first_moment', (7,), BATCH), Node('mul', (X, 6)),
    Node('div', (9, 5)), Node('add', (10, 8))))
OVERFLOWING = LayerGraph((  # (x·v1)·exp(x·v1) / s(exp(x·v1))
    Node('mul', (X, V1)), Node('exp', (4,)), Node('centered_second_moment', (5,), INSTANCE), Node('mul', (4, 5)),
    Node('div', (7, 6))))
GRAPHS = {'graph of evonorm_b0': known_graph('evonorm_b0'), 'graph of gn_silu': known_graph('gn_silu'),
          'narrow graph': NARROW,
          'overflowing graph': OVERFLOWING}
CASES = [(evonorm_tf, name) for name in (*KERAS_2_NAMES, *GRAPHS)] + [
    (keras3, name) for name in (*KERAS_3_NAMES, *GRAPHS)]
# Of a series one layer is quick where the first test has the formula of each.
ONE_OF_A_SERIES = [pytest.param(*case, marks=[pytest.mark.slow] * (
    case[1] in ('evonorm_b1', 'evonorm_b2', 'evonorm_s1', 'evonorm_s2'))) for case in CASES]
MASKS = {  # of x: the mask that Keras passes
    (3, CHANNELS): [True, False, True],
    (3, 5, CHANNELS): [[True] * 2 + [False] * 3, [False, True, True, False, True], [True] * 5],
    (3, 2, 2, CHANNELS): [[[True, False], [True, True]], [[False] * 2, [False] * 2], [[True] * 2, [True] * 2]],
    (2, 3, 2, 1, CHANNELS): [[True, False, True], [True] * 3],
}


def make(module, name, shape, dtype='float64', /, **options):
  """A built layer with random weights."""
  spec = GRAPHS.get(name, name)
  factory = module.get_norm_act(spec)
  layer = factory(dtype=dtype, **options, **({'groups': GROUPS} if factory.leaves_open('groups') else {}))
  layer.build((None, *shape[1:]))
  rng = np.random.default_rng(1)
  layer.set_weights([rng.uniform(.5, 1.5, w.shape) for w in layer.get_weights()])
  return layer


def weights_of(layer):
  """The layer's weights by name, vectors of float64."""
  names = [getattr(w, 'path', w.name).split('/')[-1].split(':')[0] for w in layer.weights]
  return {name: w.astype(np.float64).reshape(-1) for name, w in zip(names, layer.get_weights(), strict=True)}


def random_input(shape, seed=0):
  return np.random.default_rng(seed).normal(.4, 1.5, shape)


def kept_mean(t, mask, axes):
  """The mean over kept positions of a tensor with all axes, [N, ..., C], by an index set's name; 0 where none is."""
  kept = [sample[keep] for sample, keep in zip(t, mask)]  # [kept positions, C]
  unit = (1,) * (t.ndim - 2)
  if axes == 'batch':
    return np.concatenate(kept).mean(0)
  mean = np.stack([k.mean(0) if len(k) else np.zeros(t.shape[-1]) for k in kept])
  groups = {'instance': t.shape[-1], 'layer': 1, 'group': GROUPS}[axes]
  mean = np.repeat(mean.reshape(len(t), groups, -1).mean(-1), t.shape[-1] // groups, -1)
  return mean.reshape(len(t), *unit, t.shape[-1])


def sigmoid(x):
  return 1. / (1. + np.exp(-x))


def formula(name, x, mask, w):
  """The layer in training, in NumPy; x is [N, ..., C] and the mask [N, ...], w holds γ, β, v0, v1 and τ."""
  mean = lambda axes, t=x: kept_mean(t, mask, axes)
  variance = lambda axes: mean(axes, (x - mean(axes))**2)
  deviation = lambda axes: np.sqrt(variance(axes) + EPSILON)
  root_mean_square = lambda axes: np.sqrt(mean(axes, x**2) + EPSILON)
  standardized = lambda axes: (x - mean(axes)) / deviation(axes)
  v1 = w.get('v1', 1.)
  affine = lambda y: y * w['gamma'] + w['beta']
  silu = lambda y: y * sigmoid(y)
  if name == 'narrow graph':
    full = np.broadcast_to
    of_mean = np.sqrt(mean('batch', full(mean('instance'), x.shape)**2) + EPSILON)
    return affine(x * v1 / of_mean + mean('batch', full(deviation('layer'), x.shape)))
  if name == 'overflowing graph':
    grown = np.exp(x * v1)
    return affine(x * v1 * grown / np.sqrt(mean('instance', (grown - mean('instance', grown))**2) + EPSILON))
  if name == 'graph of gn_silu':
    return affine(silu(standardized('group') * v1 + w['v0']))
  axes = {'bn': 'batch', 'gn': 'group', 'ln': 'layer', 'in': 'instance'}.get(name[:2])
  return {
      'evonorm_b0': lambda: affine(x / np.maximum(deviation('batch'), v1 * x + deviation('instance'))),
      'evonorm_b1': lambda: affine(x / np.maximum(deviation('batch'), (x + 1) * root_mean_square('instance'))),
      'evonorm_b2': lambda: affine(x / np.maximum(deviation('batch'), root_mean_square('instance') - x)),
      'evonorm_s0': lambda: affine(x * sigmoid(v1 * x) / deviation('group')),
      'evonorm_s1': lambda: affine(silu(x) / deviation('group')),
      'evonorm_s2': lambda: affine(silu(x) / root_mean_square('group')),
      'frn_tlu': lambda: np.maximum(affine(x / root_mean_square('instance')), w['tau']),
      'pixel_norm_relu': lambda: np.maximum(affine(x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON)), 0.),
      f'{name[:2]}_relu': lambda: np.maximum(affine(standardized(axes)), 0.),
      f'{name[:2]}_silu': lambda: silu(affine(standardized(axes))),
  }[name.removeprefix('graph of ')]()


def all_positions(mask, shape):
  """A mask [N, ...] of x, of whatever rank, as one of [N, all positions of x]."""
  mask = np.array(mask)
  return np.broadcast_to(mask.reshape(mask.shape + (1,) * (len(shape) - 1 - mask.ndim)), shape[:-1])


@pytest.mark.parametrize('shape', MASKS)
@pytest.mark.parametrize('module, name', CASES)
def test_statistics_are_those_of_the_kept_positions(module, name, shape):
  x, mask = random_input(shape), all_positions(MASKS[shape], shape)
  layer = make(module, name, shape)
  before = weights_of(layer)
  y = layer(tf.constant(x), training=True, mask=tf.constant(MASKS[shape]))
  # At masked positions too: the formula for their own x.
  np.testing.assert_allclose(y, formula(name, x, mask, before), rtol=1e-9, atol=1e-9)
  moments = {'moving_mean': x[mask].mean(0), 'moving_variance': x[mask].var(0), 'moving_average_4': x[mask].var(0)}
  for moving, moment in moments.items():
    if moving in before and name != 'graph of gn_silu':
      np.testing.assert_allclose(weights_of(layer)[moving], .9 * before[moving] + .1 * moment, rtol=1e-9)


def loss_and_gradients(layer, x, mask, loss_weights):
  """The gradients of Σ loss_weights·y over kept positions by x and the weights, and y."""
  x = tf.constant(x, layer.compute_dtype)
  variables = [w.value if isinstance(w, keras.Variable) else w for w in layer.trainable_weights]
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True, **({} if mask is None else {'mask': tf.constant(mask)}))
    loss = tf.reduce_sum(tf.cast(y, tf.float64) * loss_weights)
  by_x, *by_weights = tape.gradient(loss, [x, *variables])
  return [np.asarray(t).astype(np.float64) for t in (y, by_x, *by_weights)]


@pytest.mark.parametrize('module, name', ONE_OF_A_SERIES)
def test_it_is_the_layer_without_the_masked_positions(module, name):
  """Outputs, gradients and moving averages, where each sample keeps as many positions as the others."""
  x, loss_weights = (random_input((3, 5, CHANNELS), seed) for seed in (0, 1))
  mask = np.array([[True, False, True, False, True], [False, True, True, True, False], [True] * 3 + [False] * 2])
  loss_weights[~mask] = 0.
  layer, expected = (make(module, name, x.shape) for _ in range(2))
  y, by_x, *by_weights = loss_and_gradients(layer, x, mask, loss_weights)
  gathered = [t[mask].reshape(3, 3, CHANNELS) for t in (x, loss_weights, y, by_x)]
  alone = loss_and_gradients(expected, gathered[0], None, gathered[1])
  for a, e in zip([*gathered[2:], *by_weights], alone, strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)
  np.testing.assert_array_equal(by_x[~mask], 0.)
  for a, e in zip(layer.get_weights(), expected.get_weights(), strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-8)  # tf_keras's momentum is of float32


@pytest.mark.parametrize('module, name, dtype', [(*case, 'float32') for case in CASES] + [
    (evonorm_tf, name, 'mixed_float16') for name in ('evonorm_b0', 'evonorm_s0', 'graph of gn_silu', 'bn_relu')])
def test_what_stands_at_a_masked_position_changes_nothing_else(module, name, dtype):
  shape = (3, 5, CHANNELS)
  x, loss_weights, mask = random_input(shape), random_input(shape, 1), np.array(MASKS[shape])
  loss_weights[~mask] = 0.
  large = 1e30 if dtype == 'float32' else 6e4
  for nonlinearity, values in ((True, (0., large, np.nan)), (False, (0., -np.inf))):
    results = []
    for value in values:
      layer = make(module, name, shape, dtype, nonlinearity=nonlinearity)
      y, *gradients = loss_and_gradients(layer, np.where(mask[..., None], x, value), mask, loss_weights)
      assert np.isfinite(y[mask]).all()
      results.append([y[mask], *gradients, *layer.get_weights()])
    for result in results[1:]:
      for a, e in zip(result, results[0], strict=True):
        np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize('name', KERAS_2_NAMES)
def test_without_vectors(name):
  shape = (3, 5, CHANNELS)
  x, mask = random_input(shape), np.array(MASKS[shape])
  layer = make(evonorm_tf, name, shape, center=False, scale=False)
  weights = {'gamma': 1., 'beta': 0.} | weights_of(layer)
  y = layer(tf.constant(x), training=True, mask=tf.constant(mask))
  np.testing.assert_allclose(y, formula(name, x, mask, weights), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('module, name', CASES)
def test_all_masked_moves_nothing(module, name):
  shape = (3, 5, CHANNELS)
  layer = make(module, name, shape)
  before = layer.get_weights()
  y, *gradients = loss_and_gradients(layer, random_input(shape), np.zeros((3, 5), bool), 0.)
  assert np.isfinite(y).all() and not any(g.any() for g in gradients)
  for weight, old in zip(layer.get_weights(), before, strict=True):
    np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize('module, name', ONE_OF_A_SERIES)
def test_inference_and_a_graph_of_unknown_sizes(module, name):
  shape = (3, 5, CHANNELS)
  x, mask = tf.constant(random_input(shape)), tf.constant(MASKS[shape])
  layer, expected = (make(module, name, shape) for _ in range(2))
  function = tf.function(
      lambda x, mask: [layer(x, training=training, mask=mask) for training in (False, True)], autograph=False,
      input_signature=[tf.TensorSpec([None, None, CHANNELS], tf.float64), tf.TensorSpec([None, None], tf.bool)])
  for actual, training in zip(function(x, mask), (False, True)):
    np.testing.assert_allclose(actual, expected(x, training=training, mask=mask), rtol=1e-9, atol=1e-9)
  for a, e in zip(layer.get_weights(), expected.get_weights(), strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-9)
  masked = np.where(np.array(MASKS[shape])[..., None], x, np.nan)
  kept = np.array(MASKS[shape])
  np.testing.assert_allclose(np.asarray(expected(masked, training=False, mask=mask))[kept],
                             np.asarray(expected(x, training=False, mask=mask))[kept], rtol=1e-9)


@pytest.mark.parametrize('k, module, name, source', [
    (tf_keras, evonorm_tf, 'evonorm_b0', 'Masking'), (tf_keras, evonorm_tf, 'graph of gn_silu', 'Embedding'),
    (keras, keras3, 'evonorm_b0', 'Embedding'),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        (tf_keras, evonorm_tf, 'bn_relu', 'Embedding'), (tf_keras, evonorm_tf, 'gn_relu', 'Masking'),
        (keras, keras3, 'graph of evonorm_b0', 'Masking'), (keras, keras3, 'evonorm_s0', 'Masking')])])
def test_keras_passes_masks_of_its_own_layers(k, module, source, name):
  """Two norm-activation layers in a row, in a model that trains: the mask reaches both."""
  k.utils.set_random_seed(0)
  tokens = np.array([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [1, 2, 3, 4, 5], [2, 2, 0, 0, 0]])
  mask = tokens != 0
  if source == 'Embedding':
    x, layers = tokens, [k.Input((None,), dtype='int32'), k.layers.Embedding(6, CHANNELS, mask_zero=True)]
  else:
    x = np.where(mask[..., None], random_input((*tokens.shape, CHANNELS)), -1.).astype(np.float32)
    layers = [k.Input((None, CHANNELS)), k.layers.Masking(-1.)]
  first, second = (make(module, name, (None, None, CHANNELS), 'float32', name=place) for place in ('first', 'second'))
  model = k.Sequential([*layers, first, second, k.layers.GlobalAveragePooling1D(), k.layers.Dense(1)])
  model.compile(k.optimizers.SGD(.1), 'mse', jit_compile=False)
  copies = [make(module, name, (4, 5, CHANNELS), 'float32') for _ in range(2)]
  copies[1](copies[0](layers[1](x), training=True, mask=mask), training=True, mask=mask)
  model.fit(x, np.ones((4, 1)), batch_size=4, verbose=0)
  for layer, copy in zip((first, second), copies):
    for weight, moved in zip(layer.non_trainable_weights, copy.non_trainable_weights, strict=True):
      np.testing.assert_allclose(np.asarray(weight), np.asarray(moved), rtol=1e-4, atol=1e-6)
    copy.set_weights(layer.get_weights())
  y = np.asarray(copies[1](copies[0](layers[1](x), mask=mask), mask=mask))
  pooled = np.stack([sample[keep].mean(0) for sample, keep in zip(y, mask)])
  np.testing.assert_allclose(model.predict(x, verbose=0), model.layers[-1](pooled), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('module, name', [(evonorm_tf, 'evonorm_s0'), (evonorm_tf, 'bn_relu'), (keras3, 'evonorm_b0')])
def test_a_mask_of_other_axes_is_refused(module, name):
  layer = make(module, name, (3, 5, CHANNELS))
  for shape in ((3, 5, CHANNELS), (2,), (3, 4), (3, 1), ()):
    with pytest.raises(ValueError, match=r'`mask` must have the first axes of the input.*expected \(3,\) to \(3, 5\), '
                                         rf'received shape {str(shape).replace("(", ".").replace(")", ".")}'):
      layer(tf.zeros((3, 5, CHANNELS)), mask=tf.ones(shape, tf.bool))


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_b2', 'graph of evonorm_b0', 'narrow graph', 'bn_silu'])
def test_synchronized_replicas_weight_their_kept_positions(name):
  """Two replicas with unequal masks, one sample against two, equal one device with all three."""
  shape, strategy = (3, 5, CHANNELS), get_strategy('mirrored')
  x, mask = random_input(shape), np.array(MASKS[shape])
  single = make(evonorm_tf, name, shape)
  expected = single(tf.constant(x), training=True, mask=tf.constant(mask))
  with strategy.scope():
    layer = make(evonorm_tf, name, shape, synchronized=True)

  def distribute(values):
    parts = tf.split(values, (1, 2))
    return strategy.experimental_distribute_values_from_function(lambda c: parts[c.replica_id_in_sync_group])

  step = tf.function(lambda *batch: strategy.run(lambda x, mask: layer(x, training=True, mask=mask), batch))
  y = tf.concat(strategy.experimental_local_results(step(distribute(x), distribute(mask))), 0)
  np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
  for a, e in zip(layer.get_weights(), single.get_weights(), strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-9)
