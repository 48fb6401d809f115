"""Data objects of the GAN trainer, which supply images scaled to [−1, 1] with their labels.

A training batch is a function of (seed, step). The real images with which generated ones are compared for the scores
are the images of the training set, each once and without augmentation.
"""

import dataclasses
import functools
import os
from typing import Protocol
import zlib

import tensorflow as tf

from evonorm_tf.data import cifar10
from evonorm_tf.data import imagenet_augmentation
from evonorm_tf.data import imagenet_records
from evonorm_tf.data import record_streams
from evonorm_tf.data.data_objects import TrainingData
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.object_folder import is_url


class GanData(TrainingData, Protocol):
  """The protocol for the data object of a GAN: training batches, and the real images for scores, all in [−1, 1]."""

  @property
  def name(self) -> str:
    """The name of the training set, for reports and for the files with its statistics."""

  def real_images(self, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of the training images, each once, in an order that never changes.

    Args:
      batch_size: the number of images per batch; the last batch may be smaller.

    Returns:
      tf.data.Dataset of float32 `[batch, image_size, image_size, 3]` in [−1, 1], without labels.
    """


@tf.function(autograph=False)
def scale(pixels: tf.Tensor) -> tf.Tensor:
  """Scales pixels from [0, 255] to [−1, 1].

  Args:
    pixels: a tensor of any shape and of an integer or floating-point dtype.

  Returns:
    float32 of the same shape.
  """
  return tf.cast(pixels, tf.float32) / 127.5 - 1.


@dataclasses.dataclass(frozen=True)
class Cifar10:
  """CIFAR-10 as a data object of the GAN trainer; see `GanData`.

  Attributes:
    data_dir: the TFDS folder of the whole of CIFAR-10 (50,000 training images), or None, the default, for the subset
      bundled with the package (5,000).
    num_classes: 10.
    image_size: 32 pixels.
  """
  data_dir: str | None = None

  num_classes = len(cifar10.LABEL_NAMES)
  image_size = 32

  @property
  def name(self) -> str:
    """The name of the training set, with its number of images, for reports and for the files with its statistics."""
    return f'cifar10_train_{len(self._split()[1])}'

  def check(self) -> None:
    """Reads the images into memory.

    Raises:
      ArgumentError: if they cannot be read; see `cifar10.load_split`, also for other errors.
    """
    self._split()

  def skipped_records(self) -> int:
    """Returns 0: all images are in memory, so none is ever skipped."""
    return 0

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled training batches, with random flips.

    Args:
      batch_size: the number of images per global batch, that is, over all replicas.
      seed: an integer.
      first_step: the number of the first batch (default 0); to resume from a checkpoint, the checkpoint's step.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several; None (default) gives global
        batches.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch_size, 32, 32, 3]` in [−1, 1] and integers `[batch_size]`; see
      `evonorm_tf.data.data_objects.TrainingData`.
    """
    return cifar10.training_batches(
        *self._split(), batch_size, self.image_size, seed, first_step, input_context, scale)

  def real_images(self, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of the training images, each once, in an order that never changes.

    Args:
      batch_size: the number of images per batch; the last batch may be smaller.

    Returns:
      tf.data.Dataset of float32 `[batch, 32, 32, 3]` in [−1, 1], without labels.
    """
    images, _ = self._split()
    with tf.device('CPU:0'):
      return tf.data.Dataset.from_tensor_slices(images).batch(batch_size).map(scale)

  def _split(self):
    return cifar10.load_split('train', self.data_dir)


@dataclasses.dataclass(frozen=True)
class ImageNet:
  """The training images of ImageNet (ILSVRC 2012) as a data object of the GAN trainer; see `GanData`.

  As in BigGAN's PyTorch code, each image is cropped to its central square and resized. No file is read before `check`
  or the first batch.

  Attributes:
    image_size: the height and width of the resized images in pixels.
    data_dir: the TFDS folder that contains imagenet2012, or None, the default. Give either this or `train_files`.
    train_files: a glob of TFRecord files of tf.Examples with the features image/encoded (a JPEG) and image/class/label;
      None, the default, to read from `data_dir`.
    first_label: the label of the first class in the TFRecord files (default 1). Ignored with TFDS, where labels start
      at 0.
    num_classes: the number of classes (default 1000); the labels in a batch range from 0 to `num_classes - 1`.
    train_images: the number of images (default 1,281,167).
    random_crops: the least fraction of an image's area, in (0, 1), that a random crop covers in training; the central
      square of the crop is then used. None, the default, for no random crops.
    resize_method: an interpolation method of `tf.image.resize` (default 'bilinear').
    shuffle_buffer: the size of the shuffle buffer in training records of about 110 kB each (default 10,000).

  Raises:
    ArgumentError: if a setting is out of range.
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
    """The name of the training set, with all settings that real images depend on, for reports and statistics files."""
    files = ''
    if self.train_files is not None:
      place = self.train_files if is_url(self.train_files) else os.path.abspath(self.train_files)
      checksum = zlib.crc32(place.encode())
      files = f'_of_{os.path.basename(os.path.dirname(self.train_files))}_{checksum:08x}'
    return f'imagenet_train_{self.train_images}{files}_{self.resize_method}_{self.image_size}'

  def check(self) -> None:
    """Looks for the files and reads their first records.

    Raises:
      ArgumentError: if images are missing or none can be read; the message says what to prepare, and how.
      MissingDependencyError: if `data_dir` is given and tensorflow-datasets is not installed.
    """
    self._records.check('train')

  def skipped_records(self) -> int:
    """Returns the number of unreadable records that this process has skipped so far, over all its datasets."""
    return record_streams.skipped_records()

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled training batches, with random flips and `random_crops`.

    Args:
      batch_size: the number of images per global batch, that is, over all replicas.
      seed: an integer.
      first_step: the number of the first batch (default 0); to resume from a checkpoint, the checkpoint's step.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several; None (default) gives global
        batches.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch_size, image_size, image_size, 3]` in [−1, 1] and int32
      `[batch_size]`; see `evonorm_tf.data.data_objects.TrainingData`.

    Raises:
      ArgumentError: if images are missing or none can be read, or `batch_size` is not positive.
    """
    return self._records.training_batches(
        batch_size, seed, self._crop, self._augment, self.shuffle_buffer, first_step, input_context)

  def real_images(self, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of the training images, each once, in an order that never changes.

    Images that cannot be read are left out.

    Args:
      batch_size: the number of images per batch; the last batch may be smaller.

    Returns:
      tf.data.Dataset of float32 `[batch, image_size, image_size, 3]` in [−1, 1], without labels.

    Raises:
      ArgumentError: if images are missing or none can be read, or `batch_size` is not positive.
    """
    batches = self._records.ordered_batches('train', batch_size, self._to_square)
    return batches.map(lambda images, _: images)

  @functools.cached_property
  def _records(self) -> imagenet_records.ImageNetRecords:
    return imagenet_records.ImageNetRecords(
        self.data_dir, self.train_files, None, self.first_label, self.num_classes, self.train_images,
        validation_images=1)  # any positive number, because validation images are never read

  def _crop(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns the part of an encoded training image that will be used: a random crop or the central square."""
    if self.random_crops is None:
      return _central_square(imagenet_augmentation.decode_image(encoded))
    return imagenet_augmentation.random_crop(encoded, (self.random_crops, 1.), seed)

  def _augment(self, image: tf.Tensor, flip_seed: tf.Tensor, policy_seed: tf.Tensor) -> tf.Tensor:
    del policy_seed  # only flips are random here
    return self._to_square(tf.image.stateless_random_flip_left_right(image, flip_seed))

  def _to_square(self, image: tf.Tensor) -> tf.Tensor:
    """Returns the central square of an image, resized to `image_size` and scaled to [−1, 1]."""
    image = tf.image.resize(_central_square(image), [self.image_size] * 2, self.resize_method, antialias=True)
    return scale(tf.clip_by_value(tf.ensure_shape(image, [self.image_size, self.image_size, 3]), 0., 255.))


def _central_square(image: tf.Tensor) -> tf.Tensor:
  """Crops an image `[height, width, 3]` to the largest central square."""
  shape = tf.shape(image)
  side = tf.minimum(shape[0], shape[1])
  return tf.image.crop_to_bounding_box(image, (shape[0] - side) // 2, (shape[1] - side) // 2, side, side)
