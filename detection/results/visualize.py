"""Pictures of detections: an image with boxes, translucent masks, class names and scores, in one colour per class."""

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

MIN_SIDE = 400  # pixels, the least length of the longer side; smaller images are enlarged to make the names legible
MIN_SCORE = .5  # the least score of a detection that is drawn, by default
_OPACITY = .45  # the opacity of masks
_GAP = 8  # pixels between two pictures


def colour(category: int) -> tuple[int, int, int]:
  """Returns the colour of a category as red, green and blue, from 0 to 255.

  The hue is the fractional part of the id times √2, which spreads the hues over the whole circle. Ids that are 5, 12 or
  29 apart have nearly the same hue, but a different lightness.

  Args:
    category: the id of the category.
  """
  hue, lightness = category * 2**.5 % 1, (.75, .3, .45)[category % 3]
  return tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, .9))


def draw(image: np.ndarray, instances: Instances, names: Mapping[int, str]) -> np.ndarray:
  """Draws objects over an image, small ones over large ones.

  Args:
    image: uint8 `[height, width, 3]`; it is not changed.
    instances: the objects, in pixels of the image.
    names: the name of each category by its id; an id without a name is written as a number.

  Returns:
    The picture, uint8 `[height, width, 3]`. If the image's longer side is below `MIN_SIDE`, the picture is enlarged by
    the least integer factor that reaches it.
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
  """A writer of labels that puts each one at the corner of its box where it covers the least of earlier labels."""

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
    """Returns the number of pixels of earlier labels that a label at this place would cover."""
    sides = np.minimum(self._taken[:, 2:], place[2:]) - np.maximum(self._taken[:, :2], place[:2])
    return np.prod(sides.clip(0), axis=1).sum()


def _ink(background: tuple[int, int, int]) -> str:
  """Returns 'black' or 'white', whichever contrasts more with the background colour."""
  return 'black' if np.dot(background, (.299, .587, .114)) > 128 else 'white'


def beside(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns a picture that shows several pictures side by side, each below its title.

  Args:
    pictures: the pictures by title, from left to right; uint8 `[height, width, 3]`, all of the same height.

  Returns:
    uint8 `[height, width, 3]`.
  """
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
  """Returns a picture that shows the ground truth of an image beside the predictions.

  Args:
    image: uint8 `[height, width, 3]`.
    truth: the annotated objects, in pixels of the image.
    found: the detected objects, in pixels of the image.
    names: the name of each category by its id.

  Returns:
    uint8 `[height, width, 3]`; see `draw` for the size of each half.
  """
  return beside({'ground truth': draw(image, truth, names), 'predictions': draw(image, found, names)})


def comparisons(images: np.ndarray, predictions: Mapping[str, np.ndarray], coco: COCO, min_score: float = MIN_SCORE
                ) -> Iterator[tuple[int, np.ndarray]]:
  """Makes a picture of ground truth and predictions for each image in a validation batch.

  Args:
    images: the images as the network reads them, normalized and padded, float `[batch, height, width, 3]`.
    predictions: the network's outputs for these images, as `instances.detected_in_batch` describes them.
    coco: the annotations of the images.
    min_score: the least score; predictions with a lower one are not drawn (default `MIN_SCORE`, 0.5).

  Yields:
    (image id, picture) for each image in order; the picture is the result of `compare`.
  """
  for image, info, (image_id, found) in zip(images, predictions['image_info'],
                                            detected_in_batch(predictions, min_score)):
    yield image_id, compare(_original(image, info), annotated(coco, image_id), found, category_names(coco))


def write_comparisons(images: np.ndarray, predictions: Mapping[str, np.ndarray], coco: COCO, step: int | tf.Tensor,
                      min_score: float = MIN_SCORE) -> None:
  """Writes pictures of ground truth and predictions to TensorFlow's default summary writer.

  Args:
    images: the images as the network reads them, normalized and padded, float `[batch, height, width, 3]`.
    predictions: the network's outputs for these images, as `instances.detected_in_batch` describes them.
    coco: the annotations of the images.
    step: the training step under which TensorBoard shows the pictures.
    min_score: the least score; predictions with a lower one are not drawn (default `MIN_SCORE`, 0.5).
  """
  for image_id, picture in comparisons(images, predictions, coco, min_score):
    tf.summary.image(f'validation/{image_id}', picture[None], step=step)


def _original(image: np.ndarray, image_info: np.ndarray) -> np.ndarray:
  """Returns the original image, uint8, from its normalized, scaled and padded form, without details lost by scaling."""
  size, _, scale, _ = np.asarray(image_info, np.float64)
  pixels = np.asarray(image, np.float32) * preprocess_ops.STDDEV_RGB + preprocess_ops.MEAN_RGB
  height, width = np.rint(size * scale).astype(int)
  pixels = np.rint(pixels[:height, :width]).clip(0, 255).astype(np.uint8)
  height, width = np.rint(size).astype(int)
  return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
