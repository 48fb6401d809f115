"""Random augmentation of ImageNet's training images: Inception-style crops and RandAugment.

The distributions and the image operations are those of the TensorFlow Model Garden (`classification_input.Parser`,
`augment.RandAugment`). Model Garden draws from stateful generators that parallel threads share, so its results depend
on timing. Here every draw is a function of a seed, and an image's augmentation can be repeated.
"""

from collections.abc import Sequence
import functools

from official.vision.ops import augment
from official.vision.ops import preprocess_ops
import tensorflow as tf

_GREY = 128  # RandAugment fills pixels outside the original image with this value
_SIGNED = ('Rotate', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY')


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
  """Decodes an image file.

  Args:
    encoded: the bytes of a JPEG (also grey or CMYK), PNG, GIF or BMP file, a scalar string tensor.

  Returns:
    The image, uint8 `[height, width, 3]`; of an animated GIF, the first frame.
  """
  return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def random_crop(encoded: tf.Tensor, area_range: Sequence[float], seed: tf.Tensor) -> tf.Tensor:
  """Decodes a random window of an image, with an aspect ratio from 3:4 to 4:3.

  If ten draws find no such window, Model Garden's evaluation crop is taken: the central 87.5% of the shorter side.

  Args:
    encoded: the bytes of an image file that `decode_image` can read, a scalar string tensor.
    area_range: the least and the greatest fraction of the image's area that the window covers.
    seed: integer tensor `[2]`, on which the window depends.

  Returns:
    The window, uint8 `[height, width, 3]`.
  """
  # Part of an image can be decoded only for JPEG, and one of ImageNet's images is a PNG despite its name.
  encoded = tf.cond(
      tf.io.is_jpeg(encoded), lambda: encoded, lambda: tf.io.encode_jpeg(decode_image(encoded), quality=100))
  shape = tf.image.extract_jpeg_shape(encoded)
  whole_image = tf.constant([[[0., 0., 1., 1.]]])
  offset, size, _ = tf.image.stateless_sample_distorted_bounding_box(
      shape, whole_image, seed, min_object_covered=area_range[0], aspect_ratio_range=(3 / 4, 4 / 3),
      area_range=area_range, max_attempts=10)
  # The op returns the whole image after ten failed attempts.
  nothing_found = tf.reduce_all(size[:2] == shape[:2])
  window = tf.concat([offset[:2], size[:2]], 0)
  return tf.cond(
      nothing_found, lambda: preprocess_ops.center_crop_image_v2(encoded, shape),
      lambda: tf.image.decode_and_crop_jpeg(encoded, window, channels=3))


def rand_augment(image: tf.Tensor, policy: augment.RandAugment, seed: tf.Tensor) -> tf.Tensor:
  """Applies RandAugment (Cubuk et al. 2020): a fixed number of randomly drawn operations, one after another.

  Args:
    image: float32 `[height, width, 3]` with values from 0 to 255.
    policy: Model Garden's RandAugment object; it supplies the number of layers, the magnitude and the operations.
    seed: integer tensor `[2]`, on which all draws depend.

  Returns:
    The augmented image, float32 `[height, width, 3]` with whole numbers from 0 to 255.
  """
  shape = image.shape
  image = tf.cast(tf.clip_by_value(image, 0., 255.), tf.uint8)
  for layer_seed in tf.unstack(tf.random.split(seed, policy.num_layers)):
    image = _random_operation(image, policy, layer_seed)
  return tf.ensure_shape(tf.cast(image, tf.float32), shape)


def _random_operation(image: tf.Tensor, policy: augment.RandAugment, seed: tf.Tensor) -> tf.Tensor:
  """Applies one of the policy's operations or none, all with the same probability, as Model Garden does."""
  choice_seed, argument_seed = tf.unstack(tf.random.split(seed))
  operations = [functools.partial(_apply, name, image, policy, argument_seed) for name in policy.available_ops]
  choice = tf.random.stateless_uniform([], choice_seed, 0, len(operations) + 1, tf.int32)
  return tf.switch_case(choice, [*operations, lambda: tf.identity(image)])


def _apply(name: str, image: tf.Tensor, policy: augment.RandAugment, seed: tf.Tensor) -> tf.Tensor:
  arguments = augment.level_to_arg(policy.cutout_const, policy.translate_const)[name](policy.magnitude)
  if name == 'Cutout':
    return cutout(image, *arguments, seed)
  if name in _SIGNED:  # replaces the sign that Model Garden has drawn from a stateful generator
    sign = 1. - 2. * tf.cast(tf.random.stateless_uniform([], seed) < .5, tf.float32)
    arguments = [sign * tf.abs(arguments[0])]
  if name in augment.REPLACE_FUNCS:
    arguments = [*arguments, [_GREY] * 3]
  return augment.NAME_TO_FUNC[name](image, *arguments)


def cutout(image: tf.Tensor, half_size: int, seed: tf.Tensor) -> tf.Tensor:
  """Covers a square around a random pixel with grey (128).

  Args:
    image: uint8 `[height, width, 3]`.
    half_size: half the side of the square, in pixels; the square is cut off at the image's border.
    seed: integer tensor `[2]`, on which the position depends.

  Returns:
    The image, uint8 `[height, width, 3]`.
  """
  size = tf.shape(image)[:2]
  centre = tf.cast(tf.random.stateless_uniform([2], seed) * tf.cast(size, tf.float32), tf.int32)
  rows, columns = tf.range(size[0]) - centre[0], tf.range(size[1]) - centre[1]
  hit_rows, hit_columns = ((-half_size <= distance) & (distance < half_size) for distance in (rows, columns))
  return tf.where((hit_rows[:, None] & hit_columns)[..., None], tf.cast(_GREY, tf.uint8), image)
