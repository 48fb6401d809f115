"""Mask R-CNN with norm-activation layers: defaults, what is exchanged, weight decay, checkpoints, sizes."""

import dataclasses
import re

import gin
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

pytest.importorskip('official.vision.tasks.maskrcnn')

from official.core import exp_factory
from official.vision.configs import maskrcnn as maskrcnn_config
from official.vision.tasks import maskrcnn

from detection import models
import evonorm_tf
from evonorm_tf.conversion.replacement import carry_weights
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.baselines import BatchNormAct
from evonorm_tf.layers.keras2 import EvoNormB0
from evonorm_tf.layers.keras2 import EvoNormS0
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.keras2 import NormActLayer
from tests.detection import tiny_models
from tests.detection.tiny_models import build
from tests.detection.tiny_models import call
from tests.detection.tiny_models import DECAY

pytestmark = pytest.mark.usefixtures('suppression_traced_once')


def build_stock(family):
  """The same network by Model Garden alone."""
  tf_keras.utils.set_random_seed(0)
  config = maskrcnn_config.MaskRCNNTask(
      model=family.config(tiny_models.CLASSES, tiny_models.SIZE),
      losses=maskrcnn_config.Losses(l2_weight_decay=DECAY))
  return maskrcnn.MaskRCNNTask(config).build_model()


def parts_of(model):
  """Name -> backbone, decoder or head; None where the model has none. It has its only box head in a list."""
  return {'box_head': model.detection_head[0], **{name: getattr(model, name) for name in (
      'backbone', 'decoder', 'rpn_head', 'mask_head')}}


def weighted_layers(part):
  """The layers with weights in the order in which Model Garden made them, which their names number."""
  def number(layer):
    base, digits = re.fullmatch(r'(.*?)(\d*)', layer.name).groups()
    return base, int(digits or 0)
  return sorted((layer for layer in part.layers if layer.weights), key=number)


def copy_telling_weights(stock, model):
  """Gives both models the same weights; γ, β and moving statistics are far from their initial values."""
  rng = np.random.default_rng(1)
  stock.set_weights([rng.uniform(.5, 1.5, w.shape) if len(w.shape) == 1 else w for w in stock.get_weights()])
  for part, copy in zip(parts_of(stock).values(), parts_of(model).values()):
    if isinstance(part, tf_keras.Model):
      for pair in zip(weighted_layers(part), weighted_layers(copy)):
        carry_weights(*pair)
    elif part:
      carry_weights(part, copy)


def assert_same_model(stock, model, modes=(True, False)):
  for training in modes:  # in inference with the statistics that the training has moved
    expected, received = call(stock, training), call(model, training)
    tf.nest.map_structure(np.testing.assert_array_equal, expected, received)
    assert np.ptp(expected['class_outputs']) > .1
  np.testing.assert_allclose(sum(stock.losses), sum(model.losses), rtol=1e-6)
  assert len(stock.losses) == len(model.losses)
  assert trainable_parameters(model) == trainable_parameters(stock)


def layers_of(part):
  return [layer for layer in part._flatten_layers() if isinstance(layer, (NormActLayer, BatchNormAct))]


def trainable_parameters(model):
  return sum(weight.shape.num_elements() for weight in model.trainable_weights)


@pytest.fixture(scope='module', name='stock')
def fixture_stock():
  return build_stock(tiny_models.RESNET)


@pytest.fixture(scope='module', name='resnet')
def fixture_resnet():
  return build(tiny_models.RESNET, 'evonorm_s0')


@pytest.fixture(scope='module', name='pre_activation')
def fixture_pre_activation():
  return build(tiny_models.PRE_ACTIVATION, 'evonorm_b0')


@pytest.fixture(scope='module', name='mobilenet')
def fixture_mobilenet(tmp_path_factory):
  path = tmp_path_factory.mktemp('graph') / 'layer.json'
  LayerGraph((Node('tanh', (0,)),)).save(path)
  return build(tiny_models.MOBILENET, path)


@pytest.mark.parametrize('family, experiment, size', [
    (models.ResNetFpn(), 'maskrcnn_resnetfpn_coco', 1024),
    (models.SpineNet('49'), 'maskrcnn_spinenet_coco', 640),
    (models.MobileNetV2Fpn(), 'maskrcnn_mobilenet_coco', 512)])
def test_defaults_are_model_gardens(family, experiment, size):
  config, expected = family.config(91, size), exp_factory.get_exp_config(experiment).task.model
  if not isinstance(family, models.MobileNetV2Fpn):
    assert config.backbone.type == expected.backbone.type
    assert config.backbone.get().as_dict() == expected.backbone.get().as_dict()
  expected.norm_activation.activation = 'relu'  # Model Garden's MobileNet has ReLU6
  expected.backbone = config.backbone
  assert config.as_dict() == {**expected.as_dict(), 'recompute': False}


def test_every_option_is_in_the_configuration():
  """Each field, changed alone, changes the configuration."""
  for family in (models.ResNetFpn, models.PreActivationResNetFpn, models.SpineNet, models.MobileNetV2Fpn):
    expected = family().config(3, 1024).as_dict()
    for field in dataclasses.fields(family):
      value = '49' if field.name == 'variant' else not field.default if field.type is bool else field.default + 1
      assert family(**{field.name: value}).config(3, 1024).as_dict() != expected, field.name


def test_gin_configures_a_family():
  text = ('from __gin__ import dynamic_registration\nfrom detection import models\n'
          "models.SpineNet.variant = '143'\nmodels.SpineNet.mask_filters = 8\n")
  with gin.unlock_config():
    gin.parse_config(text)
  try:
    config = gin.get_configurable(models.SpineNet)().config(4, 256)
  finally:
    gin.clear_config()
  assert (config.backbone.spinenet.model_id, config.mask_head.num_filters, config.max_level) == ('143', 8, 7)


@pytest.mark.parametrize('modes', [(True,), pytest.param((True, False), marks=pytest.mark.slow)])
def test_bn_relu_is_model_gardens_own_network(modes):
  """Bit by bit without synchronized statistics, of which Keras's own layer takes another formula for the variance."""
  family = dataclasses.replace(tiny_models.RESNET, synchronized=False)
  stock, config = build_stock(family), family.config(tiny_models.CLASSES, tiny_models.SIZE)
  before = config.as_dict()
  model = models.build_mask_rcnn(config, 'bn_relu', l2_weight_decay=DECAY)
  assert config.as_dict() == before
  copy_telling_weights(stock, model)
  assert_same_model(stock, model, modes)


@pytest.mark.slow
def test_stock_model_built_afterwards_is_untouched(stock, resnet, pre_activation):
  del resnet, pre_activation  # built
  after = build_stock(tiny_models.RESNET)
  assert [type(layer) for layer in stock._flatten_layers()] == [type(layer) for layer in after._flatten_layers()]
  assert not layers_of(after)
  after.set_weights(stock.get_weights())
  for training in (True, False):
    tf.nest.map_structure(np.testing.assert_array_equal, call(stock, training), call(after, training))


@pytest.mark.parametrize('name, layer_class, sums', [
    ('resnet', EvoNormS0, 4), ('pre_activation', EvoNormB0, 0), ('mobilenet', GraphLayer, 0)])
def test_layer_is_everywhere_and_nothing_else(name, layer_class, sums, request):
  model = request.getfixturevalue(name)
  left = evonorm_tf.list_norm_acts(model)
  # Behind the sum of a post-activation block no normalization stands in front of the ReLU.
  assert [found.path.rpartition('/')[-1] for found in left] == ['_last_activation'] * sums
  for name, part in parts_of(model).items():
    assert {type(layer) for layer in layers_of(part)} == {layer_class}, name
    assert any(layer.nonlinearity for layer in layers_of(part)) == (name != 'decoder'), name
  assert np.isfinite(call(model, training=False)['detection_scores']).all()


def test_every_weight_is_trained(mobilenet):
  with tf.GradientTape() as tape:
    outputs = call(mobilenet, training=True)
    names = 'rpn_boxes', 'rpn_scores', 'class_outputs', 'box_outputs', 'mask_outputs'
    loss = sum(tf.reduce_sum(tf.square(x)) for name in names for x in tf.nest.flatten(outputs[name]))
  gradients = tape.gradient(loss, mobilenet.trainable_weights)
  assert [w.name for w, gradient in zip(mobilenet.trainable_weights, gradients) if gradient is None] == []


@pytest.mark.parametrize('name', ['resnet', 'pre_activation', 'mobilenet'])
def test_weight_decay_is_that_of_the_kernels(name, request):
  model = request.getfixturevalue(name)
  kernels = {w.name: w for w in model.trainable_weights if w.name.endswith('/kernel:0')}
  if name == 'mobilenet':  # Model Garden hands the decay of separable convolutions to these two heads alone
    kernels |= {w.name: w for head in (model.detection_head[0], model.mask_head) for w in head.trainable_weights
                if w.name.endswith('wise_kernel:0')}
  with tf.GradientTape() as tape:
    loss = tf.add_n(model.losses)
  gradients = tape.gradient(loss, model.trainable_weights)
  assert [w.name for w, g in zip(model.trainable_weights, gradients) if g is not None] == [
      w.name for w in model.trainable_weights if w.name in kernels]
  assert len(model.losses) == len(kernels)
  expected = DECAY / 2 * sum(np.sum(w.numpy().astype(np.float64)**2) for w in kernels.values())
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_options(pre_activation):
  """Statistics are synchronized as Model Garden's are, of which it forgets those of the mask head."""
  for name, part in parts_of(pre_activation).items():
    assert {layer.synchronized for layer in layers_of(part)} == {name != 'mask_head'}, name
  family = dataclasses.replace(tiny_models.PRE_ACTIVATION, synchronized=False)
  model = build(family, 'bn_relu', norm_act_options={'momentum': .5})
  assert {(layer.synchronized, layer.momentum) for layer in layers_of(model)} == {(False, .5)}


def test_dense_layer_of_the_box_head_normalizes_over_the_rois_of_an_image(resnet):
  rois = np.random.default_rng(0).normal(size=(2, 6, 7, 7, 16)).astype(np.float32)
  expected = resnet.detection_head[0](rois)[0]
  rois[0, 5] *= 2.
  changed = np.abs(resnet.detection_head[0](rois)[0] - expected).max(-1)
  assert changed[0].min() > 1e-6 and not changed[1].any()


def test_checkpoint_restores_every_tensor(pre_activation, tmp_path):
  rng = np.random.default_rng(2)
  pre_activation.set_weights([rng.uniform(.5, 1.5, w.shape) for w in pre_activation.get_weights()])
  path = tf.train.Checkpoint(model=pre_activation, **pre_activation.checkpoint_items).write(str(tmp_path / 'ckpt'))
  assert len(tf.train.list_variables(path)) == len(pre_activation.weights) + 1  # and the object graph
  other = build(tiny_models.PRE_ACTIVATION, 'evonorm_b0', seed=1)
  names = [w.name for w in other.weights]
  tf.train.Checkpoint(model=other, **other.checkpoint_items).read(path).assert_consumed()
  assert [w.name for w in other.weights] == names  # none is made later
  for weight, restored in zip(pre_activation.weights, other.weights):
    np.testing.assert_array_equal(weight, restored, err_msg=weight.name)


def test_errors():
  with pytest.raises(ValueError, match='`image_size` must be a multiple of 128, .* received 192'):
    models.SpineNet().config(91, 192)
  with pytest.raises(ValueError, match='`num_classes` must be 2 at least, .* received 1'):
    models.ResNetFpn().config(1, 1024)
  with pytest.raises(ValueError, match='SpineNet-7 is not a valid architecture'):
    models.build_mask_rcnn(models.SpineNet('7').config(91, 128), 'bn_relu')
  with pytest.raises(ValueError, match="received 'evonorm_s9'"):
    models.build_mask_rcnn(models.ResNetFpn().config(91, 1024), 'evonorm_s9')
  with pytest.raises(TypeError, match='grups'):
    models.build_mask_rcnn(models.ResNetFpn().config(91, 1024), 'evonorm_s0', {'grups': 8})


@pytest.mark.slow
def test_spinenet_in_bn_relu_is_model_gardens_own_network():
  family = models.SpineNet('49S', synchronized=False, **tiny_models.THIN)
  stock, model = build_stock(family), build(family, 'bn_relu')
  copy_telling_weights(stock, model)
  assert_same_model(stock, model)
  # What is left are the ReLUs behind the sums: within blocks, and where blocks are merged.
  left = [re.sub(r'\d+$', '', found.path.rpartition('/')[-1]) for found in evonorm_tf.list_norm_acts(model)]
  merging = [layer for layer in stock.backbone.layers if layer.name.startswith('tf.nn.relu') and not isinstance(
      layer.inbound_nodes[0].inbound_layers, tf_keras.layers.BatchNormalization)]
  assert left.count('tf.nn.relu_') == len(merging) > 10
  assert set(left) == {'_last_activation', 'activation_', 'tf.nn.relu_'}


@pytest.mark.slow
@pytest.mark.parametrize('family, parameters, layers', [
    (models.ResNetFpn(50), 46_367_089, 73), (models.SpineNet('96'), 55_185_009, 192)])
def test_number_of_parameters(family, parameters, layers):
  """Model Garden's own numbers with batch normalization, of COCO; v1 comes on top, one a channel of a fused layer."""
  config = family.config(91, 1024)
  model = models.build_mask_rcnn(config, 'bn_relu')
  assert trainable_parameters(model) == parameters
  assert len(layers_of(model)) == layers
  fused = sum(layer.gamma.shape[0] for layer in layers_of(model) if layer.nonlinearity)
  del model
  model = models.build_mask_rcnn(config, 'evonorm_s0')
  assert trainable_parameters(model) == parameters + fused
