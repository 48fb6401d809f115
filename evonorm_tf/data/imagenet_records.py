"""Datasets of batches made from ImageNet's TFRecord files.

The classification trainer and the GAN trainer read the same records; each passes its own functions that crop, augment
and scale an image.
"""

from collections.abc import Callable
import dataclasses
import functools

import tensorflow as tf

from evonorm_tf import checks
from evonorm_tf.data import imagenet_augmentation
from evonorm_tf.data import imagenet_files
from evonorm_tf.data import record_streams
from evonorm_tf.errors import ArgumentError

RESIZE_METHODS = ('area', 'bicubic', 'bilinear', 'gaussian', 'lanczos3', 'lanczos5', 'mitchellcubic', 'nearest')
_SPARES = 64  # the readable ones among this many first records replace unreadable records

# (the bytes of an image file, a seed `[2]`) -> uint8 `[height, width, 3]`.
Crop = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
# (uint8 `[height, width, 3]`, a seed `[2]` for flips, a seed `[2]` for everything else) -> float32 `[size, size, 3]`.
Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def check_image_settings(image_size: int, resize_method: str, shuffle_buffer: int) -> None:
  """Checks settings that ImageNet's data objects share.

  Args:
    image_size: the height and width of the network's input in pixels; must be positive.
    resize_method: an interpolation method of `tf.image.resize`, one of `RESIZE_METHODS`.
    shuffle_buffer: the size of the shuffle buffer in records; must be positive.

  Raises:
    ArgumentError: if one of them is invalid.
  """
  checks.check_positive(image_size=image_size, shuffle_buffer=shuffle_buffer)
  checks.check_choices(resize_method=(resize_method, RESIZE_METHODS))


@dataclasses.dataclass(frozen=True)
class ImageNetRecords:
  """ImageNet's records in a TFDS folder or in TFRecord files, as datasets of batches.

  No file is read before `check` or the first batch.

  Attributes:
    data_dir: the TFDS folder that contains imagenet2012, or None to read the TFRecord files below.
    train_files: a glob of TFRecord files of tf.Examples with the features image/encoded and image/class/label, or None
      to read from `data_dir`.
    validation_files: the same for the validation images.
    first_label: the label of the first class in the TFRecord files; ignored with TFDS.
    num_classes: the number of classes; the labels in a batch range from 0 to `num_classes - 1`.
    train_images: the number of training images.
    validation_images: the number of validation images.
  """
  data_dir: str | None
  train_files: str | None
  validation_files: str | None
  first_label: int
  num_classes: int
  train_images: int
  validation_images: int

  def check_settings(self) -> None:
    """Raises ArgumentError unless all numbers of classes and images are positive; reads no file."""
    checks.check_positive(
        num_classes=self.num_classes, train_images=self.train_images, validation_images=self.validation_images)

  def check(self, split: str) -> None:
    """Looks for the files of a split and reads their first records.

    Args:
      split: 'train' or 'validation'.

    Raises:
      ArgumentError: if images are missing or none can be read; the message says what to prepare, and how.
      MissingDependencyError: if `data_dir` is given and tensorflow-datasets is not installed.
    """
    self._files(split)

  def training_batches(self, batch_size: int, seed: int, crop: Crop, augment: Augment, shuffle_buffer: int,
                       first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled training batches; each is a function of (seed, step).

    Every image occurs once per epoch. A record that cannot be read is replaced by one of the first 64 records.

    Args:
      batch_size: the number of images per global batch, that is, over all replicas.
      seed: an integer.
      crop: a function (bytes of an image file, seed `[2]`) -> cropped image, uint8 `[height, width, 3]`.
      augment: a function (cropped image, seed `[2]` of the flip, seed `[2]` of all else) -> the network's input,
        float32 `[size, size, 3]`.
      shuffle_buffer: the size of the shuffle buffer in records.
      first_step: the number of the first batch, by default 0; to resume from a checkpoint, the checkpoint's step.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds the
        per-replica batches of that pipeline's replicas in turn. None, the default, gives global batches.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch_size, size, size, 3]` and int32 `[batch_size]`. With
      `input_context`, the size of a replica's share takes the place of `batch_size`.

    Raises:
      ArgumentError: if images are missing or none can be read, or `batch_size` is not positive.
      tf.errors.InvalidArgumentError: during iteration, if at least 1,000 records have been seen and more than half of
        them could not be read, or if the files contain more than `train_images` records.
    """
    files, spares = self._files('train')
    context, local_size = _pipeline(batch_size, input_context)
    replicas = context.num_replicas_in_sync
    local_replicas = replicas // context.num_input_pipelines

    def is_own(position, *_):
      return position // local_size % replicas // local_replicas == context.input_pipeline_id

    def seeds(position):
      return tf.unstack(tf.random.split(tf.stack([tf.constant(seed, tf.int64), position]), 3))

    def decode(position, record):
      encoded, label = files.decode(record, self.num_classes)
      return crop(encoded, seeds(position)[0]), label

    def prepare(position, image):
      return augment(image, *seeds(position)[1:])

    records = record_streams.shuffled_records(
        files.paths, self.train_images, seed, first_step * batch_size, shuffle_buffer)
    examples = record_streams.examples(_share(records, is_own, context), spares, decode, prepare, 'training')
    batches = examples.map(lambda _, example: example).batch(
        local_size, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)

  def ordered_batches(self, split: str, batch_size: int, preprocess: Callable[[tf.Tensor], tf.Tensor],
                      input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a finite dataset of the images of a split, each once, in an order that never changes.

    Records that cannot be read are left out.

    Args:
      split: 'train' or 'validation'.
      batch_size: the number of images per global batch, that is, over all replicas; the last batch may be smaller.
      preprocess: a function from a decoded image, uint8 `[height, width, 3]`, to the network's input.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds
        per-replica batches of that pipeline's share of the images. None, the default, gives global batches of all.

    Returns:
      tf.data.Dataset of (images, labels): results of `preprocess` `[batch, ...]` and int32 `[batch]`.

    Raises:
      ArgumentError: if images are missing or none can be read, or `batch_size` is not positive.
      tf.errors.InvalidArgumentError: during iteration, if at least 1,000 records have been seen and more than half of
        them could not be read, or if the files contain more records than the split has images.
    """
    files, spares = self._files(split)
    context, local_size = _pipeline(batch_size, input_context)

    def is_own(position, *_):
      return position % context.num_input_pipelines == context.input_pipeline_id

    def decode(_, record):
      encoded, label = files.decode(record, self.num_classes)
      return preprocess(imagenet_augmentation.decode_image(encoded)), label

    records = record_streams.ordered_records(files.paths, getattr(self, f'{split}_images'))
    examples = record_streams.examples(
        _share(records, is_own, context), spares, decode, lambda _, image: image,
        'training' if split == 'train' else split)
    readable = examples.filter(lambda own, _: own).map(lambda _, example: example)
    return readable.batch(local_size, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

  @functools.cached_property
  def _found(self) -> dict[str, tuple[imagenet_files.RecordFiles, list[bytes]]]:
    return {}

  def _files(self, split: str) -> tuple[imagenet_files.RecordFiles, list[bytes]]:
    """Returns the files of a split and the readable ones among its first 64 records; raises the errors of `check`.

    The result is kept, since finding it reads the first file and those records.
    """
    if split not in self._found:
      self._found[split] = self._find(split)
    return self._found[split]

  def _find(self, split: str) -> tuple[imagenet_files.RecordFiles, list[bytes]]:
    pattern = getattr(self, f'{split}_files')
    images = getattr(self, f'{split}_images')
    if (self.data_dir is None) == (pattern is None):
      raise ArgumentError('ImageNet needs either `data_dir`, the TFDS folder of imagenet2012, or `train_files` and '
                          f'`validation_files`, globs of TFRecords, received {self.data_dir!r} and '
                          f'{self.train_files!r}, {self.validation_files!r}.')
    if self.data_dir is not None:
      files = imagenet_files.find_tfds(self.data_dir, split, f'{split}_images', images)
    else:
      files = imagenet_files.find_files(f'{split}_files', pattern, split, self.first_label, f'{split}_images', images)

    def decode(_, record):
      encoded, label = files.decode(record, self.num_classes)
      return imagenet_augmentation.decode_image(encoded), label

    try:
      return files, record_streams.readable_records(
          record_streams.ordered_records(files.paths, images), _SPARES, decode)
    except ArgumentError as e:
      raise ArgumentError(f"The {split} images in '{self.data_dir or pattern}' cannot be used. {e}") from e


def _pipeline(batch_size: int, input_context: tf.distribute.InputContext | None
              ) -> tuple[tf.distribute.InputContext, int]:
  """Returns the input context, by default one pipeline for one replica, and the number of images per replica."""
  checks.check_positive(batch_size=batch_size)
  context = input_context or tf.distribute.InputContext()
  return context, context.get_per_replica_batch_size(batch_size)


def _share(records, is_own, context):
  return records.filter(is_own) if context.num_input_pipelines > 1 else records
