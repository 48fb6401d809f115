"""ImageNet (ILSVRC 2012) for training and evaluating classifiers: TFDS or TFRecords, augmentation, batches.

The images are those of the paper's main experiments. What happens to an image is Model Garden's
(`official.vision.dataloaders.classification_input`): for training a random crop of 8 to 100% of the area, a random flip
and, if wanted, RandAugment; for evaluation the central 87.5%; then resizing and the normalization by channel. Reading
is our own, in `record_streams`. Needs the extras `models` and, for TFDS, `data`.
"""

import dataclasses
import functools

from official.vision.dataloaders import classification_input
from official.vision.ops import augment
from official.vision.ops import preprocess_ops
import tensorflow as tf

from evonorm_tf.data import imagenet_augmentation
from evonorm_tf.data import imagenet_files
from evonorm_tf.data import record_streams
from evonorm_tf.errors import ArgumentError

_RESIZE_METHODS = ('area', 'bicubic', 'bilinear', 'gaussian', 'lanczos3', 'lanczos5', 'mitchellcubic', 'nearest')
_SPARES = 64  # the first records; those that can be read take the places of unreadable ones
_ENCODED, _LABEL = classification_input.DEFAULT_IMAGE_FIELD_KEY, classification_input.DEFAULT_LABEL_FIELD_KEY


@dataclasses.dataclass(frozen=True)
class ImageNet:
  """Where ImageNet lies and how its images become batches; nothing is read before `check` or the first batch.

  Attributes:
    data_dir: TFDS folder that holds imagenet2012. Give it or both globs of files.
    train_files: glob of TFRecords of tf.Examples with the features image/encoded (JPEG) and image/class/label, as Model
      Garden reads them.
    validation_files: the same for the validation images.
    first_label: the label of the first class in the TFRecords: 1 where 0 is a background class, as in those made for
      Model Garden, whose models therefore have 1,001 classes. Not for TFDS, which counts from 0.
    num_classes: labels are from 0 to `num_classes - 1`.
    train_images: how many training images there are; an epoch has as many.
    validation_images: how many validation images there are.
    image_size: height and width in pixels.
    crop_area: least and greatest part of an image's area that a training crop covers.
    randaugment_layers: random operations on a training image; 0 for none.
    randaugment_magnitude: their strength, from 0 to 10. Further settings are Model Garden's defaults.
    center_crop_fraction: the side of the evaluation's crop in units of the image's shorter side.
    resize_method: as `tf.image.resize` takes it.
    shuffle_buffer: training records among which to draw the next one, of 110 kB each. The first batch waits until it
      is full.
  """
  data_dir: str | None = None
  train_files: str | None = None
  validation_files: str | None = None
  first_label: int = 1
  num_classes: int = 1000
  train_images: int = 1_281_167
  validation_images: int = 50_000
  image_size: int = 224
  crop_area: tuple[float, float] = (.08, 1.)
  randaugment_layers: int = 0
  randaugment_magnitude: float = 10.
  center_crop_fraction: float = preprocess_ops.CENTER_CROP_FRACTION
  resize_method: str = 'bilinear'
  shuffle_buffer: int = 10_000

  def __post_init__(self):
    for name in ('num_classes', 'train_images', 'validation_images', 'image_size', 'shuffle_buffer'):
      if getattr(self, name) <= 0:
        raise ArgumentError(f'`{name}` must be positive, received {getattr(self, name)}.')
    if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
      raise ArgumentError(f'`crop_area` must be (least, greatest) part above 0 and up to 1, received {self.crop_area}.')
    if self.randaugment_layers < 0:
      raise ArgumentError(f'`randaugment_layers` must not be negative, received {self.randaugment_layers}.')
    if not 0 <= self.randaugment_magnitude <= 10:
      raise ArgumentError(f'`randaugment_magnitude` must be from 0 to 10, received {self.randaugment_magnitude}.')
    if not 0 < self.center_crop_fraction <= 1:
      raise ArgumentError(f'`center_crop_fraction` must be above 0 and up to 1, received {self.center_crop_fraction}.')
    if self.resize_method not in _RESIZE_METHODS:
      raise ArgumentError(f'`resize_method` must be one of {_RESIZE_METHODS}, received {self.resize_method!r}.')

  def check(self):
    """Raises ValueError where images are missing or none can be read; it says what to prepare, where and how."""
    self._files('train')
    self._files('validation')

  def training_batches(self, batch_size, seed, first_step=0, input_context=None):
    """An infinite dataset of shuffled and augmented training batches.

    Global batches are a function of (seed, step): no global seed, thread, number of replicas or of input pipelines
    changes them. Every image comes once an epoch; a batch may span two epochs. A record that cannot be read is skipped:
    one of 64 others takes its place, so that batches do not depend on where a run began. All pipelines must agree on
    the order: each reads all records from the disk, 140 GB an epoch; it decodes its own.

    Args:
      batch_size: the global batch.
      seed: an integer.
      first_step: the number of the first batch; to go on from a checkpoint, its step. The records of the epoch that
        come before it are read once more, without decoding them.
      input_context: the tf.distribute.InputContext of a pipeline that makes the batches of its own replicas, one after
        the other; None for the global batches.

    Returns:
      tf.data.Dataset of (float32 `[batch_size, image_size, image_size, 3]`, normalized by the channel means and
      standard deviations of ImageNet; int32 `[batch_size]`).

    Raises:
      ValueError: as `check`. While iterating, tf.errors.InvalidArgumentError where more than half of the first 1,000
        records or more cannot be read, or where the files hold more records than `train_images`.
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
      return self._crop(encoded, seeds(position)[0]), label

    def prepare(position, image):
      return self._augment(image, *seeds(position)[1:])

    records = record_streams.shuffled_records(
        files.paths, self.train_images, seed, first_step * batch_size, self.shuffle_buffer)
    examples = record_streams.examples(_share(records, is_own, context), spares, decode, prepare, 'training')
    batches = examples.map(lambda _, example: example).batch(
        local_size, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)

  def evaluation_batches(self, batch_size, input_context=None):
    """A dataset of the validation images, each once, in an order that never changes.

    Args:
      batch_size: of all batches but the last, the global one.
      input_context: the tf.distribute.InputContext of a pipeline that makes the batches of its own replicas from its
        share of the images; None for one pipeline.

    Returns:
      tf.data.Dataset of images and labels as those of `training_batches`. Records that cannot be read are left out.

    Raises:
      ValueError, tf.errors.InvalidArgumentError: as `training_batches`.
    """
    return self._ordered_batches('validation', batch_size, input_context)

  def _ordered_batches(self, split, batch_size, input_context=None):
    """As `evaluation_batches`, of a split, 'train' or 'validation'."""
    files, spares = self._files(split)
    context, local_size = _pipeline(batch_size, input_context)

    def is_own(position, _):
      return position % context.num_input_pipelines == context.input_pipeline_id

    def decode(_, record):
      encoded, label = files.decode(record, self.num_classes)
      return self.preprocess(imagenet_augmentation.decode_image(encoded)), label

    records = record_streams.ordered_records(files.paths, getattr(self, f'{split}_images'))
    examples = record_streams.examples(
        _share(records, is_own, context), spares, decode, lambda _, image: image,
        'training' if split == 'train' else split)
    readable = examples.filter(lambda own, _: own).map(lambda _, example: example)
    return readable.batch(local_size, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

  def preprocess(self, image):
    """Crops, resizes and normalizes an image as for evaluation; for serving, in graphs too.

    Args:
      image: uint8 `[height, width, 3]`.

    Returns:
      float32 `[image_size, image_size, 3]`.
    """
    parser = classification_input.Parser(
        [self.image_size] * 2, self.num_classes, center_crop_fraction=self.center_crop_fraction,
        tf_resize_method=self.resize_method)
    features = {_ENCODED: tf.convert_to_tensor(image, tf.uint8), _LABEL: 0}
    return parser.parse_fn(is_training=False)(features)[0]

  def skipped_records(self):
    """Returns how many unreadable records this process has skipped, of training and validation together."""
    return record_streams.skipped_records()

  def _crop(self, encoded, seed):
    """Returns a training image's window, uint8 `[height, width, 3]`, of an encoded file."""
    return imagenet_augmentation.random_crop(encoded, self.crop_area, seed)

  def _augment(self, image, flip_seed, policy_seed):
    """Returns a normalized training image `[image_size, image_size, 3]` of a uint8 crop `[height, width, 3]`."""
    image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    image = tf.image.resize(image, [self.image_size] * 2, self.resize_method)
    image = tf.ensure_shape(image, [self.image_size, self.image_size, 3])
    if self.randaugment_layers:
      policy = augment.RandAugment(self.randaugment_layers, self.randaugment_magnitude)
      image = imagenet_augmentation.rand_augment(image, policy, policy_seed)
    return preprocess_ops.normalize_image(image, preprocess_ops.MEAN_RGB, preprocess_ops.STDDEV_RGB)

  @functools.cached_property
  def _found(self):
    return {}

  def _files(self, split):
    """Returns the `RecordFiles` of a split and some of its records that can be read; ValueError as `check`.

    They are looked for once, for that reads the first file and some records.
    """
    if split not in self._found:
      self._found[split] = self._find(split)
    return self._found[split]

  def _find(self, split):
    pattern = getattr(self, f'{split}_files')
    images = getattr(self, f'{split}_images')
    if (self.data_dir is None) == (pattern is None):
      raise ArgumentError(f'ImageNet needs either `data_dir`, the TFDS folder of imagenet2012, or `train_files` and '
                          f'`validation_files`, globs of TFRecords, received {self.data_dir!r} and {self.train_files!r}, '
                          f'{self.validation_files!r}.')
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
    except ValueError as e:
      raise ArgumentError(f"The {split} images in '{self.data_dir or pattern}' cannot be used. {e}") from e


def _pipeline(batch_size, input_context):
  """Returns the context, by default that of one pipeline for one replica, and the batch size of a replica."""
  if batch_size <= 0:
    raise ArgumentError(f'`batch_size` must be positive, received {batch_size}.')
  context = input_context or tf.distribute.InputContext()
  return context, context.get_per_replica_batch_size(batch_size)


def _share(records, is_own, context):
  return records.filter(is_own) if context.num_input_pipelines > 1 else records
