"""Evaluation of boxes and masks by COCO's metrics, with result files that other tools can read.

The class `Evaluator` differs from Model Garden's evaluator, its base class, as follows:
- It scores exactly the detections that it writes to the result files, so that pycocotools computes the same numbers
  from them. Model Garden computes the areas of boxes from masks, which changes the metrics by object size.
- Images that only fill the last batch do not count.
- The average precision (AP) of each class is available without a modified pycocotools.
- Masks are pasted into the image with subpixel accuracy (see `instances`).
- Masks are compressed after every batch and not kept in full until the end.
"""

from collections.abc import Mapping
import contextlib
import io
import os
from typing import Any

from absl import logging
from official.vision.evaluation import coco_evaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.data.coco_masks import compress_mask
from detection.results.instances import category_names
from detection.results.instances import detected_in_batch
from detection.results.instances import Instances
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import write_json

# The 12 metrics in the order of pycocotools: average precision (AP) and average recall (AR). AP50 is the AP at an
# intersection over union of 50%, AR1 the AR with 1 detection per image.
METRICS = ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large',
           'AR1', 'AR10', 'AR100', 'AR_small', 'AR_medium', 'AR_large')
_IOU_TYPES = {'box': 'bbox', 'mask': 'segm'}


class Evaluator(coco_evaluator.COCOEvaluator):
  """An evaluator of detections by COCO's metrics, for the attribute `coco_metric` of Model Garden's MaskRCNNTask.

  An evaluation consists of `reset_states`, `update_state` for every batch, and `evaluate`.

  Args:
    annotation_file: the path of a JSON file in COCO's format with the annotations of the images.
    include_mask: whether masks are evaluated in addition to boxes (default True).
    folder: the path of the folder in which each evaluation writes the result files results_bbox.json and, for masks,
      results_segm.json, in COCO's format; None (default) for no files. Boxes in them are `[x, y, width, height]` in
      pixels of the original image, and may exceed its border as the detector's do.

  Raises:
    ArgumentError: if the annotation file is damaged.
  """

  def __init__(self, annotation_file: str, include_mask: bool = True, folder: str | None = None):
    try:
      with _silence():
        super().__init__(annotation_file, include_mask)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as e:
      raise ArgumentError(f"`annotation_file` must be a JSON file in COCO's format, received '{annotation_file}': "
                          f'{type(e).__name__}: {e}') from e
    self._folder = folder

  @property
  def coco(self) -> COCO:
    """The annotations, an object of pycocotools."""
    return self._coco_gt

  def reset_states(self) -> None:
    """Starts a new evaluation: forgets all images and detections."""
    self._image_ids = set()
    self._records = {kind: [] for kind in (_IOU_TYPES if self._include_mask else ['box'])}

  def update_state(self, groundtruths: Any, predictions: Mapping[str, Any]) -> None:
    """Adds the detections in a batch of images. An image that has been added before is skipped.

    Args:
      groundtruths: ignored, because the annotation file contains the ground truth.
      predictions: the tensors that `instances.detected_in_batch` describes, by name, or for each name a tuple with one
        tensor per replica. Detections of classes that are not in the annotation file are left out.

    Raises:
      ArgumentError: if an image is not in the annotation file.
    """
    del groundtruths
    for image_id, instances in detected_in_batch(self._convert_to_numpy(None, predictions)[1]):
      if image_id not in self._coco_gt.imgs:
        raise ArgumentError(
            f'`predictions` must be of images of {self._annotation_file}; received image id {image_id}.')
      if image_id not in self._image_ids:
        self._image_ids.add(image_id)
        self._add(image_id, instances)

  def _add(self, image_id: int, instances: Instances) -> None:
    found = {'box': ('bbox', instances.boxes_xywh().tolist())}
    if self._include_mask:
      found['mask'] = 'segmentation', [compress_mask(mask) for mask in instances.masks]
    for kind, (name, values) in found.items():
      self._records[kind] += [
          {'image_id': image_id, 'category_id': int(category), name: value, 'score': float(score)}
          for category, value, score in zip(instances.classes, values, instances.scores)
          if category in self._coco_gt.cats]

  def evaluate(self) -> dict[str, float]:
    """Computes the metrics on the images added since `reset_states`, and writes the result files.

    Images of the annotation file that were not added are left out, with a warning in the log.

    Returns:
      The metrics by name, from 0 to 1: `box/AP` to `box/AR_large`, named by `METRICS`; `box_AP_by_class/NAME` for each
      category that has objects in these images; and the same for masks, with `mask` in place of `box`. As in
      pycocotools, -1 means that there is no object of the size in question.
    """
    missing = len(self._coco_gt.imgs) - len(self._image_ids)
    if missing:
      logging.warning('%d of the %d images of %s were not evaluated.',
                      missing, len(self._coco_gt.imgs), self._annotation_file)
    results = {}
    for kind, records in self._records.items():
      if self._folder:
        self._write(os.path.join(self._folder, f'results_{_IOU_TYPES[kind]}.json'), records)
      results.update(self._results(kind, records))
    return results

  def _write(self, path: str, records: list[dict]) -> None:
    """Writes a result file; warns if it cannot be written, so that the metrics are not lost with it."""
    try:
      write_json(path, records)
    except OSError as e:
      logging.warning('The results are not stored: %s', e)

  def _results(self, kind: str, records: list[dict]) -> dict[str, float]:
    with _silence():
      evaluation = COCOeval(self._coco_gt, self._load(records), _IOU_TYPES[kind])
      evaluation.params.imgIds = sorted(self._image_ids)
      evaluation.evaluate()
      evaluation.accumulate()
      evaluation.summarize()
    results = {f'{kind}/{name}': float(value) for name, value in zip(METRICS, evaluation.stats)}
    names = category_names(self._coco_gt)
    # Its axes are IoU thresholds, recalls, classes, areas, numbers of detections. We take all areas, 100 detections.
    precisions = evaluation.eval['precision'][..., 0, -1].transpose(2, 0, 1)
    for category, precision in zip(evaluation.params.catIds, precisions):
      if (precision > -1).any():
        results[f'{kind}_AP_by_class/{names[category]}'] = float(precision[precision > -1].mean())
    return results

  def _load(self, records: list[dict]) -> COCO:
    if records:
      # This calls the method of pycocotools, because Model Garden's override computes the areas of boxes from masks.
      return COCO.loadRes(self._coco_gt, [dict(record) for record in records])
    loaded = COCO()  # loadRes fails for an empty list
    loaded.dataset = {**self._coco_gt.dataset, 'annotations': []}
    loaded.createIndex()
    return loaded


def _silence() -> contextlib.AbstractContextManager:
  """Returns a context that suppresses standard output, where pycocotools reports its progress."""
  return contextlib.redirect_stdout(io.StringIO())
