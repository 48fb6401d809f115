"""Random augmentation of ImageNet's training images: Inception-style crops and RandAugment.

The distributions and the image operations are Model Garden's (`classification_input.Parser`, `augment.RandAugment`).
Model Garden draws from stateful generators that parallel threads race for; here every draw is a function of a seed, so
that an image's augmentation can be repeated.
"""

from collections.abc import Sequence
import functools

from official.vision.ops import augment
from official.vision.ops import preprocess_ops
import tensorflow as tf

_GREY = 128  # RandAugment's value where an image has no pixels
_SIGNED = ('Rotate', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY')


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
  """Returns uint8 `[height, width, 3]` of an image file: JPEG, grey and CMYK too, PNG, GIF or BMP."""
  return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def random_crop(encoded: tf.Tensor, area_range: Sequence[float], seed: tf.Tensor) -> tf.Tensor:
  """Decodes a random window of an image.

  Args:
    encoded: the bytes of a file that `decode_image` reads.
    area_range: least and greatest part of the image's area that a window covers; its aspect ratio is from 3:4 to 4:3.
      Where ten draws find none, the window is that of Model Garden's evaluation.
    seed: integers `[2]`.

  Returns:
    uint8 `[height, width, 3]`.
  """
  # Only of a JPEG a window can be decoded alone, but one of ImageNet's images is a PNG in spite of its name.
  encoded = tf.cond(
      tf.io.is_jpeg(encoded), lambda: encoded, lambda: tf.io.encode_jpeg(decode_image(encoded), quality=100))
  shape = tf.image.extract_jpeg_shape(encoded)
  whole_image = tf.constant([[[0., 0., 1., 1.]]])
  offset, size, _ = tf.image.stateless_sample_distorted_bounding_box(
      shape, whole_image, seed, min_object_covered=area_range[0], aspect_ratio_range=(3 / 4, 4 / 3),
      area_range=area_range, max_attempts=10)
  # The op returns the whole image after ten attempts in vain.
  nothing_found = tf.reduce_all(size[:2] == shape[:2])
  window = tf.concat([offset[:2], size[:2]], 0)
  return tf.cond(
      nothing_found, lambda: preprocess_ops.center_crop_image_v2(encoded, shape),
      lambda: tf.image.decode_and_crop_jpeg(encoded, window, channels=3))


def rand_augment(image: tf.Tensor, policy: augment.RandAugment, seed: tf.Tensor) -> tf.Tensor:
  """Applies RandAugment (Cubuk et al. 2020): operations drawn at random, one after the other.

  Args:
    image: float32 `[height, width, 3]` of 0 to 255.
    policy: has the number of layers, the magnitude and the operations.
    seed: integers `[2]`.

  Returns:
    The image, float32 of whole numbers.
  """
  shape = image.shape
  image = tf.cast(tf.clip_by_value(image, 0., 255.), tf.uint8)
  for layer_seed in tf.unstack(tf.random.split(seed, policy.num_layers)):
    image = _random_operation(image, policy, layer_seed)
  return tf.ensure_shape(tf.cast(image, tf.float32), shape)


def _random_operation(image: tf.Tensor, policy: augment.RandAugment, seed: tf.Tensor) -> tf.Tensor:
  """Applies one of the policy's operations or, as in Model Garden, just as likely none."""
  choice_seed, argument_seed = tf.unstack(tf.random.split(seed))
  operations = [functools.partial(_apply, name, image, policy, argument_seed) for name in policy.available_ops]
  choice = tf.random.stateless_uniform([], choice_seed, 0, len(operations) + 1, tf.int32)
  return tf.switch_case(choice, [*operations, lambda: tf.identity(image)])


def _apply(name: str, image: tf.Tensor, policy: augment.RandAugment, seed: tf.Tensor) -> tf.Tensor:
  arguments = augment.level_to_arg(policy.cutout_const, policy.translate_const)[name](policy.magnitude)
  if name == 'Cutout':
    return cutout(image, *arguments, seed)
  if name in _SIGNED:  # Model Garden has drawn a sign already, with a stateful generator
    sign = 1. - 2. * tf.cast(tf.random.stateless_uniform([], seed) < .5, tf.float32)
    arguments = [sign * tf.abs(arguments[0])]
  if name in augment.REPLACE_FUNCS:
    arguments = [*arguments, [_GREY] * 3]
  return augment.NAME_TO_FUNC[name](image, *arguments)


def cutout(image: tf.Tensor, half_size: int, seed: tf.Tensor) -> tf.Tensor:
  """Greys a square around a random pixel.

  Args:
    image: uint8 `[height, width, 3]`.
    half_size: half the side of the square, in pixels.
    seed: integers `[2]`.

  Returns:
    The image, uint8.
  """
  size = tf.shape(image)[:2]
  centre = tf.cast(tf.random.stateless_uniform([2], seed) * tf.cast(size, tf.float32), tf.int32)
  rows, columns = tf.range(size[0]) - centre[0], tf.range(size[1]) - centre[1]
  hit_rows, hit_columns = ((-half_size <= distance) & (distance < half_size) for distance in (rows, columns))
  return tf.where((hit_rows[:, None] & hit_columns)[..., None], tf.cast(_GREY, tf.uint8), image)
