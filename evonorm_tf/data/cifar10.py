"""CIFAR-10 for the search's proxy tasks, the classification trainer and the GAN trainer.

The images come from TensorFlow Datasets (TFDS): either all of CIFAR-10 or a class-balanced subset that is bundled with
the package (drawn by `draw_cifar10_subset`). The classification trainer uses the class `Cifar10`; the search and
`gan.data` use the functions of this module. A proxy task holds validation images out of the training images, and the
test split is for final results only. As in the paper, training uses random crops and flips, and validation uses whole
images. `downscale` departs from the paper: smaller images make the proxy task affordable on a workstation.
"""

from collections.abc import Callable
import dataclasses
import functools
import pathlib
import types
from typing import Any

import numpy as np
import tensorflow as tf

from evonorm_tf.data import image_batches
from evonorm_tf.data.tfds import import_tfds
from evonorm_tf.errors import ArgumentError

LABEL_NAMES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
SUBSET_NAME, SUBSET_VERSION = 'cifar10_subset', '1.0.0'
BUNDLED_DATA_DIR = pathlib.Path(__file__).parent

# Channel statistics of the 50,000 training images, on the scale of uint8 pixels.
CHANNEL_MEANS = 255. * np.array([0.49139968, 0.48215841, 0.44653091])
CHANNEL_STDS = 255. * np.array([0.24703223, 0.24348513, 0.26158784])


@functools.cache
def load_split(split: str, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray]:
  """Reads a split of CIFAR-10 into memory, once per process.

  Args:
    split: 'train' or 'test'.
    data_dir: the TFDS folder of the whole of CIFAR-10 (50,000 training and 10,000 test images), or None, the default,
      for the bundled subset (5,000 and 1,000). If the folder does not contain cifar10, TFDS downloads it there
      (162 MB); without a network, TFDS gives up after several minutes of retries.

  Returns:
    (images, labels), read-only arrays sorted by image id: uint8 `[N, 32, 32, 3]` and int64 `[N]`.

  Raises:
    ArgumentError: if `split` is unknown, `data_dir` does not exist, or CIFAR-10 can be neither read nor downloaded.
    MissingDependencyError: if tensorflow-datasets is not installed.
  """
  if split not in ('train', 'test'):
    raise ArgumentError(f"`split` must be 'train' or 'test', received {split!r}.")
  tfds = import_tfds()
  if data_dir is None:
    builder = tfds.builder_from_directory(BUNDLED_DATA_DIR / SUBSET_NAME / SUBSET_VERSION)
    examples = _read(tfds, builder, split)
  elif not tf.io.gfile.isdir(data_dir):  # otherwise a misspelt folder would start a download
    raise ArgumentError(f"`data_dir` must be an existing folder, received '{data_dir}'. "
                        'The default, data_dir=None, is the subset bundled with the package.')
  else:
    examples = _read_full(tfds, split, data_dir)
  # TFDS shuffles when it prepares a data set. Sorting by id gives every copy the same order.
  order = np.argsort(examples['id'])
  images, labels = examples['image'][order], examples['label'][order]
  for array in (images, labels):
    array.setflags(write=False)  # all callers share these arrays
  return images, labels


def _read(tfds: types.ModuleType, builder: Any, split: str) -> dict[str, np.ndarray]:
  return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False))


def _read_full(tfds: types.ModuleType, split: str, data_dir: str) -> dict[str, np.ndarray]:
  try:
    builder = tfds.builder('cifar10', data_dir=data_dir)
    builder.download_and_prepare()
    return _read(tfds, builder, split)
  except Exception as e:  # TFDS, TensorFlow, JSON, the network and the file system raise many types
    raise ArgumentError(
        f"`data_dir` must be a TFDS folder that holds cifar10 or can receive its download, received '{data_dir}'. "
        f"Looked for '{pathlib.Path(data_dir) / 'cifar10'}'; reading or downloading it failed with "
        f'{type(e).__name__}: {e}. The default, data_dir=None, is the subset bundled with the package.') from e


def train_validation_split(images: np.ndarray, labels: np.ndarray, validation_images: int, seed: int
                           ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
  """Splits labelled images into a training set and a class-balanced, randomly drawn validation set.

  Args:
    images: array `[N, ...]`.
    labels: integer array `[N]`.
    validation_images: the total number of images to hold out, a positive multiple of the number of classes. Each class
      must keep at least one image for training.
    seed: an integer of at least 0 that determines which images are held out.

  Returns:
    ((training images, training labels), (validation images, validation labels)), all copies in the original order.

  Raises:
    ArgumentError: if `validation_images` is not such a number.
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
  """Returns square images averaged over blocks of pixels, uint8 `[N, size, size, C]`; halves are rounded up.

  Args:
    images: uint8 array `[N, H, H, C]`.
    size: the new height and width in pixels; ArgumentError unless it divides H.
  """
  height = images.shape[1]
  if size <= 0 or height % size:
    raise ArgumentError(f"`size` must divide the images' height {height}, received {size}.")
  factor = height // size
  # Summing strided slices is several times faster than taking the mean of a reshaped array.
  total = np.zeros(images[:, ::factor, ::factor].shape, np.uint32)
  for row in range(factor):
    for column in range(factor):
      total += images[:, row::factor, column::factor]
  area = factor * factor
  return ((total + area // 2) // area).astype(np.uint8)


def training_batches(images: np.ndarray | tf.Tensor, labels: np.ndarray | tf.Tensor, batch_size: int, crop_size: int,
                     seed: int, first_step: int = 0, input_context: tf.distribute.InputContext | None = None,
                     scale: Callable[[tf.Tensor], tf.Tensor] | None = None) -> tf.data.Dataset:
  """Returns an infinite dataset of shuffled, randomly cropped and flipped training batches of RGB images.

  Args:
    images: uint8 array or tensor `[N, H, W, 3]`.
    labels: integer array or tensor `[N]`.
    batch_size: the number of images per global batch, that is, over all replicas.
    crop_size: the height and width of the crops in pixels, at most H and W.
    seed: an integer.
    first_step: the number of the first batch, by default 0; to resume from a checkpoint, the checkpoint's step.
    input_context: the `tf.distribute.InputContext` of one input pipeline among several; None, the default, gives global
      batches. See `image_batches.training_batches`.
    scale: a function from uint8 pixels `[..., 3]` to the network's input; None, the default, for `normalize`.

  Returns:
    tf.data.Dataset of (images, labels), as `image_batches.training_batches` returns them.

  Raises:
    ArgumentError: for wrong shapes, a crop larger than the images, or a `batch_size` that is not positive.
  """
  _check_channels(images)
  return image_batches.training_batches(
      images, labels, batch_size, crop_size, seed, first_step, input_context, scale=scale or normalize)


def pad(images: np.ndarray, margin: int) -> np.ndarray:
  """Returns uint8 images `[N, H, W, 3]` with `margin` pixels of CIFAR-10's mean colour added on each side."""
  height, width = images.shape[1:3]
  padded = np.empty((len(images), height + 2 * margin, width + 2 * margin, 3), np.uint8)
  padded[:] = np.round(CHANNEL_MEANS)
  padded[:, margin:margin + height, margin:margin + width] = images
  return padded


def evaluation_batches(images: np.ndarray | tf.Tensor, labels: np.ndarray | tf.Tensor, batch_size: int,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
  """Returns a finite dataset of the whole RGB images, each once and in order, normalized by `normalize`.

  Args:
    images: uint8 array or tensor `[N, H, W, 3]`.
    labels: integer array or tensor `[N]`.
    batch_size: the number of images per global batch, that is, over all replicas; the last batch may be smaller.
    input_context: the `tf.distribute.InputContext` of one input pipeline among several; None, the default, gives global
      batches of all images. See `image_batches.evaluation_batches`.

  Returns:
    tf.data.Dataset of (float32 `[batch, H, W, 3]`, integers `[batch]`).

  Raises:
    ArgumentError: for wrong shapes or a `batch_size` that is not positive.
  """
  _check_channels(images)
  return image_batches.evaluation_batches(images, labels, batch_size, input_context, scale=normalize)


@tf.function(autograph=False)
def normalize(images: tf.Tensor) -> tf.Tensor:
  """Returns pixels `[..., 3]` from [0, 255] as float32 with mean 0 and variance 1 over CIFAR-10's training images."""
  return (tf.cast(images, tf.float32) - CHANNEL_MEANS.astype(np.float32)) / CHANNEL_STDS.astype(np.float32)


def _check_channels(images: Any) -> None:
  if len(images.shape) != 4 or images.shape[-1] != 3:
    raise ArgumentError(f'`images` must be [N, H, W, 3], received {list(images.shape)}.')


@dataclasses.dataclass(frozen=True)
class Cifar10:
  """CIFAR-10 as a data object of the classification trainer (`data_objects.ClassificationData`).

  Attributes:
    data_dir: the TFDS folder of all 50,000 + 10,000 images; None, the default, for the bundled subset (5,000 + 1,000).
    padding: pixels of the mean colour added on each side of a training image, by default 4; training then crops a
      random 32×32 window.
  """
  data_dir: str | None = None
  padding: int = 4

  num_classes = len(LABEL_NAMES)
  image_size = 32
  class_names = LABEL_NAMES

  def check(self) -> None:
    """Raises ArgumentError if `padding` is negative or the data cannot be read; see `load_split` for other errors."""
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
    """Returns 0: all images are in memory, so none is ever skipped."""
    return 0

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of normalized batches of `batch_size` images over all replicas, from `first_step` on.

    Each is a function of (`seed`, step); `input_context` selects one pipeline's share, see `ClassificationData`.
    """
    images, labels = load_split('train', self.data_dir)
    return training_batches(
        pad(images, self.padding), labels, batch_size, self.image_size, seed, first_step, input_context)

  def evaluation_batches(self, batch_size: int,
                         input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a dataset of all test images, `batch_size` at a time, or of the share that `input_context` selects."""
    return evaluation_batches(*load_split('test', self.data_dir), batch_size, input_context)

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """Prepares an image as for evaluation: resizes uint8 `[h, w, 3]` by area to 32×32, then applies `normalize`."""
    return normalize(tf.image.resize(image, [self.image_size] * 2, method='area'))
