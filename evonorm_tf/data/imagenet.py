"""ImageNet (ILSVRC 2012) for training and evaluating classifiers, read from TFDS or from TFRecord files.

The paper's main experiments use these images. They are preprocessed as in the TensorFlow Model Garden
(`official.vision.dataloaders.classification_input`). Training uses a random crop of 8 to 100% of the area, a random
flip and, optionally, RandAugment; evaluation uses a central square, 87.5% of the shorter side. Both resize the image
and normalize its channels. `imagenet_records` reads the records. This module needs the package's extra `models` and,
for TFDS (TensorFlow Datasets), the extra `data`.
"""

import dataclasses
import functools

from official.vision.dataloaders import classification_input
from official.vision.ops import augment
from official.vision.ops import preprocess_ops
import tensorflow as tf

from evonorm_tf.data import imagenet_augmentation
from evonorm_tf.data import imagenet_records
from evonorm_tf.data import record_streams
from evonorm_tf.errors import ArgumentError

_ENCODED, _LABEL = classification_input.DEFAULT_IMAGE_FIELD_KEY, classification_input.DEFAULT_LABEL_FIELD_KEY


@dataclasses.dataclass(frozen=True)
class ImageNet:
  """ImageNet as a data object of the classification trainer (`data_objects.ClassificationData`).

  No file is read before `check` or the first batch.

  Attributes:
    data_dir: the TFDS folder that contains imagenet2012, or None, the default. Give either this folder or both
      `train_files` and `validation_files`.
    train_files: a glob of TFRecord files of tf.Examples with Model Garden's features image/encoded (a JPEG) and
      image/class/label; None, the default, to read from `data_dir`.
    validation_files: the same for the validation images.
    first_label: the label of the first class in the TFRecord files. The default is 1, for files made for Model Garden,
      where 0 is a background class and models have 1,001 classes. Ignored with TFDS, where labels start at 0.
    num_classes: the number of classes; the labels in a batch range from 0 to `num_classes - 1`. Default: 1000.
    train_images: the number of training images, that is, of images per epoch. Default: 1,281,167.
    validation_images: the number of validation images. Default: 50,000.
    image_size: the height and width of the network's input in pixels. Default: 224.
    crop_area: the least and the greatest fraction of an image's area that a training crop covers. Default: (.08, 1.).
    randaugment_layers: the number of RandAugment operations applied to each training image. Default: 0, for none.
    randaugment_magnitude: the strength of these operations, from 0 to 10, the default. RandAugment's other settings are
      Model Garden's defaults.
    center_crop_fraction: the side of the evaluation crop as a fraction of the image's shorter side. Default: 0.875.
    resize_method: an interpolation method of `tf.image.resize`. Default: 'bilinear'.
    shuffle_buffer: the size of the shuffle buffer in training records of about 110 kB each. The first batch waits until
      it is full. Default: 10,000.

  Raises:
    ArgumentError: if a setting is out of range.
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
    self._records.check_settings()
    imagenet_records.check_image_settings(self.image_size, self.resize_method, self.shuffle_buffer)
    if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
      raise ArgumentError(f'`crop_area` must be (least, greatest) part above 0 and up to 1, received {self.crop_area}.')
    if self.randaugment_layers < 0:
      raise ArgumentError(f'`randaugment_layers` must not be negative, received {self.randaugment_layers}.')
    if not 0 <= self.randaugment_magnitude <= 10:
      raise ArgumentError(f'`randaugment_magnitude` must be from 0 to 10, received {self.randaugment_magnitude}.')
    if not 0 < self.center_crop_fraction <= 1:
      raise ArgumentError(f'`center_crop_fraction` must be above 0 and up to 1, received {self.center_crop_fraction}.')

  @functools.cached_property
  def _records(self) -> imagenet_records.ImageNetRecords:
    return imagenet_records.ImageNetRecords(
        self.data_dir, self.train_files, self.validation_files, self.first_label, self.num_classes, self.train_images,
        self.validation_images)

  def check(self) -> None:
    """Looks for the files of both splits and reads their first records.

    Raises:
      ArgumentError: if images are missing or none can be read; the message says what to prepare, and how.
      MissingDependencyError: if `data_dir` is given and tensorflow-datasets is not installed.
    """
    self._records.check('train')
    self._records.check('validation')

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled and augmented training batches.

    A global batch is a function of (seed, step): it does not depend on the global seed, threads, or the number of
    replicas and input pipelines. Every image occurs once per epoch; a batch may span two epochs. A record that cannot
    be read is replaced by one of the first 64 records, so that a batch does not depend on the step at which the run
    began. To agree on the order, every pipeline reads all records from disk, 140 GB per epoch, but decodes only its
    own.

    Args:
      batch_size: the number of images per global batch, that is, over all replicas.
      seed: an integer.
      first_step: the number of the first batch, by default 0; to resume from a checkpoint, the checkpoint's step.
        Earlier records of that epoch are read again, but not decoded.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds the
        per-replica batches of that pipeline's replicas in turn. None, the default, gives global batches.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch_size, image_size, image_size, 3]`, normalized by ImageNet's
      channel means and standard deviations, and int32 `[batch_size]`. With `input_context`, the size of a replica's
      share takes the place of `batch_size`.

    Raises:
      ArgumentError: if images are missing or none can be read.
      tf.errors.InvalidArgumentError: during iteration, if at least 1,000 records have been seen and more than half of
        them could not be read, or if the files contain more than `train_images` records.
    """
    return self._records.training_batches(
        batch_size, seed, self._crop, self._augment, self.shuffle_buffer, first_step, input_context)

  def evaluation_batches(self, batch_size: int,
                         input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a finite dataset of the validation images, each once, in an order that never changes.

    Args:
      batch_size: the number of images per global batch, that is, over all replicas; the last batch may be smaller.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds
        per-replica batches of that pipeline's share of the images. None, the default, gives global batches of all.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch, image_size, image_size, 3]`, normalized, and int32
      `[batch]`. Records that cannot be read are left out.

    Raises:
      ArgumentError: if images are missing or none can be read.
      tf.errors.InvalidArgumentError: during iteration, as in `training_batches`, with `validation_images`.
    """
    return self._records.ordered_batches('validation', batch_size, self.preprocess, input_context)

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """Crops, resizes and normalizes an image as for evaluation; also used in exported models.

    Args:
      image: uint8 `[height, width, 3]`, of any size.

    Returns:
      float32 `[image_size, image_size, 3]`.
    """
    parser = classification_input.Parser(
        [self.image_size] * 2, self.num_classes, center_crop_fraction=self.center_crop_fraction,
        tf_resize_method=self.resize_method)
    features = {_ENCODED: tf.convert_to_tensor(image, tf.uint8), _LABEL: 0}
    return parser.parse_fn(is_training=False)(features)[0]

  def skipped_records(self) -> int:
    """Returns the number of unreadable records that this process has skipped so far in training and evaluation."""
    return record_streams.skipped_records()

  def _crop(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns a random crop of an encoded training image."""
    return imagenet_augmentation.random_crop(encoded, self.crop_area, seed)

  def _augment(self, image: tf.Tensor, flip_seed: tf.Tensor, policy_seed: tf.Tensor) -> tf.Tensor:
    """Flips a training image at random, then resizes, augments and normalizes it."""
    image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    image = tf.image.resize(image, [self.image_size] * 2, self.resize_method)
    image = tf.ensure_shape(image, [self.image_size, self.image_size, 3])
    if self.randaugment_layers:
      policy = augment.RandAugment(self.randaugment_layers, self.randaugment_magnitude)
      image = imagenet_augmentation.rand_augment(image, policy, policy_seed)
    return preprocess_ops.normalize_image(image, preprocess_ops.MEAN_RGB, preprocess_ops.STDDEV_RGB)
