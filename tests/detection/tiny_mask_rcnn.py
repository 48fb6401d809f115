"""Trainings of seconds: a thin Mask R-CNN on a few generated shapes of 64 pixels, run by run_mask_rcnn."""

import io

from rich.console import Console

from detection.mask_rcnn import run_mask_rcnn
from detection.models import PreActivationResNetFpn
from detection.training_data import ShapesData
from evonorm_tf.optimization import Optimization

SIZE = 64
MODEL = PreActivationResNetFpn(
    depth=18, depth_multiplier=.01, width_multiplier=.125, min_level=3, max_level=5, fpn_filters=8, rpn_filters=8, box_filters=8, box_convs=1,
    box_units=16, mask_filters=8, mask_convs=1, pre_nms_top_k=60, num_proposals=30, test_pre_nms_top_k=60,
    test_num_proposals=20, num_sampled_rois=16, num_sampled_masks=4, detection_pre_nms_top_k=50, max_num_detections=10,
    synchronized=False)


def tiny_shapes(folder, train=6, validation=3):
  return ShapesData(str(folder), train, validation, SIZE)


def run(model_dir, data, mode='train_and_eval', norm_act='evonorm_b0', learning_rate=.32, momentum=.9, decay='cosine',
        model=MODEL, console=None, **options):
  """Runs 2 epochs of 3 steps of 2 images; returns what run_mask_rcnn returns."""
  optimization = Optimization(learning_rate, options={'momentum': momentum}, decay=decay)
  arguments = dict(batch_size=2, epochs=2, steps_per_loop=1, weight_decay=1e-4, shuffle_buffer=4) | options
  return run_mask_rcnn(
      str(model_dir), mode, norm_act, model, data, SIZE, optimization, console=console or Console(file=io.StringIO()),
      **arguments)
