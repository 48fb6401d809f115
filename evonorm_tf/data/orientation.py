"""The orientation of a photograph: a number in its EXIF data by which viewers turn or mirror the stored pixels.

A camera that is held upright stores the picture lying on its side and notes how to turn it. Browsers and annotation
tools show it turned; TensorFlow decodes the stored pixels. With the stored first row and first column named by where a
viewer shows them, the numbers are: 1 top, left; 2 top, right; 3 bottom, right; 4 bottom, left; 5 left, top; 6 right,
top; 7 right, bottom; 8 left, bottom.
"""

import io
import warnings

from PIL import Image
import tensorflow as tf

_TAG = 0x0112
_HEAD = 2**17  # bytes of a file that are searched; EXIF data come first, and a segment has less than 2^16
_ENTRIES = 64  # of a directory of EXIF data


def read(encoded: bytes) -> int:
  """Returns the orientation of an image file, 1 to 8; 1 if there is none, or none that can be read.

  Args:
    encoded: the content of the file, of any format that Pillow knows.
  """
  try:
    with warnings.catch_warnings(), Image.open(io.BytesIO(encoded)) as image:
      warnings.simplefilter('ignore')  # about corrupt EXIF data
      orientation = image.getexif().get(_TAG, 1)
  except Exception:  # Pillow raises many types for damaged data; whether the image can be used shows elsewhere
    return 1
  return orientation if orientation in range(1, 9) else 1


def swaps_sides(orientation: int) -> bool:
  """Returns whether height and width are exchanged when an image is turned by its orientation, 1 to 8."""
  return orientation > 4


def turn(image: tf.Tensor, orientation: int | tf.Tensor) -> tf.Tensor:
  """Turns or mirrors stored pixels into what a viewer shows.

  Args:
    image: `[height, width, channels]`.
    orientation: an integer from 1 to 8, or a scalar int32 tensor.

  Returns:
    The image; for the orientations from 5 on `[width, height, channels]`.
  """
  orientation = tf.convert_to_tensor(orientation, tf.int32)
  channels = image.shape[-1]

  def is_one_of(*numbers):
    return tf.reduce_any(orientation == tf.constant(numbers))

  image = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: tf.identity(image))
  image = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: tf.identity(image))
  image = tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: tf.identity(image))
  return tf.ensure_shape(image, [None, None, channels])


def decode_upright(encoded: tf.Tensor) -> tf.Tensor:
  """Decodes an image file in a graph; a JPEG is turned as viewers turn it.

  Args:
    encoded: the content of a PNG, JPEG, GIF or BMP file, a scalar string tensor.

  Returns:
    The image, uint8 `[height, width, 3]`.
  """
  return turn(tf.io.decode_image(encoded, channels=3, expand_animations=False), of_jpeg(encoded))


def of_jpeg(encoded: tf.Tensor) -> tf.Tensor:
  """Returns the orientation of a JPEG file, like `read`, but by operations of TensorFlow, for a graph.

  Args:
    encoded: the content of the file, a scalar string tensor.

  Returns:
    A scalar int32 tensor, 1 to 8; 1 also for a file of another format.
  """
  data = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, _HEAD), tf.uint8), tf.int32)
  data = tf.concat([data, tf.zeros([16], tf.int32)], 0)

  def byte(position):
    return tf.gather(data, tf.clip_by_value(position, 0, tf.size(data) - 1))  # zeros follow the end

  def number(position, size, little):
    places = tf.range(size)
    weights = tf.bitwise.left_shift(1, 8 * tf.where(little, places, size - 1 - places))
    return tf.reduce_sum(byte(position[..., tf.newaxis] + places) * weights, -1)

  def is_exif(segment):
    return (byte(segment + 1) == 0xe1) & tf.reduce_all(
        byte(segment + 4 + tf.range(6)) == tf.constant(list(b'Exif\0\0')))

  def goes_on(segment):
    in_header = (byte(segment) == 0xff) & (byte(segment + 1) != 0xda)  # at DA the pixels begin
    return in_header & tf.logical_not(is_exif(segment))

  segment, = tf.while_loop(goes_on, lambda at: [at + 2 + number(at + 2, 2, False)], [tf.constant(2)],
                           maximum_iterations=_HEAD // 4)
  tiff = segment + 10
  little = byte(tiff) == ord('I')
  directory = tiff + number(tiff + 4, 4, little)
  entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2, little), _ENTRIES))
  tags, values = number(entries, 2, little), number(entries + 8, 2, little)
  found = tf.boolean_mask(values, (tags == _TAG) & (values >= 1) & (values <= 8))
  first = tf.concat([found, [1]], 0)[0]
  return tf.where(tf.io.is_jpeg(encoded) & is_exif(segment), first, 1)
