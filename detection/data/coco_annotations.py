"""A reader of COCO's annotation files that checks them, and a function that cleans annotations for training."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from detection.data.coco_masks import compress_mask
from detection.data.coco_masks import decode_mask
from detection.data.coco_masks import is_number
from detection.data.coco_masks import is_polygon
from detection.data.conversion_report import CLIPPED_BOX
from detection.data.conversion_report import DERIVED_BOX
from detection.data.conversion_report import EMPTY_BOX
from detection.data.conversion_report import EMPTY_MASK
from detection.data.conversion_report import MALFORMED_ANNOTATION
from detection.data.conversion_report import MALFORMED_IMAGE
from detection.data.conversion_report import OUTSIDE_BOX
from detection.data.conversion_report import Problem
from detection.data.conversion_report import UNKNOWN_CATEGORY
from detection.data.conversion_report import UNKNOWN_IMAGE
from detection.data.prepared import category_ids
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.printable import printable

_TOLERANCE = .02  # pixels. COCO's numbers have two decimals, so a smaller excess is due to rounding and not reported
_LEAST = 1e-3  # pixels, the least side of a box; in float32, as a fraction of the image, less might be nothing
_POLYGONS = 100  # of an object, at most; Model Garden's converter and pycocotools's evaluation take a mask for each
_DEPTH = 32  # of lists and objects inside each other, in the fields that are only copied
_IMAGE = {'id': int, 'file_name': str, 'height': int, 'width': int}
_ANNOTATION = {'image_id': int, 'category_id': int}
_CATEGORY = {'id': int, 'name': str}


@dataclasses.dataclass(frozen=True)
class CocoFile:
  """The checked content of a COCO annotation file.

  Attributes:
    images: the file's well-formed entries of images, in file order; each is a dict with `id`, `file_name`, `height` and
      `width`.
    annotations_by_image: for each image id, the file's well-formed annotations of that image, in file order; perhaps
      none.
    category_names: the name of each category by its id, any 64-bit integer, in file order.
    problems: one problem for each entry of an image or an annotation that is malformed, and for each annotation of an
      image that the file does not list.
    sha256: the SHA-256 digest of the file's bytes, in hexadecimal.
    num_images: the number of all entries of images in the file.
    num_annotations: the number of all entries of annotations in the file.

  Raises:
    ArgumentError: if there are no images, or no categories.
  """
  images: tuple[dict, ...]
  annotations_by_image: dict[int, list[dict]]
  category_names: dict[int, str]
  problems: tuple[Problem, ...]
  sha256: str
  num_images: int
  num_annotations: int

  def __post_init__(self):
    if not self.images:
      cause = f': {printable(self.problems[0].name)}' if self.num_images else ''
      raise ArgumentError(f'it lists no images{" that can be used" if self.num_images else ""}{cause}')
    if not self.category_names:
      raise ArgumentError('it lists no categories')

  @functools.cached_property
  def labels(self) -> dict[int, int]:
    """The label of each category by its id; see `prepared.category_ids`."""
    return {number: label for label, number in category_ids(self.category_names).items()}


def read_coco(path: str | os.PathLike) -> CocoFile:
  """Reads a COCO annotation file, such as instances_val2017.json, and checks its structure.

  A malformed entry of an image or an annotation (a missing field, one of another type, an image without pixels, lists
  or objects more than 32 deep inside each other) is left out and noted in `CocoFile.problems`. Boxes and masks are not
  checked here; `clean_annotations` does that.

  Args:
    path: the path of the JSON file.

  Raises:
    ArgumentError: if the file cannot be read, does not have COCO's structure, lists no images that can be used or no
      categories, contains an image or category id twice, or a malformed category.
  """
  try:
    content = pathlib.Path(path).read_bytes()
    return _parse(json.loads(content, parse_int=_parse_integer), hashlib.sha256(content).hexdigest())
  except (OSError, ValueError, RecursionError) as e:
    cause = 'it is nested too deeply' if isinstance(e, RecursionError) else e
    raise ArgumentError(f'`annotations` must be a JSON file in the form of COCO\'s instances_val2017.json, received '
                        f"'{path}': {cause}") from e


def _parse_integer(text: str) -> int | float:
  """Returns a JSON integer; as a float, perhaps infinity, if it does not fit into 64 bits and so is no id or number."""
  return int(text) if len(text) <= 20 and -2**63 <= int(text) < 2**63 else float(text)


def _parse(data: Any, sha256: str) -> CocoFile:
  if not isinstance(data, dict):
    raise ArgumentError(
        f'it holds no object with `images`, `annotations` and `categories`, but a {type(data).__name__}')
  images, problems = _well_formed(data, 'images', _IMAGE, MALFORMED_IMAGE)
  annotations, malformed = _well_formed(data, 'annotations', _ANNOTATION, MALFORMED_ANNOTATION)
  categories, refused = _well_formed(data, 'categories', _CATEGORY, '')
  if refused:  # without its categories, a file would be of another task
    raise ArgumentError(printable(refused[0].name))
  for key, entries in (('images', images), ('categories', categories)):
    if len({entry['id'] for entry in entries}) < len(entries):
      raise ArgumentError(f'`{key}` has the same `id` twice')
  problems, by_image = [*problems, *malformed], {image['id']: [] for image in images}
  for annotation in annotations:
    if annotation['image_id'] in by_image:
      by_image[annotation['image_id']].append(annotation)
    else:
      problems.append(Problem(UNKNOWN_IMAGE, f'{_name(annotation)} of image {annotation["image_id"]}'))
  names = {category['id']: _without_surrogates(category['name']) for category in categories}
  return CocoFile(
      tuple(images), by_image, names, tuple(problems), sha256, len(data['images']), len(data['annotations']))


def _well_formed(data: dict, key: str, types: dict[str, type], kind: str) -> tuple[list[dict], list[Problem]]:
  """Returns the well-formed entries of the list under a key of the file, and a problem for each of the others.

  Args:
    data: the file's content.
    key: the key, such as 'images'.
    types: the fields that every entry must contain, with their types.
    kind: the kind of the problems.

  Raises:
    ArgumentError: if the list is missing.
  """
  entries = data.get(key)
  if not isinstance(entries, list):
    raise ArgumentError(f'`{key}` is missing or no list')
  faults = [_fault(entry, f'{key}[{number}]', types) for number, entry in enumerate(entries)]
  return ([entry for entry, fault in zip(entries, faults) if not fault],
          [Problem(kind, fault) for fault in faults if fault])


def _fault(entry: Any, place: str, types: dict[str, type]) -> str | None:
  """Returns what is wrong with an entry, or None."""
  if not isinstance(entry, dict):
    return f'`{place}` must be an object, received {_short(entry)}'
  for field, kind in types.items():
    value = entry.get(field)
    if not isinstance(value, kind) or isinstance(value, bool):
      return f'`{place}.{field}` must be {kind.__name__}, received {_short(value)}'
    if field in ('height', 'width') and value < 1:
      return f'`{place}.{field}` must be at least 1, received {value}'
  if any(_is_deep(value, _DEPTH) for field, value in entry.items() if field != 'segmentation'):
    return f'`{place}` is nested more than {_DEPTH} deep'
  return None


def _short(value: Any) -> str:
  """Returns the beginning of a JSON value's text; the text of a long or deep list is not made."""
  return repr(value)[:60] if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__


def _is_deep(value: Any, depth: int) -> bool:
  """Returns whether lists and objects are inside each other more than `depth` times in a JSON value."""
  if not isinstance(value, (dict, list)):
    return False
  return depth == 0 or any(_is_deep(v, depth - 1) for v in (value.values() if isinstance(value, dict) else value))


def _without_surrogates(text: str) -> str:
  """Returns a text with U+FFFD in place of each lone surrogate, which JSON can hold, but no encoding can write."""
  return text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')


def _name(annotation: dict) -> str:
  return f"annotation {_short(annotation.get('id'))}"


def clean_annotations(image: dict[str, Any], annotations: list[dict[str, Any]], category_names: dict[int, str]
                      ) -> tuple[list[dict[str, Any]], list[Problem]]:
  """Drops the annotations of an image that cannot be used for training, and repairs the others.

  An annotation is dropped if its category is unknown, its `iscrowd` is anything but 0, 1, true or false, its box is
  empty, malformed or outside the image, or its mask is empty or unreadable. Repairs: a missing box becomes that of the
  mask; boxes are clipped to the image; a missing `iscrowd` becomes 0; an `area` that is missing, not positive or larger
  than the image, and that of a clipped box, becomes the area of the mask in pixels; malformed polygons (see
  `coco_masks.is_polygon`) are removed; more than 100 polygons become compressed run lengths. Everything else stays as
  it is.

  Args:
    image: an entry of `CocoFile.images`.
    annotations: the annotations of that image, dicts in COCO's format; they are not changed.
    category_names: the name of each known category by its id.

  Returns:
    (annotations, problems): the repaired annotations in the given order, and a `Problem` for each annotation that was
    dropped, had no box, or whose box was visibly clipped.
  """
  kept, problems = [], []
  for annotation in annotations:
    mended, problem = _clean(annotation, image['height'], image['width'], category_names)
    if mended:
      kept.append(mended)
    if problem:
      problems.append(Problem(problem, f"{_name(annotation)} of {image['file_name']}"))
  return kept, problems


def _clean(annotation: dict, height: int, width: int, category_names: dict[int, str]) -> tuple[dict | None, str | None]:
  """Returns (the repaired annotation, or None to drop it; the kind of problem, or None if there is none)."""
  if annotation['category_id'] not in category_names:
    return None, UNKNOWN_CATEGORY
  crowd = annotation.get('iscrowd')
  if crowd is not None and (not isinstance(crowd, (bool, int, float)) or crowd not in (0, 1)):
    return None, MALFORMED_ANNOTATION
  box, problem = annotation.get('bbox'), DERIVED_BOX
  if box is not None:
    box, problem = _clip_box(box, height, width)
    if not box:
      return None, problem
  segmentation, mask = _decode(annotation.get('segmentation'), height, width)
  if segmentation is None:
    return None, EMPTY_MASK
  area = annotation.get('area')
  if problem == CLIPPED_BOX or not (is_number(area) and 0 < area <= height * width):
    area = int(mask.sum())
  return annotation | {'bbox': box or _box_of(mask), 'area': area, 'iscrowd': int(crowd or 0),
                       'segmentation': segmentation}, problem


def _clip_box(box: Any, height: int, width: int) -> tuple[list | None, str | None]:
  """Returns (the box [x, y, width, height] clipped to the image, or None if nothing is left; the problem, or None)."""
  if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)) or min(box[2:]) < _LEAST:
    return None, EMPTY_BOX
  (x, w), (y, h) = _clip(box[0], box[2], width), _clip(box[1], box[3], height)
  if w < _LEAST or h < _LEAST:
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


def _decode(segmentation: Any, height: int, width: int) -> tuple[list | dict | None, np.ndarray | None]:
  """Returns (the well-formed part of a segmentation, its mask), or (None, None) if that is empty or unreadable."""
  if isinstance(segmentation, list):
    segmentation = [polygon for polygon in segmentation if is_polygon(polygon)]
  elif isinstance(segmentation, dict):
    segmentation = {'counts': segmentation.get('counts'), 'size': segmentation.get('size')}
  else:
    return None, None
  try:
    mask = decode_mask(segmentation, height, width)
  except ValueError:
    return None, None
  if not mask.any():
    return None, None
  if isinstance(segmentation, dict):
    segmentation['size'] = [height, width]  # it may have been floats
  return compress_mask(mask) if len(segmentation) > _POLYGONS else segmentation, mask


def _box_of(mask: np.ndarray) -> list[int]:
  """Returns the box of a mask that is not empty, [x, y, width, height] in pixels."""
  (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0))
  return [left, top, right - left + 1, bottom - top + 1]
