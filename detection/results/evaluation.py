"""COCO's evaluation of boxes and masks, and result files for other tools.

It is Model Garden's evaluator with these differences: it scores exactly what it writes into the files, so that
pycocotools computes the same numbers from them (Model Garden takes the areas of boxes from masks, which changes the
numbers by size); padding does not count; AP of each class needs no modified pycocotools; masks are pasted with subpixel
accuracy (see `instances`) and compressed batch by batch, instead of being kept until the end.
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

# The 12 numbers in the order of pycocotools. AR1 is the average recall with 1 detection per image.
METRICS = ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large',
           'AR1', 'AR10', 'AR100', 'AR_small', 'AR_medium', 'AR_large')
_IOU_TYPES = {'box': 'bbox', 'mask': 'segm'}


class Evaluator(coco_evaluator.COCOEvaluator):
  """COCO's evaluation, which takes the place of a MaskRCNNTask's `coco_metric`.

  Args:
    annotation_file: COCO's JSON of the evaluated images.
    include_mask: whether masks are evaluated too (default True).
    folder: receives results_bbox.json and results_segm.json of each evaluation; None (default) for no files. Boxes in
      them are `[x, y, width, height]` in pixels of the original image and, like the detector's, may exceed its border.
  """

  def __init__(self, annotation_file: str, include_mask: bool = True, folder: str | None = None):
    with _silence():
      super().__init__(annotation_file, include_mask)
    self._folder = folder

  @property
  def coco(self) -> COCO:
    """The annotations."""
    return self._coco_gt

  def reset_states(self) -> None:
    """Forgets all images."""
    self._image_ids = set()
    self._records = {kind: [] for kind in (_IOU_TYPES if self._include_mask else ['box'])}

  def update_state(self, groundtruths: Any, predictions: Mapping[str, Any]) -> None:
    """Adds a batch. An image that occurs again, such as the padding of the last batch, counts once.

    Args:
      groundtruths: ignored; the annotation file is the ground truth.
      predictions: tensors as `detected_in_batch` describes them, or for each a tuple with one tensor per replica.
        Detections of classes that the annotation file lacks are left out.

    Raises:
      ArgumentError: for an image that the annotation file lacks.
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
    """Writes the files and returns the results on the images seen since `reset_states`.

    They are `box/AP` to `box/AR_large`, named by METRICS, and `box_AP_by_class/` with the name of each category that
    has objects in these images; the same with `mask`. As in pycocotools, -1 means that there is no object of a size.
    """
    missing = len(self._coco_gt.imgs) - len(self._image_ids)
    if missing:
      logging.warning('%d of the %d images of %s were not evaluated.',
                      missing, len(self._coco_gt.imgs), self._annotation_file)
    results = {}
    for kind, records in self._records.items():
      if self._folder:
        write_json(os.path.join(self._folder, f'results_{_IOU_TYPES[kind]}.json'), records)
      results.update(self._results(kind, records))
    return results

  def _results(self, kind: str, records: list[dict]) -> dict[str, float]:
    with _silence():
      evaluation = COCOeval(self._coco_gt, self._load(records), _IOU_TYPES[kind])
      evaluation.params.imgIds = sorted(self._image_ids)
      evaluation.evaluate()
      evaluation.accumulate()
      evaluation.summarize()
    results = {f'{kind}/{name}': float(value) for name, value in zip(METRICS, evaluation.stats)}
    names = category_names(self._coco_gt)
    # [thresholds of IoU, recalls, classes, areas, numbers of detections]: all areas, 100 detections
    precisions = evaluation.eval['precision'][..., 0, -1].transpose(2, 0, 1)
    for category, precision in zip(evaluation.params.catIds, precisions):
      if (precision > -1).any():
        results[f'{kind}_AP_by_class/{names[category]}'] = float(precision[precision > -1].mean())
    return results

  def _load(self, records: list[dict]) -> COCO:
    if records:
      # The method of pycocotools' own class, because Model Garden's override takes the areas of boxes from masks.
      return COCO.loadRes(self._coco_gt, [dict(record) for record in records])
    loaded = COCO()  # loadRes fails without records
    loaded.dataset = {**self._coco_gt.dataset, 'annotations': []}
    loaded.createIndex()
    return loaded


def _silence() -> contextlib.AbstractContextManager:
  """Returns a context without output on stdout, on which pycocotools reports its progress."""
  return contextlib.redirect_stdout(io.StringIO())
