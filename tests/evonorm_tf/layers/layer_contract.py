"""The contract of norm-activation layers: what any layer that `get_norm_act` returns must do, in both Keras.

A test module subclasses `LayerContract` and parametrizes it by `Subject`s.
"""

from collections.abc import Callable
import dataclasses
import functools
import inspect
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.graph.layer_graph import LayerGraph

CHANNELS = 6
EMPTY_SHAPES = ((0, 6), (2, 0, 6), (0, 3, 6), (2, 0, 4, 6), (0, 3, 3, 6), (2, 1, 0, 2, 6))
SHAPES = ((3, 6), (2, 3, 6), (2, 3, 3, 6), (2, 2, 2, 2, 6))
POLICIES = ('mixed_float16', 'mixed_bfloat16', 'float16', 'bfloat16', 'float64')
# A value other than the default for every argument that is not an initializer, a regularizer or a constraint.
OTHER_VALUES = {'nonlinearity': False, 'epsilon': .5, 'center': False, 'scale': False, 'momentum': .5,
                'synchronized': True, 'groups': 3, 'jit_compile': False}


@dataclasses.dataclass(frozen=True)
class Subject:
  """A layer under test.

  Attributes:
    keras: tf_keras or keras.
    get_norm_act: that of this Keras.
    spec: the layer's name, or a layer graph.
  """
  keras: types.ModuleType
  get_norm_act: Callable
  spec: str | LayerGraph

  def __str__(self):
    return f'{self.keras.__name__}-{self.spec if isinstance(self.spec, str) else "graph"}'

  def make(self, **options):
    """A fresh layer whose core is not compiled, because that takes far longer than inputs this small."""
    if 'jit_compile' in self.arguments():
      options.setdefault('jit_compile', False)
    return self.get_norm_act(self.spec, **options)()

  def arguments(self):
    """The names of the layer's own arguments."""
    return arguments_of(self.get_norm_act(self.spec).layer_class)


@functools.cache
def arguments_of(layer_class):
  return {name for c in layer_class.__mro__ for name in inspect.signature(c.__init__).parameters}


def images(shape=SHAPES[2], dtype='float32', seed=0):
  return np.random.default_rng(seed).normal(.3, 1.2, shape).astype(dtype)


def as_array(y):
  return np.asarray(y).astype(np.float64)


def randomize(layer, seed=0):
  rng = np.random.default_rng(seed)
  layer.set_weights([rng.uniform(.5, 1.5, w.shape) for w in layer.get_weights()])


def values_and_gradients(layer, x):
  """y in training, and the gradients of Σ sin(i)·y_i by x and the weights."""
  weights = [w.value if isinstance(w, keras.Variable) else w for w in layer.trainable_weights]
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
    loss = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(tf.cast(tf.size(y), y.dtype))), tf.shape(y)))
  return [y, *tape.gradient(loss, [x, *weights], unconnected_gradients='zero')]


class LayerContract:

  def test_layers_are_fresh(self, subject):
    factory = subject.get_norm_act(subject.spec)
    layer, other = factory(), factory(name='other', nonlinearity=False)
    y, affine = (as_array(built(images(), training=True)) for built in (layer, other))
    assert y.shape == affine.shape == images().shape and np.isfinite(y).all()
    assert layer is not other and other.name == 'other'
    assert np.abs(y - affine).max() > .01
    assert not {id(w) for w in layer.weights} & {id(w) for w in other.weights}
    assert len({w.path if hasattr(w, 'path') else w.name for w in layer.weights}) == len(layer.weights)

  @pytest.mark.parametrize('shape', SHAPES)
  def test_output_has_the_shape_of_the_input(self, subject, shape):
    for training in (True, False):
      layer = subject.make()
      y = as_array(layer(images(shape), training=training))
      assert y.shape == shape and np.isfinite(y).all()
      assert tuple(layer.compute_output_shape((None, *shape[1:]))) == (None, *shape[1:])

  @pytest.mark.parametrize('channels', [1, 7, 33])
  def test_takes_any_number_of_channels(self, subject, channels):
    layer = subject.make()
    y = as_array(layer(images((2, 3, 5, channels)), training=True))
    assert y.shape == (2, 3, 5, channels) and np.isfinite(y).all()

  def test_affine_part_can_be_switched_off(self, subject):
    layer = subject.make(center=False, scale=False)
    layer.build(SHAPES[2])
    assert layer.gamma is layer.beta is None
    full = subject.make()
    full.build(SHAPES[2])
    assert len(full.trainable_weights) == len(layer.trainable_weights) + 2

  def test_config_holds_every_argument(self, subject):
    given = {name: value for name, value in OTHER_VALUES.items() if name in subject.arguments()}
    if subject.spec in ('in_relu', 'ln_relu'):
      del given['groups']  # makes it this layer
    layer = subject.get_norm_act(subject.spec, name='given', dtype='float16', trainable=False, **given)()
    config = layer.get_config()
    assert {name: config[name] for name in given} == given
    copy = type(layer).from_config(config)
    assert copy.get_config() == config
    assert (copy.name, copy.dtype_policy.name, copy.trainable) == ('given', 'float16', False)

  def test_serialized_it_computes_the_same(self, subject):
    layer = subject.make(gamma_regularizer='l2', beta_constraint='non_neg', epsilon=.1)
    layer.build(SHAPES[2])
    randomize(layer)
    copy = subject.keras.layers.deserialize(subject.keras.layers.serialize(layer))
    assert type(copy) is type(layer) and copy.get_config() == layer.get_config()
    assert copy.built  # for the shape that is serialized with it
    copy.set_weights(layer.get_weights())
    for training in (True, False):
      np.testing.assert_allclose(as_array(copy(images(), training=training)),
                                 as_array(layer(images(), training=training)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose([as_array(loss) for loss in copy.losses], [as_array(loss) for loss in layer.losses])
    assert len(layer.losses) == 1

  @pytest.mark.parametrize('policy', POLICIES)
  def test_precision(self, subject, policy):
    layer = subject.make(dtype=policy)
    y = layer(images(), training=True)
    assert getattr(y.dtype, 'name', y.dtype) == policy.removeprefix('mixed_')
    assert np.isfinite(as_array(y)).all()
    wide = {'float64'} if policy == 'float64' else {'float32'}
    assert {getattr(w.dtype, 'name', w.dtype) for w in layer.weights} <= wide | {'float32'}

  def test_inference_changes_nothing(self, subject):
    layer = subject.make()
    layer.build(SHAPES[2])
    randomize(layer)
    before = layer.get_weights()
    first = as_array(layer(images(), training=False))
    np.testing.assert_array_equal(as_array(layer(images())), first)
    layer.trainable = False
    np.testing.assert_allclose(as_array(layer(images(), training=True)), first, rtol=1e-6, atol=1e-6)
    for weight, old in zip(layer.get_weights(), before, strict=True):
      np.testing.assert_array_equal(weight, old)

  def test_training_moves_the_moving_averages_alone(self, subject):
    layer = subject.make()
    layer.build(SHAPES[2])
    randomize(layer)
    trainable, moving = ([np.array(w) for w in weights] for weights in (
        layer.trainable_weights, layer.non_trainable_weights))
    inference, training = (as_array(layer(images(), training=training)) for training in (False, True))
    for weight, old in zip(layer.trainable_weights, trainable, strict=True):
      np.testing.assert_array_equal(np.array(weight), old)
    for weight, old in zip(layer.non_trainable_weights, moving, strict=True):
      assert np.abs(np.array(weight) - old).min() > 1e-6
    assert (np.abs(training - inference).max() > 1e-3) == bool(moving)

  @pytest.mark.parametrize('sizes, ranks', [
      ('known', (2, 3, 4, 5)), ('unknown', (4,)), pytest.param('unknown', (3,), marks=pytest.mark.slow)])
  def test_nothing_observed_changes_nothing(self, subject, sizes, ranks):
    for rank in ranks:
      layer, unknown = subject.make(), (None,) * (rank - 1) + (CHANNELS,)
      layer.build(unknown)
      randomize(layer)
      before = layer.get_weights()
      function = lambda x, layer=layer: [*values_and_gradients(layer, x), layer(x, training=False)]
      if sizes == 'unknown':
        function = tf.function(function, autograph=False, input_signature=[tf.TensorSpec(unknown)])
      for shape in (shape for shape in EMPTY_SHAPES if len(shape) == rank):
        y, by_x, *by_weights, inferred = (as_array(t) for t in function(tf.zeros(shape)))
        assert y.shape == by_x.shape == inferred.shape == shape
        assert len(by_weights) == len(layer.trainable_weights)
        for gradient in by_weights:
          np.testing.assert_array_equal(gradient, 0.)
        for weight, old in zip(layer.get_weights(), before, strict=True):
          np.testing.assert_array_equal(weight, old)

  @pytest.mark.parametrize('policy, dtype', [
      ('float32', 'uint8'), ('float32', 'int32'), ('mixed_float16', 'int64'), ('mixed_bfloat16', 'bool')])
  def test_integers_and_booleans_are_numbers(self, subject, policy, dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == 'bool' else 9, SHAPES[2]).astype(dtype)
    layer, expected = subject.make(dtype=policy), subject.make(dtype=policy)
    y = layer(x, training=True)
    assert getattr(y.dtype, 'name', y.dtype) == policy.removeprefix('mixed_')
    np.testing.assert_array_equal(as_array(y), as_array(expected(x.astype(np.float32), training=True)))
    for a, e in zip(layer.get_weights(), expected.get_weights(), strict=True):
      np.testing.assert_array_equal(a, e)
    affine = subject.make(dtype=policy, nonlinearity=False)
    affine(images())
    np.testing.assert_array_equal(as_array(affine(x)), as_array(affine(x.astype(np.float32))))

  def test_groups_that_do_not_divide_are_told(self, subject):
    if 'groups' not in subject.arguments() or subject.spec in ('in_relu', 'ln_relu'):
      return
    described = ' '.join(inspect.getdoc(subject.get_norm_act(subject.spec).layer_class).split())
    told = ('If it does not divide C, the largest smaller number that does is used: `groups=7` gives 4 groups of 8 '
            'channels.')
    assert f'groups: the number of channel groups (default 32). {told}' in described
    y, expected = (as_array(subject.make(groups=groups)(images((2, 3, 8)))) for groups in (7, 4))
    np.testing.assert_array_equal(y, expected)

  def test_an_input_that_is_not_of_real_numbers_is_refused(self, subject):
    layer = subject.make()
    layer.build(SHAPES[2])
    with pytest.raises(ValueError, match='must be of floating, integer or boolean dtype, received complex64'):
      layer(tf.zeros(SHAPES[2], tf.complex64))

  def test_errors(self, subject):
    unknown = (None,) if subject.keras is tf_keras else ()  # Keras 3 does not pass it on
    for shape in ((CHANNELS,), (1, 1, 1, 1, 1, CHANNELS), *unknown):
      with pytest.raises(ValueError, match=r'of rank 2 to 5, received shape'):
        subject.make().build(shape)
    with pytest.raises(ValueError, match=r'channel axis of the input must be known, received shape \(None, 3, None\)'):
      subject.make().build((None, 3, None))
    with pytest.raises(ValueError, match=r'must have at least one channel, received shape \(None, 3, 0\)'):
      subject.make().build((None, 3, 0))
    with pytest.raises(TypeError if subject.keras is tf_keras else ValueError, match='epsilonn'):
      subject.get_norm_act(subject.spec, epsilonn=1e-3)
    with pytest.raises(ValueError, match=r'`epsilon` must be positive, received 0\.0'):
      subject.get_norm_act(subject.spec, epsilon=0.)
    layer = subject.make()
    layer(images())
    with pytest.raises(ValueError, match='expected axis -1'):
      layer(images((2, 3, 3, 5)))
