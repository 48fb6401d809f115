"""Backbones of detectors from checkpoints of classifiers: every value, and what is refused."""

import io
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

pytest.importorskip('official.vision.modeling.factory')

from official.vision.configs import common
from official.vision.configs import image_classification
from official.vision.modeling import factory
from official.vision.modeling.backbones.factory import build_backbone
from rich.console import Console

from detection.pretrained import initialize_backbone
import evonorm_tf
from evonorm_tf.classification import trainer as classification
from evonorm_tf.models import backbones
from evonorm_tf.training.optimization import Optimization
from tests.detection import tiny_models
from tests.evonorm_tf.tiny_training import TinyData

pytestmark = pytest.mark.usefixtures('suppression_traced_once')
PRE_ACTIVATION = backbones.ResNet(depth=18, width_multiplier=.25, depth_multiplier=.5)
MOBILENET = backbones.MobileNetV2(width_multiplier=.25, depth_multiplier=.25)


def train(model_dir, norm_act):
  """Two steps, averaged."""
  classification.run_classification(
      str(model_dir), 'train', norm_act, PRE_ACTIVATION, TinyData(train_images=20, validation_images=20),
      Optimization(.1, options={'momentum': .9}, ema_decay=.5), batch_size=10, epochs=1,
      console=Console(file=io.StringIO()), norm_act_options={'jit_compile': False})


def save(folder, backbone):
  """Gives the backbone telling weights and saves it as a trainer does."""
  rng = np.random.default_rng(0)
  backbone.set_weights([rng.uniform(.5, 1.5, w.shape) for w in backbone.weights])
  tf.train.CheckpointManager(tf.train.Checkpoint(backbone=backbone), str(folder), max_to_keep=1).save()


def build_ours(backbone, norm_act):
  return build_backbone(
      tf_keras.layers.InputSpec(shape=[None, 32, 32, 3]), backbones.make_config(backbone, norm_act, {}), None)


def build_post_activation():
  config = backbones.Backbone(type='resnet')
  config.resnet.model_id = 10
  return build_backbone(tf_keras.layers.InputSpec(shape=[None, 32, 32, 3]), config, common.NormActivation())


def detector(backbone):
  """What `initialize_backbone` sees of a detector."""
  return types.SimpleNamespace(backbone=backbone)


@pytest.fixture(scope='module', name='model_dir')
def fixture_model_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('classifier')
  train(folder, 'evonorm_b0')
  return folder


def test_a_trained_classifier(model_dir):
  config = image_classification.ImageClassificationModel(
      num_classes=10, input_size=[32, 32, 3], backbone=backbones.make_config(PRE_ACTIVATION, 'evonorm_b0', {}))
  classifier = factory.build_classification_model(tf_keras.layers.InputSpec(shape=[None, 32, 32, 3]), config)
  path = tf.train.latest_checkpoint(str(model_dir))
  tf.train.Checkpoint(model=classifier).restore(path).expect_partial().assert_existing_objects_matched()
  expected = {weight.name: weight for weight in classifier.backbone.weights}
  model = tiny_models.build(tiny_models.PRE_ACTIVATION, 'evonorm_b0', seed=1)
  others = [w.numpy() for part in (model.decoder, model.rpn_head) for w in part.weights]
  assert initialize_backbone(model, model_dir) == path
  assert len(model.backbone.weights) == len(expected) > 40
  for weight in model.backbone.weights:
    np.testing.assert_array_equal(weight, expected[weight.name], err_msg=weight.name)
  for weight, other in zip((w for part in (model.decoder, model.rpn_head) for w in part.weights), others):
    np.testing.assert_array_equal(weight, other)


def test_weights_and_not_their_averages_are_read(model_dir):
  reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(model_dir)))
  kernel = 'backbone/layer_with_weights-0/kernel/'
  average = reader.get_tensor(f'{kernel}.OPTIMIZER_SLOT/optimizer/average/.ATTRIBUTES/VARIABLE_VALUE')
  backbone = build_ours(PRE_ACTIVATION, 'evonorm_b0')
  initialize_backbone(detector(backbone), model_dir)
  np.testing.assert_array_equal(backbone.weights[0], reader.get_tensor(f'{kernel}.ATTRIBUTES/VARIABLE_VALUE'))
  assert np.abs(backbone.weights[0] - average).max() > 1e-6


@pytest.mark.slow
def test_head_convolution_is_left_out(tmp_path):
  trained = build_ours(MOBILENET, 'evonorm_s0')
  save(tmp_path, trained)
  model = tiny_models.build(tiny_models.MOBILENET, 'evonorm_s0')
  initialize_backbone(model, tmp_path)
  expected = {weight.name: weight for weight in trained.weights}
  assert expected.keys() - {w.name for w in model.backbone.weights} == {
      'head_conv/kernel:0', *(f'head_norm_act/{name}:0' for name in ('gamma', 'beta', 'v1'))}
  for weight in model.backbone.weights:
    np.testing.assert_array_equal(weight, expected[weight.name], err_msg=weight.name)


@pytest.mark.slow
def test_backbone_of_model_garden_converted_alike(tmp_path):
  trained = evonorm_tf.convert_norm_act(build_post_activation(), 'evonorm_b0')
  save(tmp_path, trained)
  model = tiny_models.build(tiny_models.RESNET, 'evonorm_b0')
  initialize_backbone(model, tmp_path)
  assert len(trained.weights) == len(model.backbone.weights) > 40
  for weight, restored in zip(trained.weights, model.backbone.weights):
    np.testing.assert_array_equal(weight, restored, err_msg=weight.name)


def test_folder_of_the_best_checkpoint_is_compared_with_the_trainings_records(model_dir, tmp_path):
  save(tmp_path / 'best', build_ours(PRE_ACTIVATION, 'evonorm_s1'))
  (tmp_path / 'model_settings.json').write_bytes((model_dir / 'model_settings.json').read_bytes())
  with pytest.raises(ValueError, match=r"trained with the layer \('EvoNormB0', .* has \('EvoNormS1', "):
    initialize_backbone(detector(build_ours(PRE_ACTIVATION, 'evonorm_s1')), tmp_path / 'best')


def test_what_is_refused(model_dir, tmp_path):
  with pytest.raises(ValueError, match='`checkpoint_folder` must hold a classifier.s checkpoint'):
    initialize_backbone(detector(build_ours(PRE_ACTIVATION, 'evonorm_b0')), tmp_path)
  with pytest.raises(ValueError, match=r"trained with the layer \('EvoNormB0', .* has \('EvoNormB1', "):
    initialize_backbone(detector(build_ours(PRE_ACTIVATION, 'evonorm_b1')), model_dir)
  wider = backbones.ResNet(depth=18, width_multiplier=.5, depth_multiplier=.5)
  with pytest.raises(ValueError, match='is of another backbone'):
    initialize_backbone(detector(build_ours(wider, 'evonorm_b0')), model_dir)
  save(tmp_path, build_ours(PRE_ACTIVATION, 'evonorm_b0'))
  with pytest.raises(ValueError, match="it has 4 variables for layer '.*norm_act1', which has 3"):
    initialize_backbone(detector(build_ours(PRE_ACTIVATION, 'evonorm_s0')), tmp_path)
  deeper = backbones.ResNet(depth=18, width_multiplier=.25)
  with pytest.raises(ValueError, match='is of another backbone'):
    initialize_backbone(detector(build_ours(deeper, 'evonorm_b0')), tmp_path)


def test_checkpoint_of_a_deeper_backbone_is_refused(model_dir):
  backbone = build_ours(PRE_ACTIVATION, 'evonorm_b0')
  without_last_stage = tf_keras.Model(backbone.input, {level: backbone.output[level] for level in '234'})
  with pytest.raises(ValueError, match='it has 22 layers with weights, .* has 17'):
    initialize_backbone(detector(without_last_stage), model_dir)


def test_stock_checkpoint_is_refused_by_a_converted_backbone(tmp_path):
  save(tmp_path, build_post_activation())
  backbone = evonorm_tf.convert_norm_act(build_post_activation(), 'bn_relu')
  with pytest.raises(ValueError, match='is of another backbone'):
    initialize_backbone(detector(backbone), tmp_path)
