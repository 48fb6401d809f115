"""Whole detectors and segmentation models of Model Garden: outputs, what is left, checkpoints and weight files."""
# ruff: noqa: E402  what needs Model Garden is imported after it is known to be there

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf.layers.baselines import BatchNormAct
from tests.evonorm_tf.comparison import assert_same_outputs
from tests.evonorm_tf.comparison import images
from tests.evonorm_tf.comparison import randomize

maskrcnn_model = pytest.importorskip('official.vision.modeling.maskrcnn_model')
from official.vision.modeling import retinanet_model
from official.vision.modeling import segmentation_model
from official.vision.modeling.backbones import resnet
from official.vision.modeling.decoders import aspp
from official.vision.modeling.decoders import fpn
from official.vision.modeling.heads import dense_prediction_heads
from official.vision.modeling.heads import instance_heads
from official.vision.modeling.heads import segmentation_heads
from official.vision.modeling.layers import detection_generator
from official.vision.modeling.layers import mask_sampler
from official.vision.modeling.layers import nn_blocks
from official.vision.modeling.layers import roi_aligner
from official.vision.modeling.layers import roi_generator
from official.vision.modeling.layers import roi_sampler
from official.vision.ops import anchor

ANCHORS = {'min_level': 3, 'max_level': 4, 'num_scales': 1, 'aspect_ratios': [1.], 'anchor_size': 3.}
SHAPE = np.full([4, 2], 32, np.float32)  # of the four images
SIZES = {'num_convs': 1, 'num_filters': 8}


def mask_rcnn():
  """Two detection heads in a cascade on a ResNet-10 with feature pyramid."""
  backbone = resnet.ResNet(10, tf_keras.layers.InputSpec(shape=[None, 32, 32, 3]))
  heads = [instance_heads.DetectionHead(
      3, num_fcs=1, fc_dims=8, class_agnostic_bbox_pred=True, name=f'detection_head_{i}', **SIZES) for i in range(2)]
  return maskrcnn_model.MaskRCNNModel(
      backbone,
      fpn.FPN(backbone.output_specs, 3, 4, num_filters=8),
      dense_prediction_heads.RPNHead(3, 4, 1, **SIZES),
      heads,
      roi_generator.MultilevelROIGenerator(
          pre_nms_top_k=20, num_proposals=6, test_pre_nms_top_k=20, test_num_proposals=6),
      [roi_sampler.ROISampler(num_sampled_rois=4) for _ in heads],
      roi_aligner.MultilevelROIAligner(),
      detection_generator.DetectionGenerator(max_num_detections=3, pre_nms_top_k=10),
      mask_head=instance_heads.MaskHead(3, name='mask_head', **SIZES),
      mask_sampler=mask_sampler.MaskSampler(mask_target_size=28, num_sampled_masks=2),
      mask_roi_aligner=roi_aligner.MultilevelROIAligner(crop_size=14),
      class_agnostic_bbox_pred=True, name='detector', **ANCHORS)


def call_mask_rcnn(model, training):
  tf.random.set_seed(0)  # of the samplers
  boxes = np.tile(np.array([[2, 2, 20, 20], [10, 10, 30, 30]], np.float32), [4, 1, 1])
  masks = np.ones([4, 2, 32, 32], np.float32)
  targets = {'gt_boxes': boxes, 'gt_classes': np.ones([4, 2], np.int32), 'gt_masks': masks}
  return model(images(32), SHAPE, training=training, **(targets if training else {}))


def retinanet(called=True):
  """A backbone of two residual blocks, a feature pyramid, and a head with a normalization for each level."""
  inputs = tf_keras.Input((32, 32, 3))
  x = tf_keras.layers.Conv2D(8, 3, 4, padding='same', name='stem')(inputs)
  x = tf_keras.layers.ReLU(name='stem_relu')(tf_keras.layers.BatchNormalization(name='stem_bn')(x))
  level3 = nn_blocks.ResidualBlock(8, 2, use_projection=True, name='block3')(x)
  level4 = nn_blocks.BottleneckBlock(2, 2, use_projection=True, name='block4')(level3)
  backbone = tf_keras.Model(inputs, {'3': level3, '4': level4}, name='backbone')
  specs = {level: output.shape for level, output in backbone.output.items()}
  boxes = anchor.Anchor(image_size=(32, 32), **ANCHORS).multilevel_boxes
  model = retinanet_model.RetinaNetModel(
      backbone, fpn.FPN(specs, 3, 4, num_filters=8),
      dense_prediction_heads.RetinaNetHead(3, 4, 2, 1, **SIZES),
      detection_generator.MultilevelDetectionGenerator(max_num_detections=3, pre_nms_top_k=10),
      anchor_boxes={level: value for level, value in boxes.items()}, **ANCHORS)
  if called:
    call_retinanet(model)
  return model


def call_retinanet(model, training=False):
  return model(images(32), SHAPE, training=training)


@pytest.mark.slow
def test_mask_rcnn():
  model = mask_rcnn()
  call_mask_rcnn(model, training=False)
  randomize(model)
  plan = evonorm_tf.plan_conversion(model)
  decoder = model.decoder.name
  assert len(plan.fused) == 1 and plan.affine == (f'{decoder}/norm_4', f'{decoder}/norm_3')
  assert {'detection_head_0', 'detection_head_1', 'mask_head'} < set(plan.blocks) and len(plan.blocks) == 4 + 1 + 2 + 1
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  assert type(converted) is maskrcnn_model.MaskRCNNModel and converted.name == 'detector'
  assert [head.name for head in converted.detection_head] == ['detection_head_0', 'detection_head_1']
  assert len(converted.weights) == len(model.weights)
  for training in (True, False):
    expected, received = call_mask_rcnn(model, training), call_mask_rcnn(converted, training)
    tf.nest.map_structure(np.testing.assert_array_equal, expected, received)
    assert np.ptp(expected['class_outputs_1']) > .1


def test_mask_rcnn_that_was_not_called_keeps_no_normalization():
  # Uncompiled: eagerly, the core of each layer would be compiled for its shape.
  converted = evonorm_tf.convert_norm_act(mask_rcnn(), evonorm_tf.get_norm_act('evonorm_s0', jit_compile=False))
  assert np.isfinite(call_mask_rcnn(converted, training=True)['mask_outputs']).all()
  left = evonorm_tf.list_norm_acts(converted)
  assert [found.path.rpartition('/')[-1] for found in left] == ['_last_activation'] * 4  # one for each residual block


@pytest.mark.slow
def test_retinanet():
  model = retinanet()
  randomize(model)
  converted = evonorm_tf.convert_norm_act(model, 'bn_relu')
  for training in (True, False):
    tf.nest.map_structure(
        np.testing.assert_array_equal, call_retinanet(model, training), call_retinanet(converted, training))
  tf.nest.map_structure(np.testing.assert_array_equal, model.anchor_boxes, converted.anchor_boxes)


def test_segmentation_model():
  backbone = retinanet().backbone
  model = segmentation_model.SegmentationModel(
      backbone, aspp.ASPP(4, [2], num_filters=8),
      segmentation_heads.SegmentationHead(3, 4, feature_fusion='deeplabv3plus', low_level=3, **SIZES),
      mask_scoring_head=segmentation_heads.MaskScoring(3, [4, 4], num_fcs=1, fc_dims=8, **SIZES))
  model(images(32))
  randomize(model)
  assert_same_outputs(model, evonorm_tf.convert_norm_act(model, 'bn_relu'), images(32))


@pytest.fixture(scope='module')
def originals():
  """By whether they were called: two detectors made in the same way, which conversions leave alone."""
  return {called: [retinanet(called) for _ in range(2)] for called in (True, False)}


@pytest.fixture(scope='module', params=['evonorm_b0', 'bn_relu'])
def converted(request, originals):
  """By whether the original was called: a converted detector with telling weights, and one made in the same way."""
  pairs = {}
  for called, models in originals.items():
    saved, other = pairs[called] = [evonorm_tf.convert_norm_act(model, request.param) for model in models]
    call_retinanet(saved)
    fill(saved, 2)
    if called:
      call_retinanet(other)
  return pairs


def fill(model, seed):
  """Gives a detector weights that tell which is which."""
  rng = np.random.default_rng(seed)
  model.set_weights([rng.uniform(.5, 1.5, weight.shape) for weight in model.weights])


def assert_restored(saved, other):
  tf.nest.map_structure(np.testing.assert_array_equal, call_retinanet(saved), call_retinanet(other))
  assert len(saved.weights) == len(other.weights) > 50
  for weight, restored in zip(saved.weights, other.weights):
    np.testing.assert_array_equal(weight, restored, err_msg=weight.name)


@pytest.mark.parametrize('called', [True, False])
def test_checkpoints(tmp_path, converted, called):
  saved, other = converted[called]
  if called:
    fill(other, 3)
  path = tf.train.Checkpoint(model=saved, **saved.checkpoint_items).write(str(tmp_path / 'checkpoint'))
  # No variable of a normalization that was swapped.
  assert len(tf.train.list_variables(path)) == len(saved.weights) + 1
  status = tf.train.Checkpoint(model=other, **other.checkpoint_items).read(path)
  call_retinanet(other)
  status.assert_consumed()
  assert_restored(saved, other)


@pytest.mark.parametrize('file', ['model.weights.h5', 'model.h5', 'model'])
def test_weight_files(tmp_path, converted, file):
  saved, other = converted[True]
  fill(other, 3)
  saved.save_weights(str(tmp_path / file))
  other.load_weights(str(tmp_path / file))
  assert_restored(saved, other)


def test_stock_models_made_afterwards_are_not_affected():
  before = retinanet()
  randomize(before)
  for norm_act in ('evonorm_s0', 'bn_relu'):
    evonorm_tf.convert_norm_act(before, norm_act)
  after = retinanet()
  after.set_weights(before.get_weights())
  assert type(after.backbone.get_layer('block3')) is nn_blocks.ResidualBlock
  assert not [module for module in after.submodules if isinstance(module, BatchNormAct)]
  for training in (True, False):
    tf.nest.map_structure(
        np.testing.assert_array_equal, call_retinanet(before, training), call_retinanet(after, training))
