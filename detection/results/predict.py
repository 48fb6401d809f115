"""Predictions for image files, written as annotated pictures and as JSON."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import itertools
import os
import pathlib
import time
from typing import Any

from absl import logging
import numpy as np
from PIL import Image
import tensorflow as tf

from detection.data.coco_masks import compress_mask
from detection.results.instances import detected
from detection.results.instances import Instances
from detection.results.visualize import draw
from detection.results.visualize import MIN_SCORE
from evonorm_tf.data import orientation
from evonorm_tf.data.image_files import silent_jpeg_library
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import naming
from evonorm_tf.output.model_dir import write_json

_SECONDS_BETWEEN_WRITES = 60.


def predict(detect: Callable[[tf.Tensor], Mapping[str, tf.Tensor]], paths: Iterable[str | os.PathLike],
            folder: str | os.PathLike, names: Mapping[int, str], min_score: float = MIN_SCORE,
            category_ids: Mapping[int, int] | None = None) -> dict[str, Any]:
  """Detects objects in image files and writes an annotated PNG for each, and predictions.json for all.

  Photographs are turned as the orientation in their EXIF data says, so that pictures, sizes, boxes and masks are of
  what a viewer shows. Files that cannot be read are skipped, with a warning in the log and an entry in
  predictions.json, which is also written every minute.

  Args:
    detect: a function from an image, uint8 `[1, height, width, 3]`, to detections by name: the method `from_images` of
      an `export.Detector`, or of the SavedModel made from it.
    paths: the paths of PNG, JPEG, GIF or BMP files.
    folder: the path of the folder that receives the files; it is created if it does not exist.
    names: the name of each category by its id.
    min_score: the least score; detections with a lower one are neither drawn nor written (default `MIN_SCORE`, 0.5).
    category_ids: the id of the category that each of the detector's classes stands for; None (default) if they are the
      same.

  Returns:
    The content of predictions.json, a dict of two lists. `images` contains a dict for each image: `image` (its path),
    `picture` (the PNG's name), `height`, `width` and `detections`, a list of dicts with `category_id`, `category`,
    `score`, `bbox` (`[x, y, width, height]` in pixels) and, for models with masks, `segmentation` (COCO's compressed
    run lengths). `unreadable` contains a dict with `image` and `error` for each file that was skipped.

  Raises:
    ArgumentError: if there are no paths.
  """
  paths = [pathlib.Path(path) for path in paths]
  if not paths:
    raise ArgumentError('`paths` must name at least one image; received none.')
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  result, written = {'images': [], 'unreadable': []}, time.monotonic()
  for path, picture in zip(paths, _pictures(paths)):
    try:
      encoded = path.read_bytes()
      with silent_jpeg_library():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
      image = orientation.turn(image, orientation.read(encoded))
    except (OSError, tf.errors.InvalidArgumentError) as e:
      logging.warning('%s cannot be read: %s', path, e)
      result['unreadable'].append({'image': str(path), 'error': str(e)})
      continue
    height, width = image.shape[:2]
    instances = detected({name: value[0].numpy() for name, value in detect(image[None]).items()},
                         height, width, min_score)
    if category_ids is not None:
      classes = np.array([category_ids[label] for label in instances.classes.tolist()], np.int64)
      instances = dataclasses.replace(instances, classes=classes)
    with naming(folder / picture):
      Image.fromarray(draw(image.numpy(), instances, names)).save(folder / picture)
    result['images'].append({'image': str(path), 'picture': picture, 'height': height, 'width': width,
                             'detections': _records(instances, names)})
    if time.monotonic() - written > _SECONDS_BETWEEN_WRITES:
      write_json(folder / 'predictions.json', result, indent=1)
      written = time.monotonic()
  write_json(folder / 'predictions.json', result, indent=1)
  return result


def _pictures(paths: list[pathlib.Path]) -> list[str]:
  """Returns the PNG's name for each path; if files of several folders or formats share a name, it gets a number."""
  names = {}
  for path in paths:
    candidates = (f'{path.stem}{number}_detections.png' for number in itertools.chain([''], itertools.count(2)))
    names[next(name for name in candidates if name not in names)] = path
  return list(names)


def _records(instances: Instances, names: Mapping[int, str]) -> list[dict[str, Any]]:
  records = [
      {'category_id': int(category), 'category': names.get(int(category), str(category)), 'score': float(score),
       'bbox': box.tolist()}
      for category, score, box in zip(instances.classes, instances.scores, instances.boxes_xywh())]
  if instances.masks is not None:
    for record, mask in zip(records, instances.masks):
      record['segmentation'] = compress_mask(mask)
  return records
