"""The labelled images of the proxy task: CIFAR-10, a data set of TFDS, or a user's own images in memory."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from evonorm_tf.data import cifar10
from evonorm_tf.data import image_batches
from evonorm_tf.data.tfds import import_tfds
from evonorm_tf.errors import ArgumentError
from search.journal.identity import cache_key

SPLITS = TRAIN, VALIDATION, TEST = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True, eq=False)
class ProxyData:
  """The images of a proxy task, as tensors on the CPU.

  Attributes:
    splits: by split, 'train', 'validation' and 'test', the images `[count, height, width, channels]` and their labels,
      int64 `[count]`.
    num_classes: the number of classes.
    scale: a function from pixels to the network's input, float32.
  """
  splits: dict[str, tuple[tf.Tensor, tf.Tensor]]
  num_classes: int
  scale: Callable[[tf.Tensor], tf.Tensor]

  @property
  def shape(self) -> tuple[int, int, int]:
    """The height, width and channels of an image."""
    return tuple(self.splits[TRAIN][0].shape[1:])

  @functools.lru_cache(maxsize=2)  # noqa: B019  (as many of these objects are kept)
  def training_batches(self, batch_size: int, crop_size: int | None, seed: int, flips: bool) -> tf.data.Dataset:
    """Returns the endless dataset of training batches, the same one for the same arguments.

    Args:
      batch_size: as `ProxyTask.batch_size`.
      crop_size: as `ProxyTask.crop_size`.
      seed: the seed of the batches.
      flips: as `ProxyTask.flips`.

    Raises:
      ArgumentError: if `crop_size` is above the images' size.
    """
    return image_batches.training_batches(
        *self.splits[TRAIN], batch_size, crop_size, seed, scale=self.scale, flips=flips)


def cifar10_arrays(data_dir: str | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns CIFAR-10 as arrays, for `ProxyTask.data`: workers then get the images from the search, and need no files.

  Args:
    data_dir: as `ProxyTask.data_dir`, on the machine of the search alone.

  Returns:
    By split, 'train' and 'test', the images, uint8 `[count, 32, 32, 3]`, and the labels, int64 `[count]`.

  Raises:
    ArgumentError: if the data cannot be read.
  """
  return {split: cifar10.load_split(split, data_dir) for split in (TRAIN, TEST)}


def load(data: Any, data_dir: str | None, image_size: int | None, validation_images: int, seed: int) -> ProxyData:
  """Returns the images of a proxy task; a process loads those of its last two tasks once.

  Args:
    data: as `ProxyTask.data`.
    data_dir: as `ProxyTask.data_dir`.
    image_size: as `ProxyTask.image_size`.
    validation_images: as `ProxyTask.validation_images`.
    seed: as `ProxyTask.seed`.

  Raises:
    ArgumentError: if the data cannot be read, or an argument does not fit them.
  """
  # A function that came by value is another object in each task of a worker: it counts as the one of its name and code.
  key = 'cifar10' if data is None else cache_key(data)
  return _load(key, _Given(data), data_dir, image_size, validation_images, seed)


class _Given:
  """What `load` received, which does not count in the cache's key."""

  def __init__(self, data: Any):
    self.data = data

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _Given)

  def __hash__(self) -> int:
    return 0


@functools.lru_cache(maxsize=2)
def _load(key: str, given: _Given, data_dir, image_size, validation_images, seed) -> ProxyData:
  del key
  if given.data is None:
    arrays = cifar10_arrays(data_dir)
    num_classes, scale = len(cifar10.LABEL_NAMES), cifar10.normalize
  else:
    arrays = _checked(_read(given.data, data_dir))
    num_classes = int(arrays[TRAIN][1].max()) + 1
    scale = _normalization(arrays[TRAIN][0])
  if VALIDATION not in arrays:
    arrays[TRAIN], arrays[VALIDATION] = cifar10.train_validation_split(
        *arrays[TRAIN], validation_images=validation_images, seed=seed)
  with tf.device('CPU:0'):  # tf.data runs there
    splits = {name: (tf.constant(_downscaled(images, image_size)), tf.constant(labels))
              for name, (images, labels) in arrays.items()}
  return ProxyData(splits, num_classes, scale)


def _read(data: Any, data_dir: str | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns the arrays of each split that there is."""
  if isinstance(data, str):
    data = _read_tfds(data, data_dir)
  given = data() if callable(data) else data
  if not isinstance(given, Mapping):
    raise ArgumentError("`data` must be the name of a TFDS data set, or a mapping from 'train' and 'test' to images "
                        f'and labels, or a function that returns one; received {type(given).__name__}.')
  missing, unknown = {TRAIN, TEST} - given.keys(), given.keys() - set(SPLITS)
  if missing or unknown:
    raise ArgumentError(f"`data` must have the splits 'train' and 'test', and may have 'validation'; received "
                        f'{sorted(map(str, given))}.')
  return {split: _arrays(split, examples) for split, examples in given.items()}


def _arrays(split: str, examples: Any) -> tuple[np.ndarray, np.ndarray]:
  """Returns the images and labels of one split as arrays."""
  if isinstance(examples, tf.data.Dataset):
    pairs = list(examples.as_numpy_iterator())
    if not pairs or any(not isinstance(pair, tuple) or len(pair) != 2 for pair in pairs):
      raise ArgumentError(f'`data`: the dataset of {split!r} must consist of pairs (image, label), unbatched.')
    sizes = {np.shape(image) for image, _ in pairs}
    if len(sizes) > 1:
      raise ArgumentError(f'`data`: the images of {split!r} must all have one shape, received {sorted(sizes)[:3]}; map '
                          'the dataset to images of one size.')
    examples = tuple(map(np.stack, zip(*pairs)))
  try:
    images, labels = examples
  except (TypeError, ValueError) as e:
    raise ArgumentError(f'`data`: {split!r} must be a pair of images and labels, or a tf.data.Dataset.') from e
  return np.asarray(images), np.asarray(labels)


def _read_tfds(name: str, data_dir: str | None) -> Mapping[str, tf.data.Dataset]:
  tfds = import_tfds()
  try:
    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    names = {TRAIN: 'train', TEST: 'test'}
    if 'test' not in builder.info.splits:
      names[TEST] = 'validation'
    image, label = builder.info.supervised_keys or ('image', 'label')
    return {split: builder.as_dataset(split=its_name, shuffle_files=False).map(lambda e: (e[image], e[label]))
            for split, its_name in names.items()}
  except Exception as e:  # TFDS, TensorFlow, JSON, the network and the file system raise many types
    raise ArgumentError(f"`data` must be the name of a TFDS image data set with the splits 'train' and 'test' or "
                        f"'validation', in `data_dir` ({data_dir or 'the folder of TFDS'}) or to be downloaded there, "
                        f'received {name!r}: {type(e).__name__}: {e}') from e


def _checked(arrays: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns the arrays with images as uint8 or float32 and labels as int64; raises ArgumentError if they do not fit."""
  shape = arrays[TRAIN][0].shape[1:]
  checked = {}
  for split, (images, labels) in arrays.items():
    if images.ndim != 4 or not images.size or images.shape[1:] != shape:
      raise ArgumentError(f'`data`: images must be [count, height, width, channels], of one size in all splits; '
                          f'those of {split!r} are {list(images.shape)}.')
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
      raise ArgumentError(f'`data`: the labels of {split!r} must be {len(images)} integers, received {labels.dtype} '
                          f'{list(labels.shape)}.')
    if images.dtype != np.uint8:
      images = images.astype(np.float32)
    if not np.isfinite(images).all():
      raise ArgumentError(f'`data`: the images of {split!r} must be finite.')
    checked[split] = images, labels.astype(np.int64)
  classes = np.unique(checked[TRAIN][1])
  if len(classes) < 2 or classes.tolist() != list(range(len(classes))):
    raise ArgumentError(f'`data`: the training labels must be 0 to K − 1, at least two classes, received '
                        f'{classes[:12].tolist()}.')
  for split, (_, labels) in checked.items():
    if labels.min() < 0 or labels.max() >= len(classes):
      raise ArgumentError(f'`data`: {split!r} has labels beyond the {len(classes)} classes of the training images.')
  return checked


def _normalization(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the function that gives the channels of the training images mean 0 and variance 1."""
  pixels = images.reshape(-1, images.shape[-1])
  mean, deviation = pixels.mean(0, dtype=np.float64), pixels.std(0, dtype=np.float64)
  if not deviation.all():
    raise ArgumentError(f'`data`: channel {int(np.argmin(deviation))} of the training images is constant.')

  @tf.function(autograph=False)  # traced once, not once for each dataset
  def normalize(images: tf.Tensor) -> tf.Tensor:
    return (tf.cast(images, tf.float32) - mean.astype(np.float32)) / deviation.astype(np.float32)

  return normalize


def _downscaled(images: np.ndarray, size: int | None) -> np.ndarray:
  if size is None:
    return images
  if images.dtype != np.uint8 or images.shape[1] != images.shape[2]:
    raise ArgumentError('`image_size` must be None for images that are not square or not of uint8, received '
                        f'{size} for {images.dtype} {list(images.shape[1:])}.')
  return cifar10.downscale(images, size)
