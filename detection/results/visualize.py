"""Pictures of detections: boxes, translucent masks, class names and scores over an image, with a colour per class."""

from collections.abc import Iterator
from collections.abc import Mapping
import colorsys

import numpy as np
from official.vision.ops import preprocess_ops
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont
from pycocotools.coco import COCO
import tensorflow as tf

from detection.results.instances import annotated
from detection.results.instances import category_names
from detection.results.instances import detected_in_batch
from detection.results.instances import Instances

MIN_SIDE = 400  # pixels of the longer side; smaller images are enlarged, so that the names are legible
MIN_SCORE = .5
_OPACITY = .45  # of masks
_GAP = 8  # pixels between two pictures


def colour(category: int) -> tuple[int, int, int]:
  """Returns red, green and blue, 0 to 255, of a category id.

  Multiples of √2 spread over the circle of hues. Where two of them nearly meet, such as those of ids that are 5, 12 or
  29 apart, the lightness differs.
  """
  hue, lightness = category * 2**.5 % 1, (.75, .3, .45)[category % 3]
  return tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, .9))


def draw(image: np.ndarray, instances: Instances, names: Mapping[int, str]) -> np.ndarray:
  """Returns a picture of objects.

  Args:
    image: uint8 `[height, width, 3]`.
    instances: the objects, in pixels of the image. Small ones are drawn over large ones.
    names: of the categories, by id; an id without a name is written as a number.

  Returns:
    uint8 `[height, width, 3]`, enlarged by an integer factor if the longer side is below MIN_SIDE.
  """
  factor = -(-MIN_SIDE // max(image.shape[:2]))
  colours = [colour(int(category)) for category in instances.classes]
  large_first = np.argsort(-np.prod(instances.boxes[:, 2:] - instances.boxes[:, :2], axis=1), kind='stable')
  picture = image.astype(np.float32)
  for i in large_first if instances.masks is not None else ():
    picture[instances.masks[i]] += _OPACITY * (colours[i] - picture[instances.masks[i]])
  picture = Image.fromarray(np.rint(picture).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1))
  canvas, limits = ImageDraw.Draw(picture), np.tile(picture.size, 2) - 1
  boxes = np.clip(factor * instances.boxes[:, [1, 0, 3, 2]], 0, limits).round().astype(int).tolist()
  for i in large_first:
    canvas.rectangle(boxes[i], outline=colours[i], width=max(1, round(max(picture.size) / 400)))
  labels = _Labels(canvas, picture.size)
  for i in large_first if instances.scores is None else np.argsort(-instances.scores, kind='stable'):
    score = '' if instances.scores is None else f' {instances.scores[i]:.0%}'
    labels.write(f'{names.get(int(instances.classes[i]), instances.classes[i])}{score}', boxes[i], colours[i])
  return np.asarray(picture)


class _Labels:
  """Writes each text at the corner of its box where it covers the least of earlier texts."""

  def __init__(self, canvas: ImageDraw.ImageDraw, size: tuple[int, int]):
    self._canvas = canvas
    self._size = size
    self._font = ImageFont.load_default(max(size) // 40)
    self._taken = np.zeros([0, 4])

  def write(self, text: str, box: list[int], background: tuple[int, int, int]) -> None:
    left, _, right, _ = self._font.getbbox(text)
    width, height = right - left + 4, sum(self._font.getmetrics())
    x0, y0, x1, y1 = box
    corners = [(x, y) for y in (y0 - height, y0, y1 - height, y1) for x in (x0, x1 - width)]
    places = [(x, y, x + width, y + height) for x, y in (
        (min(max(x, 0), self._size[0] - width), min(max(y, 0), self._size[1] - height)) for x, y in corners)]
    place = min(places, key=self._covered)
    self._taken = np.vstack([self._taken, place])
    self._canvas.rectangle((*place[:2], place[2] - 1, place[3] - 1), fill=background)
    self._canvas.text((place[0] + 2 - left, place[1]), text, fill=_ink(background), font=self._font)

  def _covered(self, place: tuple[int, int, int, int]) -> float:
    """Returns the number of pixels of earlier texts that a place covers."""
    sides = np.minimum(self._taken[:, 2:], place[2:]) - np.maximum(self._taken[:, :2], place[:2])
    return np.prod(sides.clip(0), axis=1).sum()


def _ink(background: tuple[int, int, int]) -> str:
  """Returns black or white, whichever has more contrast."""
  return 'black' if np.dot(background, (.299, .587, .114)) > 128 else 'white'


def beside(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns pictures of one height side by side, each under its title."""
  height = next(iter(pictures.values())).shape[0]
  font = ImageFont.load_default(max(14, height // 28))
  title_height = sum(font.getmetrics()) + _GAP
  width = sum(picture.shape[1] + _GAP for picture in pictures.values()) - _GAP
  sheet = Image.new('RGB', (width, height + title_height), 'white')
  canvas, x = ImageDraw.Draw(sheet), 0
  for title, picture in pictures.items():
    canvas.text((x + _GAP // 2, _GAP // 2), title, fill='black', font=font)
    sheet.paste(Image.fromarray(picture), (x, title_height))
    x += picture.shape[1] + _GAP
  return np.asarray(sheet)


def compare(image: np.ndarray, truth: Instances, found: Instances, names: Mapping[int, str]) -> np.ndarray:
  """Returns a picture of the ground truth beside one of the predictions; arguments as for `draw`."""
  return beside({'ground truth': draw(image, truth, names), 'predictions': draw(image, found, names)})


def comparisons(images: np.ndarray, predictions: Mapping[str, np.ndarray], coco: COCO, min_score: float = MIN_SCORE
                ) -> Iterator[tuple[int, np.ndarray]]:
  """Yields the image id and the picture of `compare` for each image in a validation batch.

  Args:
    images: `[batch, height, width, 3]` as the network reads them, normalized and padded.
    predictions: for these images, as in `detected_in_batch`.
    coco: the annotations.
    min_score: predictions with a lower score are not drawn.
  """
  for image, info, (image_id, found) in zip(images, predictions['image_info'],
                                            detected_in_batch(predictions, min_score)):
    yield image_id, compare(_original(image, info), annotated(coco, image_id), found, category_names(coco))


def write_comparisons(images: np.ndarray, predictions: Mapping[str, np.ndarray], coco: COCO, step: int | tf.Tensor,
                      min_score: float = MIN_SCORE) -> None:
  """Writes the pictures of `comparisons` to the default summary writer, at a step."""
  for image_id, picture in comparisons(images, predictions, coco, min_score):
    tf.summary.image(f'validation/{image_id}', picture[None], step=step)


def _original(image: np.ndarray, image_info: np.ndarray) -> np.ndarray:
  """Undoes what the data pipeline did to an image, except for the detail lost by scaling."""
  size, _, scale, _ = np.asarray(image_info, np.float64)
  pixels = np.asarray(image, np.float32) * preprocess_ops.STDDEV_RGB + preprocess_ops.MEAN_RGB
  height, width = np.rint(size * scale).astype(int)
  pixels = np.rint(pixels[:height, :width]).clip(0, 255).astype(np.uint8)
  height, width = np.rint(size).astype(int)
  return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
