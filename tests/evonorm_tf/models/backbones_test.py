"""Tests of the backbones in the TensorFlow Model Garden: its classification model, its FPN, its configurations."""
# ruff: noqa: E402  what needs Model Garden is imported after it is known to be there

import dataclasses
import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

pytest.importorskip('official.vision.modeling.factory')

from official.core import exp_factory
from official.vision.configs import image_classification
from official.vision.configs import retinanet
from official.vision.modeling import decoders
from official.vision.modeling import factory
from official.vision.modeling.backbones.factory import build_backbone

from evonorm_tf import build_efficientnet
from evonorm_tf import build_mnasnet_b1
from evonorm_tf import build_mobilenet_v2
from evonorm_tf import build_resnet
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.keras2 import EvoNormB0
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import backbones
from evonorm_tf.models.efficientnet import build_efficientnet_backbone
from evonorm_tf.models.mnasnet import build_mnasnet_b1_backbone
from evonorm_tf.models.mobilenet import build_mobilenet_v2_backbone
from evonorm_tf.models.resnet import build_resnet_backbone

BACKBONE_BUILDERS = {
    'norm_act_resnet': build_resnet_backbone,
    'norm_act_mobilenet_v2': build_mobilenet_v2_backbone,
    'norm_act_mnasnet_b1': build_mnasnet_b1_backbone,
    'norm_act_efficientnet': build_efficientnet_backbone,
}
CLASSIFIER_BUILDERS = {
    'norm_act_resnet': build_resnet,
    'norm_act_mobilenet_v2': build_mobilenet_v2,
    'norm_act_mnasnet_b1': build_mnasnet_b1,
    'norm_act_efficientnet': build_efficientnet,
}
NARROW = {'width_multiplier': 0.25, 'depth_multiplier': 0.25}
TINY = {
    'norm_act_resnet': {'depth': 18, **NARROW},
    'norm_act_mobilenet_v2': {'head_channels': 64, **NARROW},
    'norm_act_mnasnet_b1': {'head_channels': 64, **NARROW},
    'norm_act_efficientnet': {'variant': 'b1', **NARROW},
}
INPUT_SPECS = tf_keras.layers.InputSpec(shape=[None, 64, 64, 3])
every_type = pytest.mark.parametrize('key', TINY)


def config(key, **options):
  result = backbones.Backbone(type=key)
  result.override({key: {**TINY[key], **options}})
  return result


def build(key, regularizer=None, **options):
  return build_backbone(INPUT_SPECS, config(key, **options), None, regularizer)


@functools.cache
def plain(key):
  """A backbone with the defaults of its configuration, for all tests that only look at it."""
  return build(key)


def build_classification_model(backbone, regularizer=None, num_classes=10):
  model_config = image_classification.ImageClassificationModel(
      num_classes=num_classes, input_size=[64, 64, 3], backbone=backbone)
  return factory.build_classification_model(INPUT_SPECS, model_config, regularizer)


def images():
  return np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype('float32')


@every_type
def test_classification_model_is_our_classifier(key):
  expected = CLASSIFIER_BUILDERS[key](get_norm_act('bn_relu'), num_classes=10, input_shape=(64, 64, 3), **TINY[key])
  model = build_classification_model(config(key, norm_act='bn_relu'))
  assert model.count_params() == expected.count_params()
  assert [w.shape for w in model.trainable_weights] == [w.shape for w in expected.trainable_weights]
  model.set_weights(expected.get_weights())
  np.testing.assert_allclose(model(images()), expected(images()), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings('ignore:Input dict contained keys')  # the head's output, which no decoder reads
@every_type
def test_fpn_reads_the_levels(key):
  backbone = plain(key)
  model_config = retinanet.RetinaNet(min_level=3, max_level=6)
  model_config.decoder.fpn.num_filters = 8
  decoder = decoders.factory.build_decoder(backbone.output_specs, model_config)
  assert [decoder.get_layer(f'lateral_{level}').input_shape for level in (3, 4, 5)] == [
      tuple(backbone.output_specs[level]) for level in '345']
  assert {level: x.shape for level, x in decoder(backbone(images())).items()} == {
      level: (2, size, size, 8) for level, size in (('3', 8), ('4', 4), ('5', 2), ('6', 1))}


@every_type
def test_weight_decay_is_that_of_the_kernels(key):
  model = build_classification_model(config(key, norm_act='evonorm_b0'), tf_keras.regularizers.l2(0.1))
  kernels = [v for v in model.trainable_variables if v.name.endswith('/kernel:0')]
  others = {v.name.split('/')[-1] for v in model.trainable_variables} - {'kernel:0'}
  assert others - {'depthwise_kernel:0', 'bias:0'} == {'gamma:0', 'beta:0', 'v1:0'}
  assert len(model.losses) == len(kernels)
  np.testing.assert_allclose(sum(model.losses), sum(0.1 * np.sum(v.numpy()**2.) for v in kernels), rtol=1e-5)
  with tf.GradientTape() as tape:
    loss = tf.add_n(model.losses)
  reached = [v.name for v, g in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables))
             if g is not None]
  assert reached == [v.name for v in kernels]


def test_weight_decay_is_in_the_layers_configurations():
  backbone = build('norm_act_efficientnet', tf_keras.regularizers.l2(0.1))
  copy = tf_keras.models.clone_model(backbone)
  copy.set_weights(backbone.get_weights())
  assert len(copy.losses) == len(backbone.losses) > 0
  np.testing.assert_allclose(copy.losses, backbone.losses, rtol=1e-6)
  assert not plain('norm_act_efficientnet').losses


@every_type
def test_fields_are_the_arguments_of_the_builder(key):
  fields = backbones.Backbone(type=key).get().as_dict()
  parameters = inspect.signature(BACKBONE_BUILDERS[key]).parameters
  defaults = {name: p.default for name, p in parameters.items() if name not in ('norm_act', 'input_shape')}
  assert fields == {'norm_act': 'evonorm_s0', 'norm_act_options': {}, **defaults}
  assert plain(key).name.startswith(key.removeprefix('norm_act_'))


def test_norm_act_with_options():
  backbone = build('norm_act_resnet', norm_act='evonorm_b0', norm_act_options={'momentum': 0.5, 'synchronized': True})
  layers = [layer for layer in backbone.layers if 'norm_act' in layer.name]
  assert len(layers) == 9
  assert all(isinstance(layer, EvoNormB0) and layer.momentum == 0.5 and layer.synchronized for layer in layers)


def test_norm_act_from_a_file(tmp_path):
  graph = LayerGraph((Node('tanh', (0,)),))
  graph.save(tmp_path / 'layer.json')
  backbone = build('norm_act_mnasnet_b1', norm_act=str(tmp_path / 'layer.json'))
  layers = [layer for layer in backbone.layers if 'norm_act' in layer.name]
  assert all(isinstance(layer, GraphLayer) and layer.graph == graph for layer in layers)


def test_wrong_options():
  with pytest.raises(ValueError, match='`spec` must be one of .*received \'evonorm_s9\''):
    build('norm_act_resnet', norm_act='evonorm_s9')
  with pytest.raises(TypeError, match='momentun'):
    build('norm_act_resnet', norm_act='evonorm_b0', norm_act_options={'momentun': 0.5})
  with pytest.raises(KeyError, match='dept'):
    config('norm_act_resnet', dept=50)


def test_experiment_takes_the_backbone_and_overrides():
  experiment = exp_factory.get_exp_config('resnet_imagenet')
  experiment.task.model.backbone = backbones.Backbone(type='norm_act_resnet')
  for options in ({'groups': 4}, {'epsilon': 0.1}):
    experiment.override({'task': {'model': {'backbone': {'norm_act_resnet': {'norm_act_options': options}}}}})
  experiment.lock()
  found = experiment.task.model.backbone
  assert isinstance(found, backbones.Backbone)
  assert found.as_dict()['norm_act_resnet']['norm_act_options'] == {'groups': 4, 'epsilon': 0.1}
  assert backbones.Backbone(found.as_dict()) == found


def test_model_gardens_own_backbones_remain():
  assert {f.name for f in dataclasses.fields(backbones.Backbone)} > {'type', 'resnet', 'efficientnet', 'spinenet'}
  norm_activation = image_classification.ImageClassificationModel().norm_activation
  resnet = backbones.Backbone(type='resnet')
  resnet.resnet.model_id = 10
  assert 'Vision' in tf_keras.utils.get_registered_name(type(build_backbone(INPUT_SPECS, resnet, norm_activation)))
