"""Trainings of seconds: a thin Mask R-CNN on a few generated shapes of 64 pixels, run by run_mask_rcnn."""

import io

from rich.console import Console

from detection.data.sources import ShapesData
from detection.models import PreActivationResNetFpn
from detection.trainer import run_mask_rcnn
from evonorm_tf.training.optimization import Optimization
from tests.detection.tiny_models import THIN

SIZE = 64
MODEL = PreActivationResNetFpn(
    18, width_multiplier=.125, depth_multiplier=.01, min_level=4, max_level=5, fpn_filters=8, synchronized=False,
    **THIN)


def tiny_shapes(folder, train=6, validation=3):
  return ShapesData(str(folder), train, validation, SIZE)


def run(model_dir, data, mode='train_and_eval', norm_act='bn_relu', learning_rate=.32, momentum=.9, model=MODEL,
        console=None, **options):
  """Runs 2 epochs of 3 steps of 2 images; returns what run_mask_rcnn returns."""
  optimization = Optimization(learning_rate, options={'momentum': momentum})
  arguments = dict(image_size=SIZE, batch_size=2, epochs=2, steps_per_loop=1, weight_decay=1e-4,
                   shuffle_buffer=4) | options
  return run_mask_rcnn(str(model_dir), mode, norm_act, model, data, optimization=optimization,
                       console=console or Console(file=io.StringIO()), **arguments)
