"""Instances: the detected or annotated objects of one image, with boxes and masks in that image's pixels.

Model Garden's detectors return each mask as a small map over its box. Here Model Garden's `paste_instance_masks_v2`
pastes it into the image. Model Garden's own evaluator uses the first version of that function, which rounds boxes to
whole pixels and is less accurate. This was measured by cutting masks out of COCO's annotations, as for training, and
pasting them back: for objects under 32² pixels, the mean intersection over union with the original mask is .91 with
the first version and .96 with the second.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses

import numpy as np
from official.vision.ops import mask_ops
from pycocotools.coco import COCO


@dataclasses.dataclass(frozen=True)
class Instances:
  """The N objects that were detected or annotated in an image.

  Attributes:
    boxes: float32 `[N, 4]`, `[ymin, xmin, ymax, xmax]` in pixels of the image; a box may exceed its border.
    classes: the objects' category ids, integers `[N]`.
    scores: the detections' scores, float32 `[N]`; None (default) for annotated objects.
    masks: the objects' masks over the whole image, bool `[N, height, width]`; None (default) if there are only boxes.
  """
  boxes: np.ndarray
  classes: np.ndarray
  scores: np.ndarray | None = None
  masks: np.ndarray | None = None

  def boxes_xywh(self) -> np.ndarray:
    """Returns the boxes in COCO's format: float32 `[N, 4]`, `[xmin, ymin, width, height]` in pixels."""
    return _xywh(self.boxes)


def _xywh(boxes: np.ndarray) -> np.ndarray:
  return np.concatenate([boxes[:, 1::-1], (boxes[:, 2:] - boxes[:, :2])[:, ::-1]], axis=1)


def detected(outputs: Mapping[str, np.ndarray], height: int, width: int, min_score: float = 0.) -> Instances:
  """Converts a detector's outputs for one image to `Instances`, without the padding.

  Args:
    outputs: the outputs by name, for a single image (without a batch dimension) and in its pixels: `detection_boxes`
      `[K, 4]`, `detection_classes` and `detection_scores` `[K]`, and `num_detections`, a scalar. Optional are
      `detection_masks` `[K, mask height, mask width]`, probabilities over the boxes, and `detection_outer_boxes`
      `[K, 4]` if the masks refer to larger boxes.
    height: the height of the image in pixels.
    width: the width of the image in pixels.
    min_score: the least score; detections with a lower one are left out (default 0).

  Returns:
    The detections in the order of `outputs`.
  """
  real = np.arange(len(outputs['detection_scores'])) < outputs['num_detections']
  kept = real & (outputs['detection_scores'] >= min_score)
  outputs = {name: np.asarray(outputs[name])[kept] for name in (
      'detection_boxes', 'detection_classes', 'detection_scores', 'detection_masks', 'detection_outer_boxes')
             if name in outputs}
  instances = Instances(outputs['detection_boxes'].astype(np.float32), outputs['detection_classes'].astype(int),
                        outputs['detection_scores'].astype(np.float32))
  if 'detection_masks' not in outputs:
    return instances
  mask_boxes = outputs.get('detection_outer_boxes', outputs['detection_boxes'])
  return dataclasses.replace(instances, masks=_paste(outputs['detection_masks'], mask_boxes, height, width))


def _paste(masks: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
  pasted = np.zeros([len(masks), height, width], bool)
  for image, mask, box in zip(pasted, masks, boxes.astype(np.float32)):
    # The mask is pasted only into the part of the image under its box, because that is faster than filling the image.
    (top, left), (bottom, right) = (f(corner).astype(int).clip(0, [height, width])
                                    for f, corner in ((np.floor, box[:2]), (np.ceil, box[2:])))
    if bottom > top and right > left and (box[2:] > box[:2]).all():
      inside = (box - [top, left, top, left]).astype(np.float32)
      image[top:bottom, left:right] = mask_ops.paste_instance_masks_v2(
          mask[None].astype(np.float32), _xywh(inside[None]), bottom - top, right - left)[0]
  return pasted


def detected_in_batch(
    predictions: Mapping[str, np.ndarray], min_score: float = 0.) -> Iterator[tuple[int, Instances]]:
  """Converts the outputs that Model Garden's MaskRCNNTask passes to its evaluator, image by image.

  Args:
    predictions: the outputs by name. Those that `detected` describes have a batch dimension here, and boxes are in
      pixels of the scaled image. Further ones are `source_id`, the image ids `[batch]`, and `image_info`
      `[batch, 4, 2]`: for each image its original size, the size into which it was fitted, the scale and the offset,
      each as a pair (vertical, horizontal).
    min_score: the least score; detections with a lower one are left out (default 0).

  Yields:
    (image id, detections) for each image of the batch, in order; the detections are in pixels of the original image.
  """
  names = [name for name in predictions if name.startswith('detection_')] + ['num_detections']
  for row, (size, _, scale, _) in enumerate(np.asarray(predictions['image_info'], np.float32)):
    outputs = {name: np.asarray(predictions[name][row]) for name in names}
    for name in outputs:
      if name.endswith('boxes'):
        outputs[name] = outputs[name].astype(np.float32) / np.tile(scale, 2)
    yield int(predictions['source_id'][row]), detected(outputs, *np.rint(size).astype(int), min_score)


def annotated(coco: COCO, image_id: int) -> Instances:
  """Returns the annotated objects of an image, without crowds (annotations that stand for many objects).

  Args:
    coco: the annotations of the data set.
    image_id: the id of the image in them.
  """
  annotations = coco.loadAnns(coco.getAnnIds(image_id, iscrowd=False))
  image = coco.imgs[image_id]
  x, y, width, height = np.array([a['bbox'] for a in annotations], np.float32).reshape(-1, 4).T
  masks = [coco.annToMask(a) for a in annotations if a.get('segmentation')]
  return Instances(
      np.stack([y, x, y + height, x + width], axis=1), np.array([a['category_id'] for a in annotations], int),
      masks=np.array(masks, bool).reshape(-1, image['height'], image['width']) if len(masks) == len(x) else None)


def category_names(coco: COCO) -> dict[int, str]:
  """Returns a name of its own for each category, by its id.

  A category without a name is called by its id. Where several have one name, each is followed by its id: 'cat (3)'.

  Args:
    coco: the annotations of a data set.
  """
  names = {category['id']: category.get('name', str(category['id'])) for category in coco.dataset['categories']}
  occurrences = collections.Counter(names.values())
  return {number: f'{name} ({number})' if occurrences[name] > 1 else name for number, name in names.items()}
