"""convert_norm_act: which layers it replaces, outputs against the unconverted model, weights, refusals."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf.layers.keras2 import EvoNormB0
from evonorm_tf.layers.keras2 import EvoNormS0
from tests.evonorm_tf.comparison import assert_same_outputs
from tests.evonorm_tf.comparison import images
from tests.evonorm_tf.comparison import randomize

layers = tf_keras.layers


def residual_network():
  """Two normalizations with activations (a layer and an op), one without, and an activation after the sum."""
  inputs = tf_keras.Input((8, 8, 3), name='image')
  x = layers.Conv2D(4, 3, padding='same', name='conv1')(inputs)
  x = layers.BatchNormalization(momentum=.7, epsilon=.01, scale=False, name='bn1')(x)
  shortcut = x = layers.ReLU(name='relu1')(x)
  x = tf.nn.relu(layers.BatchNormalization(name='bn2')(layers.Conv2D(4, 3, padding='same', name='conv2')(x)))
  x = layers.BatchNormalization(name='bn3')(layers.Conv2D(4, 3, padding='same', name='conv3')(x))
  x = layers.Activation('relu', name='relu3')(layers.Add(name='add')([x, shortcut]) * 2.)
  model = tf_keras.Model(inputs, {'features': x}, name='network')
  randomize(model)
  return model


def test_fused_affine_and_left():
  model = residual_network()
  op = next(layer.name for layer in model.layers if 'relu' in layer.name and layer.name not in ('relu1', 'relu3'))
  plan = evonorm_tf.plan_conversion(model)
  assert plan.fused == {'bn1': ('relu1',), 'bn2': (op,)}
  assert (plan.affine, plan.blocks, plan.left) == (('bn3',), (), ('relu3',))
  assert f'fused (2): bn1 + relu1, bn2 + {op}\naffine (1): bn3\nblocks (0): none' in str(plan)
  converted = evonorm_tf.convert_norm_act(model, 'evonorm_s0')
  assert ([layer.name for layer in converted.layers]
          == [layer.name for layer in model.layers if layer.name not in ('relu1', op)])
  assert all(isinstance(converted.get_layer(name), EvoNormS0) for name in ('bn1', 'bn2', 'bn3'))
  assert [converted.get_layer(name).nonlinearity for name in ('bn1', 'bn2', 'bn3')] == [True, True, False]
  assert evonorm_tf.list_norm_acts(converted) == [('relu3', 'activation', 'relu')]
  for name in ('conv1', 'conv2', 'conv3'):
    for old, new in zip(model.get_layer(name).get_weights(), converted.get_layer(name).get_weights()):
      np.testing.assert_array_equal(old, new)


def test_batch_norm_relu_gives_the_models_own_outputs():
  model = residual_network()
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  assert_same_outputs(model, converted, images())
  assert converted.count_params() == model.count_params()  # without the γ that bn1 lacks
  factory = evonorm_tf.get_norm_act('bn_relu', epsilon=.5)
  bn1 = evonorm_tf.convert_norm_act(model, factory).get_layer('bn1')
  assert (bn1.epsilon, bn1.momentum, bn1.scale) == (.5, .7, False)


def test_evonorm_starts_fresh_from_the_initializers_and_keeps_trainable():
  inputs = tf_keras.Input((8, 8, 3))
  x = layers.BatchNormalization(gamma_initializer='zeros', synchronized=True, trainable=False, name='bn')(inputs)
  model = tf_keras.Model(inputs, layers.ReLU()(x))
  randomize(model)
  layer = evonorm_tf.convert_norm_act(model, 'evonorm_b0').get_layer('bn')
  np.testing.assert_array_equal(layer.gamma, np.zeros(3))
  np.testing.assert_array_equal(layer.beta, np.zeros(3))
  assert isinstance(layer, EvoNormB0) and layer.synchronized and not layer.trainable


def test_shared_layers_and_models_in_models():
  relu, bn = layers.ReLU(name='relu'), layers.BatchNormalization(name='shared_bn')
  inner = tf_keras.Sequential(
      [layers.Conv2D(3, 1, input_shape=(8, 8, 3)), layers.BatchNormalization(name='inner_bn'), relu], name='inner')
  left, right = tf_keras.Input((8, 8, 3)), tf_keras.Input((8, 8, 3))
  total = relu(layers.Add()([relu(bn(inner(left))), relu(bn(inner(right)))]))
  model = tf_keras.Model([left, right], total)
  randomize(model)
  plan = evonorm_tf.plan_conversion(model)
  assert plan.fused == {'shared_bn': ('relu',), 'inner/inner_bn': ('relu',)}
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  assert_same_outputs(model, converted, [images(), 2 * images()])
  assert len(converted.get_layer('shared_bn').inbound_nodes) == 2
  assert [found.path for found in evonorm_tf.list_norm_acts(converted)] == ['relu']  # that of the sum
  assert 'inner/inner_bn' in [found.path for found in evonorm_tf.list_norm_acts(model)]


@pytest.mark.parametrize('reader, kinds', [
    (lambda x: layers.Conv2D(2, 1, name='conv')(x), r'conv, relu'),
    (lambda x: layers.Activation('swish', name='swish')(x), r'relu, swish'),
    (lambda x: layers.ReLU(negative_slope=.1, name='leaky')(x), r'leaky, relu'),
    (lambda x: x, 'relu, the output')])
def test_consumers_of_different_kinds_are_refused(reader, kinds):
  inputs = tf_keras.Input((8, 8, 3))
  x = layers.BatchNormalization(name='forked')(inputs)
  model = tf_keras.Model(inputs, [layers.ReLU(name='relu')(x), reader(x)])
  with pytest.raises(ValueError, match=rf"Layer 'forked' is read by consumers of different kinds \({kinds}\)"):
    evonorm_tf.convert_norm_act(model, 'evonorm_s0')


def test_consumers_of_one_kind():
  inputs = tf_keras.Input((8, 8, 3))
  rectified = layers.BatchNormalization(name='rectified')(inputs)
  plain = layers.BatchNormalization(name='plain')(inputs)
  gate = layers.Activation('sigmoid', name='gate')(layers.BatchNormalization(name='gated')(inputs))
  model = tf_keras.Model(inputs, [
      layers.ReLU(name='relu')(rectified), tf.nn.relu(rectified), layers.Conv2D(2, 1)(plain), plain, gate])
  randomize(model)
  plan = evonorm_tf.plan_conversion(model)
  assert list(plan.fused) == ['rectified'] and len(plan.fused['rectified']) == 2
  assert sorted(plan.affine) == ['gated', 'plain'] and plan.left == ('gate',)
  assert_same_outputs(model, evonorm_tf.convert_norm_act(model, 'bn_relu'), images())


def test_other_refusals():
  inputs = tf_keras.Input((8, 8, 3))
  channels_first = tf_keras.Model(inputs, layers.BatchNormalization(axis=1, name='first')(inputs))
  with pytest.raises(ValueError, match=r"'first' must normalize the last axis .* received axis \[1\]"):
    evonorm_tf.convert_norm_act(channels_first, 'bn_relu')
  hidden = tf_keras.Model(inputs, layers.TimeDistributed(layers.BatchNormalization(), name='frames')(inputs))
  with pytest.raises(ValueError, match="'frames' of class TimeDistributed hides .* `evonorm_tf.register_block`"):
    evonorm_tf.convert_norm_act(hidden, 'bn_relu')
  with_loss = tf_keras.Model(inputs, layers.BatchNormalization()(inputs))
  with_loss.add_loss(tf.reduce_mean(with_loss.output))
  with pytest.raises(ValueError, match='`add_loss` or `add_metric`'):
    evonorm_tf.convert_norm_act(with_loss, 'bn_relu')
  with pytest.raises(ValueError, match='`model` must be a functional model, .* received Dense'):
    evonorm_tf.convert_norm_act(layers.Dense(1), 'bn_relu')


@pytest.mark.slow
@pytest.mark.parametrize('application, fused, affine', [
    ('ResNet50V2', 49, 0), ('MobileNetV2', 35, 17), ('EfficientNetB0', 33, 16)])
def test_applications_convert_and_train(application, fused, affine):
  build = getattr(tf_keras.applications, application)
  model = build(weights=None, input_shape=(32, 32, 3), classes=3)
  # Uncompiled: eagerly, the core of each layer would be compiled for its shape.
  converted = evonorm_tf.convert_norm_act(model, evonorm_tf.get_norm_act('evonorm_s0', jit_compile=False))
  norm_acts = [layer for layer in converted.layers if isinstance(layer, EvoNormS0)]
  assert [sum(layer.nonlinearity == kind for layer in norm_acts) for kind in (True, False)] == [fused, affine]
  assert not [found for found in evonorm_tf.list_norm_acts(converted) if found.kind == 'normalization']
  assert len(converted.layers) == len(model.layers) - fused
  for old in model.layers:
    if old.weights and not isinstance(old, layers.BatchNormalization):
      new = converted.get_layer(old.name)
      assert all(np.array_equal(*pair) for pair in zip(old.get_weights(), new.get_weights(), strict=True)), old.name
  x, y = images(32), np.arange(4) % 3
  optimizer = tf_keras.optimizers.legacy.SGD(.01)
  converted.compile(optimizer, 'sparse_categorical_crossentropy', run_eagerly=True)
  before = [variable.numpy() for variable in converted.trainable_weights]
  assert np.isfinite(converted.train_on_batch(x, y))
  changed = [not np.array_equal(old, new) for old, new in zip(before, converted.trainable_weights)]
  assert np.mean(changed) > .9 and np.isfinite(converted(x)).all()


def test_no_global_state_and_the_model_is_left_alone():
  model = residual_network()
  config, weights = model.get_config(), model.get_weights()
  evonorm_tf.convert_norm_act(model, 'evonorm_s0')
  assert model.get_config() == config and len(model.get_layer('bn1').outbound_nodes) == 1
  assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))
  other = residual_network()
  assert type(other.get_layer('bn1')) is layers.BatchNormalization
  assert evonorm_tf.convert_norm_act(other, 'evonorm_s0').get_layer('bn1') is not other.get_layer('bn1')


def test_converted_model_saves_and_loads(tmp_path):
  converted = evonorm_tf.convert_norm_act(residual_network(), 'evonorm_b0')
  converted(images(), training=True)
  converted.save(tmp_path / 'model.keras')
  loaded = tf_keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_allclose(converted(images())['features'], loaded(images())['features'], rtol=1e-6)


def test_functions_with_bound_arguments():
  inputs = tf_keras.Input((8, 8, 3))
  slope, other = (layers.Activation(functools.partial(tf.nn.leaky_relu, alpha=a), name=f'slope{i}')
                  for i, a in enumerate((.1, .3)))
  x = layers.BatchNormalization(name='bn')(inputs)
  model = tf_keras.Model(inputs, other(layers.Add()([slope(x), inputs])))
  converted = evonorm_tf.convert_norm_act(model, 'evonorm_s0')
  assert [layer.name for layer in converted.layers if 'slope' in layer.name] == ['slope1']
  assert converted.get_layer('slope1').activation.keywords == {'alpha': .3}
  with pytest.raises(ValueError, match=r"'bn' is read by consumers of different kinds \(slope0, slope1\)"):
    evonorm_tf.convert_norm_act(tf_keras.Model(inputs, [slope(x), other(x)]), 'evonorm_s0')


def test_mixed_precision_is_kept():
  inputs = tf_keras.Input((8, 8, 3))
  x = layers.BatchNormalization(dtype='mixed_bfloat16', name='bn')(inputs)
  model = tf_keras.Model(inputs, layers.ReLU(dtype='mixed_bfloat16')(x))
  converted = evonorm_tf.convert_norm_act(model, 'evonorm_s0')
  assert converted.output.dtype == model.output.dtype == tf.bfloat16
  assert converted.get_layer('bn').gamma.dtype == tf.float32


def test_normalization_of_the_input_keeps_its_statistics():
  inputs = tf_keras.Input((8, 8, 3))
  preprocessing = layers.Normalization()
  shifted = 3. * images() + 5.
  preprocessing.adapt(shifted)
  x = layers.Conv2D(4, 1)(preprocessing(inputs))
  model = tf_keras.Model(inputs, layers.ReLU()(layers.BatchNormalization()(x)))
  assert_same_outputs(model, evonorm_tf.convert_norm_act(model, 'bn_relu'), shifted)
