"""A reader of COCO's annotation files that checks them, and a function that cleans annotations for training."""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
from typing import Any

from detection.data.coco_masks import decode_mask
from detection.data.coco_masks import is_number
from detection.data.coco_masks import is_polygon
from detection.data.conversion_report import CLIPPED_BOX
from detection.data.conversion_report import EMPTY_BOX
from detection.data.conversion_report import EMPTY_MASK
from detection.data.conversion_report import OUTSIDE_BOX
from detection.data.conversion_report import Problem
from detection.data.conversion_report import UNKNOWN_CATEGORY
from detection.data.conversion_report import UNKNOWN_IMAGE
from evonorm_tf.errors import ArgumentError

_TOLERANCE = .02  # pixels. COCO's numbers have two decimals, so a smaller excess is due to rounding and not reported


@dataclasses.dataclass(frozen=True)
class CocoFile:
  """The checked content of a COCO annotation file.

  Attributes:
    images: the file's entries of images, in file order; each is a dict with `id`, `file_name`, `height` and `width`.
    annotations_by_image: for each image id, the file's annotations of that image, in file order; perhaps none.
    category_names: the name of each category by its id; ids are at least 1.
    problems: one problem for each annotation of an image that the file does not list.
    sha256: the SHA-256 digest of the file's bytes, in hexadecimal.

  Raises:
    ArgumentError: if there are no images.
  """
  images: tuple[dict, ...]
  annotations_by_image: dict[int, list[dict]]
  category_names: dict[int, str]
  problems: tuple[Problem, ...]
  sha256: str

  def __post_init__(self):
    if not self.images:
      raise ArgumentError('it lists no images')

  @property
  def num_annotations(self) -> int:
    """The number of all annotations in the file, including those of images that it does not list."""
    return sum(map(len, self.annotations_by_image.values())) + len(self.problems)


def read_coco(path: str | os.PathLike) -> CocoFile:
  """Reads a COCO annotation file, such as instances_val2017.json, and checks its structure.

  Boxes and masks are not checked here; `clean_annotations` does that.

  Args:
    path: the path of the JSON file.

  Raises:
    ArgumentError: if the file cannot be read, does not have COCO's structure, lists no images, contains an image or
      category id twice, or contains a category id below 1.
  """
  try:
    content = pathlib.Path(path).read_bytes()
    return _parse(json.loads(content), hashlib.sha256(content).hexdigest())
  except (OSError, ValueError) as e:
    raise ArgumentError(f'`annotations` must be a JSON file in the form of COCO\'s instances_val2017.json, received '
                        f"'{path}': {e}") from e


def _parse(data: Any, sha256: str) -> CocoFile:
  if not isinstance(data, dict):
    raise ArgumentError(
        f'it holds no object with `images`, `annotations` and `categories`, but a {type(data).__name__}')
  images = _entries(data, 'images', {'id': int, 'file_name': str, 'height': int, 'width': int}, unique=True)
  annotations = _entries(data, 'annotations', {'image_id': int, 'category_id': int, 'bbox': list})
  categories = _entries(data, 'categories', {'id': int, 'name': str}, unique=True)
  empty = next((image for image in images if image['height'] < 1 or image['width'] < 1), None)
  if empty:
    raise ArgumentError(f"image {empty['id']} is {empty['width']}x{empty['height']} pixels")
  background = next((category for category in categories if category['id'] < 1), None)
  if background:
    raise ArgumentError(f"category ids must be from 1 on, since Mask R-CNN's background is 0; '{background['name']}' "
                        f"has {background['id']}")
  by_image, problems = {image['id']: [] for image in images}, []
  for annotation in annotations:
    if annotation['image_id'] in by_image:
      by_image[annotation['image_id']].append(annotation)
    else:
      problems.append(Problem(UNKNOWN_IMAGE, f"annotation {annotation.get('id')} of image {annotation['image_id']}"))
  names = {category['id']: category['name'] for category in categories}
  return CocoFile(tuple(images), by_image, names, tuple(problems), sha256)


def _entries(data: dict, key: str, types: dict[str, type], unique: bool = False) -> list[dict]:
  """Returns the list under a key of the file.

  Args:
    data: the file's content.
    key: the key, such as 'images'.
    types: the fields that every entry must contain, with their types.
    unique: whether every entry must have a different `id`.

  Raises:
    ArgumentError: if the list is missing or an entry violates these conditions.
  """
  entries = data.get(key)
  if not isinstance(entries, list):
    raise ArgumentError(f'`{key}` is missing or no list')
  for number, entry in enumerate(entries):
    for field, kind in types.items():
      if not isinstance(entry, dict) or not isinstance(entry.get(field), kind):
        received = repr(entry.get(field)) if isinstance(entry, dict) else repr(entry)
        raise ArgumentError(f'`{key}[{number}].{field}` must be {kind.__name__}, received {received[:60]}')
  if unique and len({entry['id'] for entry in entries}) < len(entries):
    raise ArgumentError(f'`{key}` has the same `id` twice')
  return entries


def clean_annotations(image: dict[str, Any], annotations: list[dict[str, Any]], category_names: dict[int, str]
                      ) -> tuple[list[dict[str, Any]], list[Problem]]:
  """Drops the annotations of an image that cannot be used for training, and repairs the others.

  An annotation is dropped if its category is unknown, its box is empty, malformed or outside the image, or its mask is
  empty or unreadable. Repairs: boxes are clipped to the image; a missing `iscrowd` becomes 0; an `area` that is
  missing or not positive, and that of a clipped box, becomes the area of the mask in pixels; malformed polygons (see
  `coco_masks.is_polygon`) are removed. Everything else stays as it is.

  Args:
    image: an entry of `CocoFile.images`.
    annotations: the annotations of that image, dicts in COCO's format; they are not changed.
    category_names: the name of each known category by its id.

  Returns:
    (annotations, problems): the repaired annotations in the given order, and a `Problem` for each annotation that was
    dropped or whose box was visibly clipped.
  """
  kept, problems = [], []
  for annotation in annotations:
    mended, problem = _clean(annotation, image['height'], image['width'], category_names)
    if mended:
      kept.append(mended)
    if problem:
      problems.append(Problem(problem, f"annotation {annotation.get('id')} of {image['file_name']}"))
  return kept, problems


def _clean(annotation: dict, height: int, width: int, category_names: dict[int, str]) -> tuple[dict | None, str | None]:
  """Returns (the repaired annotation, or None to drop it; the kind of problem, or None if there is none)."""
  if annotation['category_id'] not in category_names:
    return None, UNKNOWN_CATEGORY
  box, problem = _clip_box(annotation['bbox'], height, width)
  if not box:
    return None, problem
  segmentation = _readable(annotation.get('segmentation'))
  mask_area = segmentation and _mask_area(segmentation, height, width)
  if not mask_area:
    return None, EMPTY_MASK
  area = annotation.get('area')
  if problem or not (is_number(area) and area > 0):
    area = mask_area
  return annotation | {'bbox': box, 'area': area, 'iscrowd': int(bool(annotation.get('iscrowd'))),
                       'segmentation': segmentation}, problem


def _clip_box(box: list, height: int, width: int) -> tuple[list | None, str | None]:
  """Returns (the box [x, y, width, height] clipped to the image, or None if nothing is left; the problem, or None)."""
  if len(box) != 4 or not all(map(is_number, box)) or min(box[2:]) <= 0:
    return None, EMPTY_BOX
  (x, w), (y, h) = _clip(box[0], box[2], width), _clip(box[1], box[3], height)
  if w <= 0 or h <= 0:
    return None, OUTSIDE_BOX
  clipped = [x, y, w, h]
  moved = max(abs(new - old) for new, old in zip(clipped, box))
  return clipped, CLIPPED_BOX if moved > _TOLERANCE else None


def _clip(start: float, length: float, end: float) -> tuple[float, float]:
  """Clips an interval to [0, end]; start + length <= end then holds in floating point, which Model Garden checks."""
  if start < 0:
    start, length = 0, start + length
  if start + length > end:
    length = end - start
    while length > 0 and start + length > end:
      length = math.nextafter(length, 0)
  return start, length


def _readable(segmentation: Any) -> list | dict | None:
  """Returns the well-formed polygons of a segmentation, or its run lengths unchanged; None if there are neither."""
  if isinstance(segmentation, dict):
    return segmentation
  if not isinstance(segmentation, list):
    return None
  return [polygon for polygon in segmentation if is_polygon(polygon)] or None


def _mask_area(segmentation: list | dict, height: int, width: int) -> int:
  """Returns the number of pixels of the mask; 0 if it cannot be read or does not have the size of the image."""
  try:
    return int(decode_mask(segmentation, height, width).sum())
  except ValueError:
    return 0
