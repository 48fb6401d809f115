"""Instances against pasting and scaling spelt out in NumPy."""

import numpy as np
from pycocotools.coco import COCO
import pytest

from detection.results import instances
from tests.detection import tiny_detections


def outputs(boxes, masks=None, **others):
  count = len(boxes)
  values = {'detection_boxes': np.array(boxes, np.float32), 'detection_classes': np.arange(count) + 1,
            'detection_scores': np.linspace(.9, .1, count), 'num_detections': np.array(count), **others}
  return values if masks is None else {**values, 'detection_masks': masks}


def pasted(mask, box, height, width):
  """Probabilities at the centres of pixels: linear between the centres of the mask's cells, 0 outside of it."""
  rows, columns = mask.shape
  padded = np.pad(mask.astype(np.float64), 1)
  y = np.clip((np.arange(height) + .5 - box[0]) / (box[2] - box[0]) * rows + .5, 0, rows + 1)
  x = np.clip((np.arange(width) + .5 - box[1]) / (box[3] - box[1]) * columns + .5, 0, columns + 1)
  along_y = np.stack([np.interp(y, np.arange(rows + 2), column) for column in padded.T], axis=1)
  return np.stack([np.interp(x, np.arange(columns + 2), row) for row in along_y])


def test_masks_are_pasted_at_subpixels_and_cut_at_the_border():
  rng = np.random.default_rng(0)
  coarse = rng.uniform(size=[3, 7, 7]).repeat(4, axis=1).repeat(4, axis=2)
  boxes = [[3.3, 10.8, 33.6, 45.1], [-8.5, 20.2, 12.7, 70.9], [30., 40., 52.5, 44.]]
  masks = instances.detected(outputs(boxes, coarse), 40, 60).masks
  assert masks.shape == (3, 40, 60) and masks.dtype == bool and masks.any(axis=(1, 2)).all()
  for mask, box, received in zip(coarse, boxes, masks):
    probabilities = pasted(mask, box, 40, 60)
    clear = np.abs(probabilities - .5) > .03  # OpenCV interpolates in steps of 1/32 cell
    np.testing.assert_array_equal(received[clear], probabilities[clear] > .5)
    assert clear.mean() > .9


def test_a_full_mask_is_its_box():
  mask = instances.detected(outputs([[5, 10, 25, 40]], np.ones([1, 28, 28])), 60, 100).masks[0]
  np.testing.assert_array_equal(mask, tiny_detections.rectangle([10, 5, 30, 20], 60, 100))


def test_masks_refer_to_outer_boxes_where_there_are_any():
  found = instances.detected(
      outputs([[5, 10, 25, 40]], np.ones([1, 28, 28]), detection_outer_boxes=np.array([[0, 8, 30, 42]])), 60, 100)
  np.testing.assert_array_equal(found.masks[0], tiny_detections.rectangle([8, 0, 34, 30], 60, 100))
  np.testing.assert_array_equal(found.boxes_xywh(), [[10, 5, 30, 20]])


@pytest.mark.parametrize('box', [[5, 5, 5, 20], [5, 5, 20, 5], [0, 0, 0, 0], [90, 5, 99, 20]])
def test_a_box_of_no_area_or_outside_has_an_empty_mask(box):
  assert not instances.detected(outputs([box], np.ones([1, 28, 28])), 60, 100).masks.any()


def test_padding_and_low_scores_are_left_out():
  found = outputs([[0, 0, 1, 1]] * 5, np.ones([5, 4, 4]), num_detections=np.array(3))
  assert instances.detected(found, 8, 8).classes.tolist() == [1, 2, 3]
  assert instances.detected(found, 8, 8, min_score=.6).classes.tolist() == [1, 2]
  none = instances.detected(found, 8, 8, min_score=1.)
  assert none.masks.shape == (0, 8, 8) and none.boxes_xywh().shape == (0, 4)
  assert instances.detected(outputs([[0, 0, 1, 1]]), 8, 8).masks is None


def test_a_batch_is_scaled_back_to_each_image():
  values = {name: np.array(tensor) for name, tensor in tiny_detections.batch(tiny_detections.perfect(), 1.28).items()}
  values['image_info'][1, 2] = 2.56, .64  # as if the sides of this image had been scaled differently
  values['detection_boxes'][1] *= [2, .5, 2, .5]
  for (image, received), detections in zip(instances.detected_in_batch(values), tiny_detections.perfect().values()):
    boxes = np.array([box for _, box, _, _ in detections]).reshape(-1, 4)
    np.testing.assert_allclose(received.boxes_xywh(), boxes, atol=1e-4)
    assert received.masks.shape == (len(boxes), *tiny_detections.SIZES[image])
  assert [image for image, _ in instances.detected_in_batch(values)] == list(tiny_detections.SIZES)


def test_annotated_objects_without_crowds(tmp_path):
  coco = COCO(tiny_detections.annotation_file(tmp_path))
  truth = instances.annotated(coco, 5)
  assert truth.classes.tolist() == [3, 1] and truth.scores is None
  np.testing.assert_array_equal(truth.boxes, [[30, 5, 90, 55], [2, 30, 27, 50]])
  np.testing.assert_array_equal(truth.masks[1], tiny_detections.rectangle([30, 2, 20, 25], 100, 60))
  empty = instances.annotated(coco, 42)
  assert empty.boxes.shape == (0, 4) and empty.masks.shape == (0, 60, 100)
  assert instances.category_names(coco) == tiny_detections.CATEGORIES
