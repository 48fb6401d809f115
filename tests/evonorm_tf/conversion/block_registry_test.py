"""The converter's registry: blocks and assemblies that a user registers, before and after their first call."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf.conversion import block_registry
from evonorm_tf.conversion import model_garden_blocks  # noqa: F401  # fills the registry before it is copied
from evonorm_tf.layers.baselines import BatchNormAct
from tests.evonorm_tf.comparison import assert_same_outputs
from tests.evonorm_tf.comparison import images
from tests.evonorm_tf.comparison import randomize

layers = tf_keras.layers


class Block(layers.Layer):
  """Two convolutions, each with a normalization and an activation; a scale whose `build` does not say that it ran."""

  def build(self, input_shape):
    self.convs = [[layers.Conv2D(4, 1), layers.BatchNormalization()] for _ in range(2)]
    self.activation = layers.ReLU()
    self.scale = Scale()

  def call(self, inputs, training=None):
    for conv, norm in self.convs:
      inputs = self.activation(norm(conv(inputs), training=training))
    return self.scale(inputs)


class Scale(layers.Layer):

  def build(self, input_shape):
    self.factor = self.add_weight('factor', shape=input_shape[-1:], initializer='ones')

  def call(self, inputs):
    return inputs * self.factor


class ShapedBlock(layers.Layer):
  """Its `build` needs the shape of the input."""

  def build(self, input_shape):
    self.conv, self.norm = layers.Conv2D(input_shape[-1], 1), layers.BatchNormalization()

  def call(self, inputs):
    return self.norm(self.conv(inputs))


class Assembly(layers.Layer):
  """A functional model and a block, called one after the other."""

  def __init__(self, stem, block, **kwargs):
    super().__init__(**kwargs)
    self.stem, self.block = stem, block

  def call(self, inputs):
    return self.block(self.stem(inputs))


@pytest.fixture(autouse=True)
def registrations(monkeypatch):
  """Registers the classes for the time of a test."""
  monkeypatch.setattr(block_registry, '_BLOCKS', dict(block_registry._BLOCKS))
  monkeypatch.setattr(block_registry, '_ASSEMBLIES', dict(block_registry._ASSEMBLIES))
  evonorm_tf.register_block(Block)(
      lambda block, norm_act: evonorm_tf.swap_norms(block, norm_act, {'convs': 'activation'}))
  evonorm_tf.register_block(ShapedBlock)(
      lambda block, norm_act: evonorm_tf.swap_norms(block, norm_act, affine=('norm',)))
  evonorm_tf.register_assembly(Assembly)(
      lambda layer, convert: Assembly(convert(layer.stem), convert(layer.block), name=layer.name))


def block_model():
  inputs = tf_keras.Input((8, 8, 3))
  model = tf_keras.Model(inputs, Block(name='block')(inputs))
  randomize(model)
  return model


def test_registered_block():
  model = block_model()
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  assert evonorm_tf.plan_conversion(model).blocks == ('block',)
  assert isinstance(converted.get_layer('block').convs[1][1], BatchNormAct)
  assert evonorm_tf.list_norm_acts(converted) == []
  assert_same_outputs(model, converted, images())


def test_block_that_was_not_called():
  block = Block(name='block')
  assert evonorm_tf.plan_conversion(block).blocks == ('block',)
  converted = evonorm_tf.convert_norm_act(block, 'evonorm_s0')
  converted(images())
  assert evonorm_tf.list_norm_acts(converted) == [] and not block.built
  with pytest.raises(ValueError, match=r"Layer 'shaped' \(ShapedBlock\) must be called before it is converted"):
    evonorm_tf.convert_norm_act(ShapedBlock(name='shaped'), 'evonorm_s0')


def test_trainable_and_dtype_of_parts_are_kept():
  policy = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    model = block_model()
  finally:
    tf_keras.mixed_precision.set_global_policy(policy)
  block = model.get_layer('block')
  block.trainable = False
  block.convs[0][0].trainable = True
  converted = evonorm_tf.convert_norm_act(model, 'evonorm_s0')
  assert converted.output.dtype == model.output.dtype == tf.bfloat16
  replacement = converted.get_layer('block')
  assert [layer.trainable for layer in (replacement, replacement.scale, *replacement.convs[0], *replacement.convs[1])
          ] == [False, False, True, False, False, False]
  assert replacement.convs[0][0].compute_dtype == 'bfloat16'
  block.trainable = True
  assert not replacement.trainable and not converted.trainable_weights


def test_assembly():
  inputs = tf_keras.Input((8, 8, 3))
  stem = layers.ReLU(name='relu')(layers.BatchNormalization(name='bn')(layers.Conv2D(4, 1)(inputs)))
  assembly = Assembly(tf_keras.Model(inputs, stem, name='stem'), Block(name='block'), name='assembly')
  outer = tf_keras.Model(inputs, assembly(inputs))
  randomize(outer)
  plan = evonorm_tf.plan_conversion(assembly)
  assert (plan.fused, plan.blocks) == ({'stem/bn': ('stem/relu',)}, ('block',))
  assert evonorm_tf.plan_conversion(outer).blocks == ('assembly/block',)
  for model in (assembly, outer):
    converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
    assert evonorm_tf.list_norm_acts(converted) == []
    assert_same_outputs(model, converted, images())


def test_bad_replacements_are_refused():
  model = block_model()
  evonorm_tf.register_block(Block)(lambda block, norm_act: block)
  with pytest.raises(ValueError, match=r"replacement of 'block' \(Block\) still has a batch normalization"):
    evonorm_tf.convert_norm_act(model, 'bn_relu')
  evonorm_tf.register_block(Block)(lambda block, norm_act: layers.ReLU(name='other'))
  with pytest.raises(ValueError, match=r"replacement of 'block' \(Block\) must keep its name, received 'other'"):
    evonorm_tf.convert_norm_act(model, 'bn_relu')


@pytest.mark.parametrize('file', ['model.weights.h5', 'model.h5', 'model'])
def test_weights_in_lists_of_lists_are_saved(tmp_path, file):
  # tf_keras by itself leaves such out of a .weights.h5 file.
  saved, loaded = (evonorm_tf.convert_norm_act(block_model(), 'evonorm_b0') for _ in range(2))
  rng = np.random.default_rng(2)
  saved.set_weights([rng.uniform(.5, 1.5, weight.shape) for weight in saved.weights])
  saved.save_weights(str(tmp_path / file))
  loaded.load_weights(str(tmp_path / file))
  assert len(saved.weights) == 4 + 8 + 1
  for weight, other in zip(saved.get_weights(), loaded.get_weights(), strict=True):
    np.testing.assert_array_equal(weight, other)
