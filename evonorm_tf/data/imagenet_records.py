"""Batches of ImageNet's records, with functions that crop, augment and scale an image.

The classifier and the GAN read the same records; each passes functions of its own.
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
_SPARES = 64  # the first records; those that can be read take the places of unreadable ones

# (the bytes of an image file, a seed `[2]`) -> uint8 `[height, width, 3]`.
Crop = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
# (uint8 `[height, width, 3]`, a seed `[2]` for flips, a seed `[2]` for all else) -> float32 `[size, size, 3]`.
Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def check_image_settings(image_size: int, resize_method: str, shuffle_buffer: int) -> None:
  """Raises ArgumentError unless images can be resized like that and shuffled in such a buffer."""
  checks.check_positive(image_size=image_size, shuffle_buffer=shuffle_buffer)
  checks.check_choices(resize_method=(resize_method, RESIZE_METHODS))


@dataclasses.dataclass(frozen=True)
class ImageNetRecords:
  """Where ImageNet's records are, and batches of them; nothing is read before `check` or the first batch.

  Attributes:
    data_dir: the TFDS folder with imagenet2012, or None to read the TFRecord files below.
    train_files: a glob of TFRecords as `imagenet.ImageNet` takes it, or None to read from TFDS.
    validation_files: the same for the validation images.
    first_label: the label of the first class in the TFRecords; ignored with TFDS.
    num_classes: labels are from 0 to `num_classes - 1`.
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
    """Raises ArgumentError unless all numbers are positive; reads nothing."""
    checks.check_positive(
        num_classes=self.num_classes, train_images=self.train_images, validation_images=self.validation_images)

  def check(self, split: str) -> None:
    """Raises ArgumentError if images of a split are missing or none can be read; it says what to prepare, and how."""
    self._files(split)

  def training_batches(self, batch_size: int, seed: int, crop: Crop, augment: Augment, shuffle_buffer: int,
                       first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of training batches; see `imagenet.ImageNet.training_batches`.

    Args:
      batch_size: images of a global batch.
      seed: an integer.
      crop: makes an image of the bytes of a file.
      augment: makes what a network reads of an image.
      shuffle_buffer: records among which to draw the next one.
      first_step: the number of the first batch.
      input_context: that of a pipeline which makes the batches of its own replicas; None for the global batches.
    """
    files, spares = self._files('train')
    context, local_size = _pipeline(batch_size, input_context)
    replicas = context.num_replicas_in_sync
    local_replicas = replicas // context.num_input_pipelines

    def is_own(position, _):
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
    """Returns a dataset of the images of a split, each once, in an order that never changes.

    Args:
      split: 'train' or 'validation'.
      batch_size: images of all global batches but the last, which may be smaller.
      preprocess: makes what a network reads of an image, uint8 `[height, width, 3]`.
      input_context: that of a pipeline which makes the batches of its own replicas from its share of the images; None
        for one pipeline.
    """
    files, spares = self._files(split)
    context, local_size = _pipeline(batch_size, input_context)

    def is_own(position, _):
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
    """Returns the files of a split and some of its records that can be read; ArgumentError as `check`.

    They are looked for once, since that reads the first file and some records.
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
  """Returns the context, by default that of one pipeline for one replica, and the batch size of a replica."""
  checks.check_positive(batch_size=batch_size)
  context = input_context or tf.distribute.InputContext()
  return context, context.get_per_replica_batch_size(batch_size)


def _share(records, is_own, context):
  return records.filter(is_own) if context.num_input_pipelines > 1 else records
