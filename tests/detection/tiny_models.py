"""Mask R-CNNs of seconds: thin heads, few boxes, 128 pixels."""

import numpy as np
import tensorflow as tf
import tf_keras

from detection import models

SIZE = 128
CLASSES = 4
DECAY = 0.1
THIN = {
    'rpn_filters': 16, 'box_filters': 16, 'box_convs': 1, 'box_units': 32, 'mask_filters': 16, 'mask_convs': 1,
    'pre_nms_top_k': 50, 'num_proposals': 20, 'test_pre_nms_top_k': 50, 'test_num_proposals': 20,
    'num_sampled_rois': 8, 'num_sampled_masks': 4, 'detection_pre_nms_top_k': 50, 'max_num_detections': 5}
# Two levels of the backbone, and one that the decoder adds.
_FPN = {'min_level': 4, 'max_level': 6, 'fpn_filters': 16, **THIN}
RESNET = models.ResNetFpn(10, **_FPN)
PRE_ACTIVATION = models.PreActivationResNetFpn(18, width_multiplier=.25, depth_multiplier=.5, **_FPN)
MOBILENET = models.MobileNetV2Fpn(width_multiplier=.25, depth_multiplier=.25, **_FPN)


def build(family, norm_act, seed=0, norm_act_options=None):
  # Compiled cores would be compiled for each shape anew.
  options = norm_act_options or ({'jit_compile': False} if str(norm_act).startswith('evonorm') else {})
  tf_keras.utils.set_random_seed(seed)
  return models.build_mask_rcnn(family.config(CLASSES, SIZE), norm_act, options, DECAY)


def call(model, training):
  """The outputs for two images with two objects each; of the same weights always the same."""
  tf.random.set_seed(0)  # of the samplers
  images = np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
  boxes = np.tile(np.array([[8, 8, 80, 80], [40, 40, 120, 120]], np.float32), [2, 1, 1])
  targets = {'gt_boxes': boxes, 'gt_classes': np.array([[1, 2], [3, 1]], np.int32),
             'gt_masks': np.ones([2, 2, 112, 112], np.float32)}
  return model(images, np.full([2, 2], SIZE, np.float32), training=training, **(targets if training else {}))
