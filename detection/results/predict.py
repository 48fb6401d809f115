"""What a detector finds in image files, as annotated pictures and as JSON."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import itertools
import pathlib

from absl import logging
from PIL import Image
import tensorflow as tf

from detection.data.coco_masks import compress_mask
from detection.results.instances import detected
from detection.results.instances import Instances
from detection.results.visualize import draw
from detection.results.visualize import MIN_SCORE
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import write_json


def predict(detect: Callable, paths: Iterable, folder, names: Mapping[int, str], min_score: float = MIN_SCORE) -> dict:
  """Writes an annotated PNG of each image, and predictions.json; files that cannot be read are reported and skipped.

  Args:
    detect: `from_images` of a `Detector` or of the SavedModel of one.
    paths: of files of PNG, JPEG, GIF or BMP.
    folder: receives the files; is made if need be.
    names: of the category ids.
    min_score: detections below are neither drawn nor written.

  Returns:
    What predictions.json holds. `images`: `image` (the path), `picture` (the name of the PNG), `height`, `width` and
    `detections`, a list of `category_id`, `category`, `score`, `bbox` (`[x, y, width, height]` in pixels) and, of
    models with masks, `segmentation` (COCO's run lengths). `unreadable`: `image` and `error`.

  Raises:
    ValueError: if there are no paths.
  """
  paths = [pathlib.Path(path) for path in paths]
  if not paths:
    raise ArgumentError('`paths` must name at least one image; received none.')
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  result = {'images': [], 'unreadable': []}
  for path, picture in zip(paths, _pictures(paths)):
    try:
      image = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
    except (OSError, tf.errors.InvalidArgumentError) as e:
      logging.warning('%s cannot be read: %s', path, e)
      result['unreadable'].append({'image': str(path), 'error': str(e)})
      continue
    height, width = image.shape[:2]
    instances = detected({name: value[0].numpy() for name, value in detect(image[None]).items()},
                         height, width, min_score)
    Image.fromarray(draw(image.numpy(), instances, names)).save(folder / picture)
    result['images'].append({'image': str(path), 'picture': picture, 'height': height, 'width': width,
                             'detections': _records(instances, names)})
  write_json(folder / 'predictions.json', result, indent=1)
  return result


def _pictures(paths: list[pathlib.Path]) -> list[str]:
  """Names of PNGs, with a number where images of several folders or kinds are called the same."""
  names = {}
  for path in paths:
    candidates = (f'{path.stem}{number}_detections.png' for number in itertools.chain([''], itertools.count(2)))
    names[next(name for name in candidates if name not in names)] = path
  return list(names)


def _records(instances: Instances, names: Mapping[int, str]) -> list[dict]:
  records = [
      {'category_id': int(category), 'category': names.get(int(category), str(category)), 'score': float(score),
       'bbox': box.tolist()}
      for category, score, box in zip(instances.classes, instances.scores, instances.boxes_xywh())]
  if instances.masks is not None:
    for record, mask in zip(records, instances.masks):
      record['segmentation'] = compress_mask(mask)
  return records
