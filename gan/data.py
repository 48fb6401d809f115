"""Images for a GAN, scaled to [−1, 1]: the data objects of the GAN trainer.

Batches for training are a function of (seed, step). Real images, for scores, are those of the training set, each once,
unchanged.
"""

import dataclasses
import functools
import os
from typing import Protocol

import tensorflow as tf

from evonorm_tf.data import cifar10
from evonorm_tf.data import imagenet_augmentation
from evonorm_tf.data import imagenet_records
from evonorm_tf.data import record_streams
from evonorm_tf.data.data_objects import TrainingData
from evonorm_tf.errors import ArgumentError


class GanData(TrainingData, Protocol):
  """Images to train and to score a GAN, in [−1, 1]."""

  @property
  def name(self) -> str:
    """Names the training set, for reports and cached statistics."""

  def real_images(self, batch_size: int) -> tf.data.Dataset:
    """Returns batches of the training images, each once, in an order that never changes; the last may be smaller."""


@tf.function(autograph=False)
def scale(pixels: tf.Tensor) -> tf.Tensor:
  """Scales pixels of 0 to 255 to float32 of −1 to 1."""
  return tf.cast(pixels, tf.float32) / 127.5 - 1.


@dataclasses.dataclass(frozen=True)
class Cifar10:
  """CIFAR-10, the bundled subset or the whole.

  Attributes:
    data_dir: None for the bundled subset (5,000 training images), or the TFDS folder of the whole (50,000).
  """
  data_dir: str | None = None

  num_classes = len(cifar10.LABEL_NAMES)
  image_size = 32

  @property
  def name(self) -> str:
    """Names the training set, for reports and cached statistics."""
    return f'cifar10_train_{len(self._split()[1])}'

  def check(self) -> None:
    """Raises ArgumentError if the data cannot be read."""
    self._split()

  def skipped_records(self) -> int:
    """Returns how many images could not be read so far: none, for all are in memory."""
    return 0

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of (images, labels), flipped at random; see `cifar10.training_batches`."""
    return cifar10.training_batches(
        *self._split(), batch_size, self.image_size, seed, first_step, input_context, scale)

  def real_images(self, batch_size: int) -> tf.data.Dataset:
    """Returns batches of the images in order; the last may be smaller."""
    images, _ = self._split()
    with tf.device('CPU:0'):
      return tf.data.Dataset.from_tensor_slices(images).batch(batch_size).map(scale)

  def _split(self):
    return cifar10.load_split('train', self.data_dir)


@dataclasses.dataclass(frozen=True)
class ImageNet:
  """ImageNet (ILSVRC 2012), its training images alone; see `evonorm_tf.data.imagenet.ImageNet`.

  As in the authors' PyTorch code, an image is cropped to the square in the middle of its longer side and resized.

  Attributes:
    image_size: height and width in pixels.
    data_dir: TFDS folder that holds imagenet2012. Give it or a glob of files.
    train_files: glob of TFRecords of tf.Examples with the features image/encoded (JPEG) and image/class/label.
    first_label: the label of the first class in the TFRecords.
    num_classes: labels are from 0 to `num_classes - 1`.
    train_images: the number of images.
    random_crops: whether a window of at least this part of the image's area is cropped at random in training, and its
      central square taken; None for no random windows.
    resize_method: as `tf.image.resize` takes it.
    shuffle_buffer: records among which to draw the next one, of 110 kB each.
  """
  image_size: int
  data_dir: str | None = None
  train_files: str | None = None
  first_label: int = 1
  num_classes: int = 1000
  train_images: int = 1_281_167
  random_crops: float | None = None
  resize_method: str = 'bilinear'
  shuffle_buffer: int = 10_000

  def __post_init__(self):
    if self.random_crops is not None and not 0 < self.random_crops < 1:
      raise ArgumentError(
          f'`random_crops` must be a part of the area in (0, 1) or None, received {self.random_crops}.')
    self._records.check_settings()
    imagenet_records.check_image_settings(self.image_size, self.resize_method, self.shuffle_buffer)

  @property
  def name(self) -> str:
    """Names the training set, for reports and cached statistics."""
    files = '' if self.train_files is None else f'_of_{os.path.basename(os.path.dirname(self.train_files))}'
    return f'imagenet_train_{self.train_images}{files}_{self.resize_method}_{self.image_size}'

  def check(self) -> None:
    """Raises ArgumentError if images are missing or none can be read; the message says what to prepare, and how."""
    self._records.check('train')

  def skipped_records(self) -> int:
    """Returns how many unreadable records this process has skipped."""
    return record_streams.skipped_records()

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of (images, labels), flipped at random; see `imagenet.ImageNet.training_batches`."""
    return self._records.training_batches(
        batch_size, seed, self._crop, self._augment, self.shuffle_buffer, first_step, input_context)

  def real_images(self, batch_size: int) -> tf.data.Dataset:
    """Returns batches of images in an order that never changes; the last may be smaller."""
    batches = self._records.ordered_batches('train', batch_size, self._to_square)
    return batches.map(lambda images, _: images)

  @functools.cached_property
  def _records(self) -> imagenet_records.ImageNetRecords:
    return imagenet_records.ImageNetRecords(
        self.data_dir, self.train_files, None, self.first_label, self.num_classes, self.train_images,
        validation_images=1)  # which are never read

  def _crop(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns what of an encoded training image is resized: a random window or the central square."""
    if self.random_crops is None:
      return _central_square(imagenet_augmentation.decode_image(encoded))
    return imagenet_augmentation.random_crop(encoded, (self.random_crops, 1.), seed)

  def _augment(self, image: tf.Tensor, flip_seed: tf.Tensor, policy_seed: tf.Tensor) -> tf.Tensor:
    del policy_seed  # flips are all that is random
    return self._to_square(tf.image.stateless_random_flip_left_right(image, flip_seed))

  def _to_square(self, image: tf.Tensor) -> tf.Tensor:
    """Returns the central square of an image, resized and scaled."""
    image = tf.image.resize(_central_square(image), [self.image_size] * 2, self.resize_method, antialias=True)
    return scale(tf.clip_by_value(tf.ensure_shape(image, [self.image_size, self.image_size, 3]), 0., 255.))


def _central_square(image: tf.Tensor) -> tf.Tensor:
  """Crops `[height, width, 3]` to the square in the middle of the longer side."""
  shape = tf.shape(image)
  side = tf.minimum(shape[0], shape[1])
  return tf.image.crop_to_bounding_box(image, (shape[0] - side) // 2, (shape[1] - side) // 2, side, side)
