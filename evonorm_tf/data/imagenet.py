"""ImageNet (ILSVRC 2012) for training and evaluating classifiers, from TFDS or TFRecords.

The images are those of the paper's main experiments. They are treated as in Model Garden
(`official.vision.dataloaders.classification_input`): for training a random crop of 8 to 100% of the area, a random flip
and, if wanted, RandAugment; for evaluation the central 87.5%; then resizing and the normalization by channel. The
records are read by `imagenet_records`. Needs the extras `models` and, for TFDS, `data`.
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
  """ImageNet's images and how they become batches; nothing is read before `check` or the first batch.

  Attributes:
    data_dir: TFDS folder that holds imagenet2012. Give it or both globs of files.
    train_files: glob of TFRecords of tf.Examples with the features image/encoded (JPEG) and image/class/label, as Model
      Garden reads them.
    validation_files: the same for the validation images.
    first_label: the label of the first class in the TFRecords: 1 where 0 is a background class, as in those made for
      Model Garden, whose models therefore have 1,001 classes. Not for TFDS, which counts from 0.
    num_classes: labels are from 0 to `num_classes - 1`.
    train_images: how many training images there are; one epoch.
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
    """Raises ArgumentError if images are missing or none can be read; the message says what to prepare, and how."""
    self._records.check('train')
    self._records.check('validation')

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled and augmented training batches.

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
      ArgumentError: as `check`. While iterating, tf.errors.InvalidArgumentError where more than half of the first 1,000
        records or more cannot be read, or where the files hold more records than `train_images`.
    """
    return self._records.training_batches(
        batch_size, seed, self._crop, self._augment, self.shuffle_buffer, first_step, input_context)

  def evaluation_batches(self, batch_size: int,
                         input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a dataset of the validation images, each once, in an order that never changes.

    Args:
      batch_size: of all batches but the last, the global one.
      input_context: the tf.distribute.InputContext of a pipeline that makes the batches of its own replicas from its
        share of the images; None for one pipeline.

    Returns:
      tf.data.Dataset of images and labels like those of `training_batches`. Records that cannot be read are left out.

    Raises:
      ArgumentError, tf.errors.InvalidArgumentError: as `training_batches`.
    """
    return self._records.ordered_batches('validation', batch_size, self.preprocess, input_context)

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """Crops, resizes and normalizes an image as for evaluation; for serving, too, and in graphs.

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

  def skipped_records(self) -> int:
    """Returns how many unreadable records this process has skipped, of training and validation together."""
    return record_streams.skipped_records()

  def _crop(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns a random window of an encoded training image."""
    return imagenet_augmentation.random_crop(encoded, self.crop_area, seed)

  def _augment(self, image: tf.Tensor, flip_seed: tf.Tensor, policy_seed: tf.Tensor) -> tf.Tensor:
    """Returns a training image, flipped at random, resized, augmented and normalized."""
    image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    image = tf.image.resize(image, [self.image_size] * 2, self.resize_method)
    image = tf.ensure_shape(image, [self.image_size, self.image_size, 3])
    if self.randaugment_layers:
      policy = augment.RandAugment(self.randaugment_layers, self.randaugment_magnitude)
      image = imagenet_augmentation.rand_augment(image, policy, policy_seed)
    return preprocess_ops.normalize_image(image, preprocess_ops.MEAN_RGB, preprocess_ops.STDDEV_RGB)
