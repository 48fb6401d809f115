"""Tests of backbones: levels of each family, the layers of the endpoints, saving, the classifier on top."""

import functools

import numpy as np
import pytest
import tf_keras

from evonorm_tf.models import backbone_model
from evonorm_tf.models import efficientnet
from evonorm_tf.models import endpoints
from evonorm_tf.models import mnasnet
from evonorm_tf.models import mobilenet
from evonorm_tf.models import resnet

NARROW = {'width_multiplier': 0.25, 'depth_multiplier': 0.25}
BACKBONES = {
    'resnet18': functools.partial(resnet.build_resnet_backbone, depth=18, **NARROW),
    'resnet50': functools.partial(resnet.build_resnet_backbone, **NARROW),
    'mobilenet_v2': functools.partial(mobilenet.build_mobilenet_v2_backbone, head_channels=64, **NARROW),
    'mnasnet_b1': functools.partial(mnasnet.build_mnasnet_b1_backbone, head_channels=64, **NARROW),
    'efficientnet_b0': functools.partial(efficientnet.build_efficientnet_backbone, **NARROW),
}
CHANNELS = {  # of the levels '1' to '5', and of `FEATURES`
    'resnet18': (None, 16, 32, 64, 128, None),
    'resnet50': (None, 64, 128, 256, 512, None),
    'mobilenet_v2': (8, 8, 8, 24, 80, 64),
    'mnasnet_b1': (8, 8, 16, 24, 80, 64),
    'efficientnet_b0': (8, 8, 16, 32, 80, 320),
}


def activation(nonlinearity=True, name=None):
  return tf_keras.layers.Activation('relu' if nonlinearity else 'linear', name=name)


def build(name, **options):
  return BACKBONES[name](activation, **{'input_shape': (64, 64, 3), **options})


def images(*shape):
  return np.random.default_rng(0).normal(size=shape).astype('float32')


@pytest.mark.parametrize('name', BACKBONES)
def test_endpoints_by_level(name):
  *channels, features = CHANNELS[name]
  levels = {str(level): (None, 64 // 2**level, 64 // 2**level, c) for level, c in enumerate(channels, 1) if c}
  backbone = build(name)
  assert {level: tuple(shape) for level, shape in backbone.output_specs.items()} == levels
  outputs = {level: (2, *shape[1:]) for level, shape in levels.items()}
  if features:
    outputs[endpoints.FEATURES] = (2, 2, 2, features)
  assert {level: x.shape for level, x in backbone(images(2, 64, 64, 3)).items()} == outputs
  assert backbone.name == name


@pytest.mark.parametrize('name', BACKBONES)
def test_sizes_are_rounded_up(name):
  backbone = build(name, input_shape=(None, None, 3))
  assert all(shape[1:3] == [None, None] for shape in backbone.output_specs.values())
  for level, x in backbone(images(1, 65, 33, 3)).items():
    stride = 2**int(level) if level != endpoints.FEATURES else 32
    assert x.shape[1:3] == (-(-65 // stride), -(-33 // stride))


@pytest.mark.parametrize('name', BACKBONES)
def test_levels_of_small_images_begin_without_a_stride(name):
  backbone = build(name, small_images=True, input_shape=(32, 32, 3))
  assert {level: shape[1] for level, shape in backbone.output_specs.items()} == {'0': 32, '1': 16, '2': 8, '3': 4}


@pytest.mark.parametrize('name, blocks', [('resnet18', (1, 1, 1, 1)), ('resnet50', (1, 1, 2, 1))])
def test_endpoints_of_a_resnet_are_the_norm_acts_that_read_the_stages(name, blocks):
  backbone = build(name)
  norm_acts = ['stage2_block1_norm_act1', 'stage3_block1_norm_act1', 'stage4_block1_norm_act1', 'final_norm_act']
  assert [x.node.layer.name for x in backbone.output.values()] == norm_acts
  assert [backbone.get_layer(layer).input.node.layer.name for layer in norm_acts] == [
      f'stage{stage}_block{last}_add' for stage, last in enumerate(blocks, 1)]


@pytest.mark.parametrize('name', ['mobilenet_v2', 'mnasnet_b1', 'efficientnet_b0'])
def test_last_level_is_in_front_of_the_head(name):
  backbone = build(name)
  assert backbone.output['5'].node.layer.name == 'stage7_block1_project_norm'
  assert backbone.get_layer('head_conv').input is backbone.output['5']
  assert backbone.output[endpoints.FEATURES].node.layer.name == 'head_norm_act'


@pytest.mark.parametrize('name', BACKBONES)
def test_classifier_pools_the_greatest_key_and_has_the_layers_of_the_backbone(name):
  model = endpoints.build_classifier(BACKBONES[name], 7, 0.5, norm_act=activation, input_shape=(64, 64, 3))
  last = 'final_norm_act' if name.startswith('resnet') else 'head_norm_act'
  assert model.get_layer('pool').input is model.get_layer(last).output
  backbone = build(name)
  assert [layer.name for layer in model.layers] == [
      *(layer.name for layer in backbone.layers), 'pool', 'dropout', 'logits']
  assert (model.name, model.output_shape, model.get_layer('dropout').rate) == (name, (None, 7), 0.5)


def test_without_dropout_there_is_no_layer():
  model = endpoints.build_classifier(BACKBONES['resnet18'], 7, norm_act=activation)
  assert not any(isinstance(layer, tf_keras.layers.Dropout) for layer in model.layers)


def test_wrong_arguments_fail_before_anything_is_built():
  for arguments, message in (((0,), '`num_classes` must be positive, received 0.'),
                             ((7, 1.), '`dropout` must be at least 0 and below 1, received 1.0.')):
    with pytest.raises(ValueError, match=message):
      endpoints.build_classifier(None, *arguments)


@pytest.mark.parametrize('name', ['resnet18', 'mnasnet_b1'])
def test_saved_backbone_keeps_its_specs_and_outputs(name, tmp_path):
  backbone = build(name)
  backbone.save(tmp_path / 'backbone.keras')
  loaded = tf_keras.models.load_model(tmp_path / 'backbone.keras')
  assert isinstance(loaded, backbone_model.BackboneModel) and loaded.output_specs == backbone.output_specs
  x = images(2, 64, 64, 3)
  for level, expected in backbone(x).items():
    np.testing.assert_array_equal(loaded(x)[level], expected)
