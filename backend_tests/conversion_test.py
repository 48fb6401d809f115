"""Conversion in Keras 3: what a copy shares with the original, what it keeps, and what is refused."""

import functools

import keras
import numpy as np
import pytest

from evonorm_tf import keras3


def images(seed=0):
  return np.random.default_rng(seed).normal(size=(8, 6, 6, 3)).astype('float32')


def small_model(*layers):
  x = inputs = keras.Input((6, 6, 3), name='images')
  x = keras.layers.Conv2D(4, 3, name='conv')(x)
  for layer in layers or (keras.layers.BatchNormalization(name='bn'), keras.layers.ReLU(name='relu')):
    x = layer(x)
  return keras.Model(inputs, keras.layers.Dense(2, name='dense')(keras.layers.GlobalAveragePooling2D()(x)))


def fit(model):
  model.compile('sgd', 'mse')
  model.fit(images(), np.ones((8, 2)), verbose=0)


def test_original_and_copy_train_apart():
  model = small_model()
  converted = keras3.convert_norm_act(model, 'bn_relu')
  before = converted.predict(images(), verbose=0)
  np.testing.assert_allclose(before, model.predict(images(), verbose=0), rtol=1e-5, atol=1e-6)
  fit(model)
  np.testing.assert_array_equal(converted.predict(images(), verbose=0), before)
  fit(converted)
  assert np.isfinite(model.predict(images(), verbose=0)).all()


@keras.saving.register_keras_serializable('backend_tests')
class Block(keras.layers.Layer):
  """A layer that hides a normalization beside two other layers."""

  def __init__(self, norm=None, **kwargs):
    super().__init__(**kwargs)
    self.dense = keras.layers.Dense(4, name='inner')
    self.others = [keras.layers.Dense(4, name='other')]
    self.norm = norm or keras.layers.BatchNormalization(name='norm')

  def call(self, x, training=None):
    return self.others[0](keras.ops.relu(self.norm(self.dense(x), training=training)))


def test_a_hidden_normalization_is_refused_and_a_registered_block_keeps_its_weights():
  class Registered(Block):
    pass

  with pytest.raises(ValueError, match='hides a batch normalization: .* `evonorm_tf.keras3.register_block`'):
    keras3.plan_conversion(small_model(Block(name='block')))

  @keras3.register_block(Registered)
  def replace(block, norm_act):
    return Registered(norm_act(nonlinearity=False, name=block.norm.name), name=block.name)

  model = small_model(Registered(name='block'))
  converted = keras3.convert_norm_act(model, 'evonorm_b0')
  old, new = model.get_layer('block'), converted.get_layer('block')
  assert isinstance(new.norm, keras3.EvoNormB0)
  for a, e in ((new.dense, old.dense), (new.others[0], old.others[0])):
    np.testing.assert_array_equal(a.get_weights()[0], e.get_weights()[0])


def test_activations_with_different_slopes_are_not_one():
  x = inputs = keras.Input((3,))
  y = keras.layers.BatchNormalization(name='bn')(x)
  outputs = [keras.layers.Activation(functools.partial(keras.ops.leaky_relu, negative_slope=slope))(y)
             for slope in (.1, .5)]
  with pytest.raises(ValueError, match='consumers of different kinds'):
    keras3.plan_conversion(keras.Model(inputs, outputs))


def test_what_is_frozen_stays_frozen():
  @keras.saving.register_keras_serializable('backend_tests')
  class Outer(keras.layers.Layer):
    def __init__(self, **kwargs):
      super().__init__(**kwargs)
      self.inner = keras.layers.Dense(4)

    def call(self, x):
      return self.inner(x)

  model = small_model(Outer(name='outer'), keras.layers.BatchNormalization(name='bn'), keras.layers.ReLU())
  model.get_layer('outer').inner.trainable = False
  model.get_layer('dense').kernel.trainable = False
  converted = keras3.convert_norm_act(model, 'bn_relu')
  assert len(converted.trainable_variables) == len(model.trainable_variables) == 5
  assert not converted.get_layer('outer').inner.trainable and not converted.get_layer('dense').kernel.trainable


def test_a_sequential_model_takes_other_sizes_afterwards():
  model = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.ReLU()])
  model(images())
  converted = keras3.convert_norm_act(model, 'evonorm_s0')
  assert converted(np.zeros((2, 10, 10, 3), 'float32')).shape == (2, 8, 8, 4)


def test_layers_without_a_configuration_are_copied_or_refused_by_name():
  class Nameless(keras.layers.Layer):
    def __init__(self, factor):
      super().__init__(name='nameless')
      self.factor = factor

    def call(self, x):
      return x * self.factor

  twice = keras.layers.Lambda(lambda x: 2. * x, name='twice')
  steep = keras.layers.Activation(lambda x: 3. * x, name='steep')
  model = small_model(keras.layers.BatchNormalization(name='bn'), keras.layers.ReLU(), twice, steep)
  converted = keras3.convert_norm_act(model, 'bn_relu')
  np.testing.assert_allclose(converted.predict(images(), verbose=0), model.predict(images(), verbose=0), rtol=1e-5,
                             atol=1e-6)
  with pytest.raises(ValueError, match=r"Layer 'nameless' \(Nameless\) cannot be copied"):
    keras3.convert_norm_act(small_model(keras.layers.BatchNormalization(), Nameless(2.)), 'bn_relu')


def test_operations_of_the_original_stay_its_own():
  x = inputs = keras.Input((6,))
  y = keras.layers.BatchNormalization(name='bn')(keras.ops.tanh(x))
  model = keras.Model(inputs, keras.ops.relu(y) + 1.)
  nodes = [len(operation._inbound_nodes) for operation in model.operations]
  converted = keras3.convert_norm_act(model, 'bn_relu')
  assert [len(operation._inbound_nodes) for operation in model.operations] == nodes
  x = np.random.default_rng(0).normal(size=(4, 6)).astype('float32')
  np.testing.assert_allclose(keras.ops.convert_to_numpy(converted(x)), keras.ops.convert_to_numpy(model(x)), rtol=1e-5)


@pytest.mark.parametrize('function', [
    keras.ops.relu, keras.ops.hard_silu, *(getattr(keras.activations, name) for name in (
        'relu', 'relu6', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'softplus', 'softsign'))],
                         ids=lambda function: f'{function.__module__}.{function.__name__}')
def test_functions_that_are_called_are_activations(function):
  inputs = keras.Input((6, 6, 3))
  x = function(keras.layers.BatchNormalization(name='bn')(keras.layers.Conv2D(8, 3)(inputs)))
  plan = keras3.plan_conversion(keras.Model(inputs, x))
  assert list(plan.fused) == ['bn'] and not plan.affine and not plan.left
  outputs = function(keras.layers.Conv2D(8, 3)(inputs))
  assert len(keras3.plan_conversion(keras.Model(inputs, outputs)).left) == 1


@pytest.mark.parametrize('option', ['renorm', 'virtual_batch_size'])
def test_another_kind_of_batch_normalization_becomes_none_of_ours(option):
  bn = keras.layers.BatchNormalization(name='bn')
  setattr(bn, option, 2)  # not every release of Keras has it as an argument
  model = keras.Sequential([keras.Input((6,)), bn, keras.layers.ReLU()])
  with pytest.raises(ValueError, match="Layer 'bn' must be a batch normalization without `renorm`"):
    keras3.convert_norm_act(model, 'bn_relu')
  assert keras3.list_norm_acts(keras3.convert_norm_act(model, 'evonorm_s0')) == []


def test_relu6_has_one_name_in_all_its_forms():
  inputs = keras.Input((6, 6, 3))
  for function in (lambda x: keras.activations.relu(x, max_value=6), keras.layers.ReLU(6), keras.ops.relu6):
    found = keras3.list_norm_acts(keras.Model(inputs, function(inputs)))
    assert {norm_act.function for norm_act in found} == {'relu6'}


def test_relus_of_one_normalization_may_have_any_form():
  inputs = keras.Input((6, 6, 3))
  y = keras.layers.BatchNormalization(name='bn')(keras.layers.Conv2D(8, 3)(inputs))
  outputs = [function(y) for function in (keras.activations.relu, keras.ops.relu, keras.layers.ReLU())]
  assert list(keras3.plan_conversion(keras.Model(inputs, outputs)).fused) == ['bn']
  y = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3)(inputs))
  outputs = [keras.ops.relu(y), keras.activations.relu(y, negative_slope=.1)]
  with pytest.raises(ValueError, match='consumers of different kinds'):
    keras3.plan_conversion(keras.Model(inputs, outputs))


def test_a_model_without_normalizations_is_said_to_have_none(caplog):
  keras3.convert_norm_act(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name='plain'), 'evonorm_s0')
  assert 'Model plain has no batch normalization: nothing is replaced.' in caplog.text


@pytest.mark.parametrize('name', ['bn_relu', 'evonorm_b0', 'evonorm_s0'])
def test_a_folded_model_has_the_same_outputs(name):
  model = small_model(keras3.get_norm_act(name, name='norm')(), keras.layers.Conv2D(4, 3, padding='same'),
                      keras3.get_norm_act(name, name='behind')())
  rng = np.random.default_rng(1)
  for weight in model.weights:
    if len(weight.shape) == 1:
      weight.assign(rng.uniform(.5, 1.5, weight.shape))
  folded = keras3.fold_norm_acts(model)
  assert len(folded.get_layer('norm').weights) < len(model.get_layer('norm').weights) or name == 'evonorm_s0'
  assert ('Folded' in type(folded.get_layer('norm')).__name__) == (name != 'bn_relu')
  np.testing.assert_allclose(folded.predict(images(), verbose=0), model.predict(images(), verbose=0), rtol=1e-4,
                             atol=1e-5)
