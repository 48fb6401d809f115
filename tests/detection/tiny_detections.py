"""A data set of four images of two sizes with rectangles, a crowd among them, whose category ids have gaps."""

import json

import numpy as np
import tensorflow as tf

CATEGORIES = {1: 'cat', 3: 'dog', 7: 'bird'}
SIZES = {11: (60, 100), 5: (100, 60), 8: (100, 100), 42: (60, 100)}  # image id: height, width
# image id, category, [x, y, width, height], crowd
OBJECTS = [
    (11, 1, [10, 5, 30, 20], 0), (11, 3, [50, 10, 40, 45], 0), (11, 1, [4, 40, 12, 12], 0),
    (5, 3, [5, 30, 50, 60], 0), (5, 1, [30, 2, 20, 25], 0), (5, 1, [0, 60, 60, 40], 1),
    (8, 7, [1, 1, 98, 98], 0), (8, 3, [20, 20, 10, 10], 0)]  # image 42 has none


def annotation_file(folder):
  annotations = [
      {'id': i + 1, 'image_id': image, 'category_id': category, 'bbox': box, 'iscrowd': crowd, 'area': box[2] * box[3],
       'segmentation': rectangle_runs(box, *SIZES[image]) if crowd else [polygon(*box)]}
      for i, (image, category, box, crowd) in enumerate(OBJECTS)]
  path = folder / 'instances.json'
  path.write_text(json.dumps({
      'images': [{'id': i, 'height': h, 'width': w, 'file_name': f'{i}.png'} for i, (h, w) in SIZES.items()],
      'categories': [{'id': i, 'name': name} for i, name in CATEGORIES.items()], 'annotations': annotations}))
  return str(path)


def polygon(x, y, width, height):
  return [x, y, x + width, y, x + width, y + height, x, y + height]


def rectangle(box, height, width):
  x, y, w, h = box
  mask = np.zeros([height, width], bool)
  mask[y:y + h, x:x + w] = True
  return mask


def rectangle_runs(box, height, width):
  """COCO's uncompressed run lengths of a rectangle: column by column, zeros first."""
  columns = np.concatenate([[False], rectangle(box, height, width).T.ravel()])
  changes = np.flatnonzero(columns[1:] != columns[:-1])
  return {'size': [height, width], 'counts': np.diff([0, *changes, len(columns) - 1]).tolist()}


def batch(found, scale=1., slots=6, mask_size=28):
  """What a MaskRCNNTask gives its evaluator, in tensors.

  Args:
    found: a dict from image id to a list of (category, box [x, y, w, h], score, mask or None for a full one).
    scale: of the image that the network sees.
    slots: detections an image; the padding is what must not count: category 1, high scores.
    mask_size: of the masks.
  """
  shape = [len(found), slots]
  boxes, classes = np.zeros([*shape, 4], np.float32), np.ones(shape, np.int32)
  scores, masks = np.ones(shape, np.float32), np.ones([*shape, mask_size, mask_size], np.float32)
  boxes[...] = 10, 5, 30, 40
  for row, detections in enumerate(found.values()):
    for i, (category, (x, y, w, h), score, mask) in enumerate(detections):
      boxes[row, i] = np.multiply([y, x, y + h, x + w], scale)
      classes[row, i], scores[row, i] = category, score
      masks[row, i] = 1. if mask is None else mask
  sizes = np.array([SIZES[i] for i in found], np.float32)
  info = np.stack([sizes, np.full_like(sizes, 128), np.full_like(sizes, scale), np.zeros_like(sizes)], axis=1)
  return {name: tf.constant(value) for name, value in {
      'source_id': np.array(list(found), np.int64), 'image_info': info, 'detection_boxes': boxes,
      'detection_classes': classes, 'detection_scores': scores, 'detection_masks': masks,
      'num_detections': np.array([len(detections) for detections in found.values()], np.int32)}.items()}


def perfect():
  return {image: [(category, box, .9, None) for i, category, box, crowd in OBJECTS if i == image and not crowd]
          for image in SIZES}


def noisy(seed=0):
  """Shifted boxes, ragged masks, some wrong categories, and some inventions."""
  rng = np.random.default_rng(seed)
  found = {image: [] for image in SIZES}
  for image, category, box, crowd in OBJECTS:
    for _ in range(1 if crowd else 2):
      shifted = np.maximum(np.array(box) + rng.normal(size=4) * 2., 1.)
      category = category if rng.uniform() < .8 else rng.choice(list(CATEGORIES))
      mask = rng.uniform(size=[28, 28]) + np.hypot(*np.mgrid[-1:1:28j, -1:1:28j]) < 1.6
      found[image].append((category, shifted, rng.uniform(), mask))
  found[42].append((7, [10, 10, 30, 30], .3, None))
  return found
