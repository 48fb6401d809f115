"""CIFAR-10 for the search's proxy tasks, the classification trainer and the GAN trainer (paper section 4).

The images come from TFDS: a class-balanced subset that is bundled with the package (drawn by `draw_cifar10_subset`),
or the whole of CIFAR-10. `Cifar10` is the data object of the classification trainer; the search and `gan.data` use the
functions of this module. A proxy task holds validation images out of the training images; the test split is for final
results only. As in the paper, training reads random crops and flips, and validation whole images. `downscale` departs
from the paper: smaller images make a proxy task for a workstation.
"""

from collections.abc import Callable
import dataclasses
import functools
import pathlib
import types
from typing import Any

import numpy as np
import tensorflow as tf

from evonorm_tf.data.tfds import import_tfds
from evonorm_tf.errors import ArgumentError

LABEL_NAMES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
SUBSET_NAME, SUBSET_VERSION = 'cifar10_subset', '1.0.0'
BUNDLED_DATA_DIR = pathlib.Path(__file__).parent

# Of the 50,000 training images, in units of uint8 pixels.
CHANNEL_MEANS = 255. * np.array([0.49139968, 0.48215841, 0.44653091])
CHANNEL_STDS = 255. * np.array([0.24703223, 0.24348513, 0.26158784])

# TensorFlow's default of 4 rounds leaves the permutations of 40,000 and more images correlated between epochs by 0.5
# and more; from 12 rounds on no correlation is seen.
_SHUFFLE_ROUNDS = 16


@functools.cache
def load_split(split: str, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray]:
  """Reads a split of CIFAR-10 into memory, once per process.

  Args:
    split: 'train' or 'test'.
    data_dir: None for the bundled subset (5,000 and 1,000 images), or the TFDS folder of the whole set (50,000 and
      10,000). If cifar10 is not prepared in that folder, TFDS downloads it there (162 MB); without a network TFDS gives
      up after some minutes of retries.

  Returns:
    Read-only arrays in the order of the image ids: images, uint8 `[N, 32, 32, 3]`, and labels, int64 `[N]`.

  Raises:
    ArgumentError: if the split is unknown or `data_dir` holds no CIFAR-10 and none can be downloaded.
    MissingDependencyError: without tensorflow-datasets.
  """
  if split not in ('train', 'test'):
    raise ArgumentError(f"`split` must be 'train' or 'test', received {split!r}.")
  tfds = import_tfds()
  if data_dir is None:
    builder = tfds.builder_from_directory(BUNDLED_DATA_DIR / SUBSET_NAME / SUBSET_VERSION)
    examples = _read(tfds, builder, split)
  elif not tf.io.gfile.isdir(data_dir):  # a misspelt folder would begin a download
    raise ArgumentError(f"`data_dir` must be an existing folder, received '{data_dir}'. "
                        'The default, data_dir=None, is the subset bundled with the package.')
  else:
    examples = _read_full(tfds, split, data_dir)
  # TFDS shuffles while preparing, so that only the ids give every copy of the set the same order.
  order = np.argsort(examples['id'])
  images, labels = examples['image'][order], examples['label'][order]
  for array in (images, labels):
    array.setflags(write=False)  # every caller gets these same arrays
  return images, labels


def _read(tfds: types.ModuleType, builder: Any, split: str) -> dict[str, np.ndarray]:
  return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False))


def _read_full(tfds: types.ModuleType, split: str, data_dir: str) -> dict[str, np.ndarray]:
  try:
    builder = tfds.builder('cifar10', data_dir=data_dir)
    builder.download_and_prepare()
    return _read(tfds, builder, split)
  except Exception as e:  # of TFDS, TensorFlow, JSON, the network or the file system
    raise ArgumentError(
        f"`data_dir` must be a TFDS folder that holds cifar10 or can receive its download, received '{data_dir}'. "
        f"Looked for '{pathlib.Path(data_dir) / 'cifar10'}'; reading or downloading it failed with "
        f'{type(e).__name__}: {e}. The default, data_dir=None, is the subset bundled with the package.') from e


def train_validation_split(images: np.ndarray, labels: np.ndarray, validation_images: int, seed: int
                           ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
  """Holds validation images out of the training images, the same number of each class.

  Args:
    images: `[N, ...]`.
    labels: integers `[N]`.
    validation_images: how many to hold out, a multiple of the number of classes; every class keeps at least one
      image for training.
    seed: the same seed holds out the same images.

  Returns:
    (training images, training labels), (validation images, validation labels): copies in the order of the arguments.
  """
  classes, counts = np.unique(labels, return_counts=True)
  if validation_images <= 0 or validation_images % len(classes):
    raise ArgumentError(f'`validation_images` must be a positive multiple of the {len(classes)} classes, '
                        f'received {validation_images}.')
  per_class = validation_images // len(classes)
  if per_class >= counts.min():
    raise ArgumentError('`validation_images` must leave training images of every class, received '
                        f'{validation_images}, {per_class} a class, of which the smallest has {counts.min()}.')
  rng = np.random.default_rng(seed)
  held_out = np.zeros(len(labels), bool)
  for c in classes:
    held_out[rng.choice(np.flatnonzero(labels == c), per_class, replace=False)] = True
  return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])


def downscale(images: np.ndarray, size: int) -> np.ndarray:
  """Averages uint8 images `[N, H, H, C]` over areas to `[N, size, size, C]`, rounded to uint8 (halves go up).

  Args:
    images: uint8 `[N, H, H, C]`.
    size: the new height and width, a divisor of H.
  """
  height = images.shape[1]
  if size <= 0 or height % size:
    raise ArgumentError(f"`size` must divide the images' height {height}, received {size}.")
  factor = height // size
  # A sum of strided slices is several times faster than the mean over a reshaped array.
  total = np.zeros(images[:, ::factor, ::factor].shape, np.uint32)
  for row in range(factor):
    for column in range(factor):
      total += images[:, row::factor, column::factor]
  area = factor * factor
  return ((total + area // 2) // area).astype(np.uint8)


def training_batches(images: np.ndarray | tf.Tensor, labels: np.ndarray | tf.Tensor, batch_size: int, crop_size: int,
                     seed: int, first_step: int = 0, input_context: tf.distribute.InputContext | None = None,
                     scale: Callable[[tf.Tensor], tf.Tensor] | None = None) -> tf.data.Dataset:
  """Returns an infinite dataset of shuffled, randomly cropped and flipped training batches.

  Global batches are a pure function of (seed, step): no global seed, thread, number of replicas or earlier call changes
  them. Every image comes once an epoch; a batch may span two epochs. Every window of an image and its mirror image are
  equally likely.

  Args:
    images: uint8 `[N, H, W, 3]`, an array or a tensor. An array is copied at each call, a tensor is shared: to build
      many pipelines over the whole set, convert it once.
    labels: integers `[N]`.
    batch_size: static, the global batch where a strategy distributes the dataset.
    crop_size: height and width of the crops in pixels, at most H and W.
    seed: an integer.
    first_step: the number of the first batch; to go on from a checkpoint, its step.
    input_context: the tf.distribute.InputContext of a pipeline that makes the batches of its own replicas, one after
      the other; None for the global batches.
    scale: a function from uint8 pixels to the input of the network; default: `normalize`.

  Returns:
    tf.data.Dataset of (float32 `[batch_size, crop_size, crop_size, 3]` of zero mean and unit variance over the
    training set, or as `scale` has it; integers `[batch_size]`).
  """
  height, width = _check_images(images, labels, batch_size)
  if not 0 < crop_size <= min(height, width):
    raise ArgumentError(f'`crop_size` must be from 1 to {min(height, width)}, the size of the images, '
                        f'received {crop_size}.')
  with tf.device('CPU:0'):  # where tf.data runs; on a GPU they would be copied back for each dataset
    pixels = tf.reshape(tf.convert_to_tensor(images), [-1, images.shape[-1]])
    labels = tf.convert_to_tensor(labels)
    windows = tf.constant(_windows(height, width, crop_size))
    seed = tf.constant(seed, tf.int64)

  context = input_context or tf.distribute.InputContext()
  local_size = context.get_per_replica_batch_size(batch_size)
  replicas = context.num_replicas_in_sync
  local_replicas = replicas // context.num_input_pipelines
  scale = scale or normalize

  def batch(number):
    step, replica = number // local_replicas, number % local_replicas
    part = step * replicas + context.input_pipeline_id * local_replicas + replica
    crops, crop_labels = _training_batch(pixels, labels, windows, seed, part, height * width, local_size)
    return scale(crops), crop_labels

  numbers = tf.data.Dataset.counter(first_step * local_replicas)
  return _without_tuning(numbers.map(batch)).prefetch(2)


def pad(images: np.ndarray, margin: int) -> np.ndarray:
  """Surrounds uint8 images `[N, H, W, 3]` by `margin` pixels of CIFAR-10's mean colour, to crop windows from them."""
  height, width = images.shape[1:3]
  padded = np.empty((len(images), height + 2 * margin, width + 2 * margin, 3), np.uint8)
  padded[:] = np.round(CHANNEL_MEANS)
  padded[:, margin:margin + height, margin:margin + width] = images
  return padded


def evaluation_batches(images: np.ndarray | tf.Tensor, labels: np.ndarray | tf.Tensor, batch_size: int,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
  """Returns a dataset of whole images in order, normalized as in `training_batches`; the last batch may be smaller.

  Args:
    images: uint8 `[N, H, W, 3]`, an array or a tensor.
    labels: integers `[N]`.
    batch_size: of all batches but the last, the global one.
    input_context: the tf.distribute.InputContext of a pipeline that makes the batches of its own replicas from its
      share of the images; None for one pipeline.
  """
  _check_images(images, labels, batch_size)
  if input_context:
    share = slice(input_context.input_pipeline_id, None, input_context.num_input_pipelines)
    images, labels = images[share], labels[share]
    batch_size = input_context.get_per_replica_batch_size(batch_size)
  with tf.device('CPU:0'):
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
  return _without_tuning(dataset.batch(batch_size).map(lambda x, y: (normalize(x), y))).prefetch(2)


@tf.function(autograph=False)
def normalize(images: tf.Tensor) -> tf.Tensor:
  """Scales pixels `[..., 3]` of 0 to 255 to float32 of zero mean and unit variance over CIFAR-10's training images."""
  return (tf.cast(images, tf.float32) - CHANNEL_MEANS.astype(np.float32)) / CHANNEL_STDS.astype(np.float32)


# A tf.function of its own, so that it is traced once for all candidates of a search and not once a dataset.
@tf.function(autograph=False)
def _training_batch(pixels, labels, windows, seed, number, image_size, batch_size):
  """Returns batch `number`; `pixels` are `[N * image_size, 3]`, `windows` as `_windows` returns them."""
  first = number * batch_size
  images = _shuffled_indices(seed, first + tf.range(batch_size, dtype=tf.int64), tf.size(labels, tf.int64))
  window = _draw(seed, first, batch_size, tf.shape(windows)[0])
  # One gather crops and flips the whole batch.
  crops = tf.gather(pixels, images[:, None, None] * image_size + tf.gather(windows, window))
  return crops, tf.gather(labels, images)


def _shuffled_indices(seed: tf.Tensor, positions: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
  """Returns the indices of the images at `positions` in one random permutation after the other."""
  epoch = positions // images
  # The raw op, because `tf.random.experimental.index_shuffle` fixes the rounds and cannot take a batch of seeds.
  seeds = tf.stack([tf.fill(tf.shape(epoch), seed), epoch, tf.zeros_like(epoch)], 1)
  return tf.raw_ops.RandomIndexShuffle(
      index=positions % images, seed=seeds, max_index=images - 1, rounds=_SHUFFLE_ROUNDS)


def _draw(seed: tf.Tensor, first: tf.Tensor, size: int, count: tf.Tensor) -> tf.Tensor:
  """Returns uniform integers `[size]` below `count`; each is a function of its position, which begin at `first`."""
  key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=tf.stack([seed, 0]))
  # Philox makes four integers of each value of its counter; a position uses the first of them.
  counter += tf.cast(tf.stack([first, 0]), tf.uint64)
  bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
      shape=[size, 4], key=key, counter=counter, alg=1, dtype=tf.uint32)[:, 0]
  return tf.cast(bits % tf.cast(count, tf.uint32), tf.int32)


def _windows(height: int, width: int, size: int) -> np.ndarray:
  """Returns the pixel numbers `[windows, size, size]` of all windows of an image, then of their mirror images."""
  pixel = np.arange(height * width).reshape(height, width)
  windows = np.lib.stride_tricks.sliding_window_view(pixel, (size, size)).reshape(-1, size, size)
  return np.concatenate([windows, windows[:, :, ::-1]])


def _without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Switches off optimizations that cost more than pipelines with a millisecond of work per batch gain by them."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return dataset.with_options(options)


def _check_images(images: Any, labels: Any, batch_size: int) -> tuple[int, int]:
  """Returns the images' height and width; ArgumentError for wrong shapes or sizes."""
  shape = tuple(images.shape)
  if len(shape) != 4 or shape[-1] != 3 or not shape[0]:
    raise ArgumentError(f'`images` must be [N, H, W, 3], received {list(shape)}.')
  if tuple(labels.shape) != shape[:1]:
    raise ArgumentError(f'`labels` must be [{shape[0]}] as the images, received {list(labels.shape)}.')
  if batch_size <= 0:
    raise ArgumentError(f'`batch_size` must be positive, received {batch_size}.')
  return shape[1:3]


@dataclasses.dataclass(frozen=True)
class Cifar10:
  """CIFAR-10, the bundled subset or the whole.

  Attributes:
    data_dir: None for the bundled subset (5,000 training and 1,000 test images), or the TFDS folder of the whole
      (50,000 and 10,000).
    padding: pixels of the mean colour around a training image, of which a random window of the image's size is cropped.
  """
  data_dir: str | None = None
  padding: int = 4

  num_classes = len(LABEL_NAMES)
  image_size = 32
  class_names = LABEL_NAMES

  def check(self) -> None:
    """Raises ArgumentError if the data cannot be read."""
    if self.padding < 0:
      raise ArgumentError(f'`padding` must not be negative, received {self.padding}.')
    load_split('train', self.data_dir)
    load_split('test', self.data_dir)

  @property
  def train_images(self) -> int:
    """The number of training images."""
    return len(load_split('train', self.data_dir)[1])

  @property
  def validation_images(self) -> int:
    """The number of test images, on which classifiers are evaluated."""
    return len(load_split('test', self.data_dir)[1])

  def skipped_records(self) -> int:
    """Returns how many images could not be read so far: none, since all are in memory."""
    return 0

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset; see `cifar10.training_batches`."""
    images, labels = load_split('train', self.data_dir)
    return training_batches(
        pad(images, self.padding), labels, batch_size, self.image_size, seed, first_step, input_context)

  def evaluation_batches(self, batch_size: int,
                         input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns the test images, each once; see `cifar10.evaluation_batches`."""
    return evaluation_batches(*load_split('test', self.data_dir), batch_size, input_context)

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """Returns an image as in evaluation: uint8 `[h, w, 3]` -> float32 `[32, 32, 3]`; resizes other sizes by area."""
    size = [self.image_size, self.image_size]
    return normalize(tf.image.resize(image, size, method='area'))
