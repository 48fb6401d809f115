"""The proxy task: short training of networks with a norm-activation layer (as in the paper).

The validation images are held out of the training images. The test images are used for a search's final table only.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from evonorm_tf import checks
from evonorm_tf.data import cifar10
from evonorm_tf.data import image_batches
from evonorm_tf.devices.strategy import STRATEGIES
from evonorm_tf.errors import ArgumentError
from search.evaluation import proxy_data
from search.evaluation.architecture import Architecture
from search.execution.deferred_interrupts import raise_if_interrupted
from search.execution.plain_functions import plain_function
from search.journal.identity import cache_key

NUM_CLASSES = len(cifar10.LABEL_NAMES)  # of CIFAR-10


@dataclasses.dataclass(frozen=True)
class ProxyTask:
  """The settings of the proxy task: architectures, data and training. The defaults are the paper's for its B series.

  Attributes:
    architectures: the architectures to train a layer in, each of another family. The cheapest should come first,
      because the evaluation of a layer ends with the first rejection.
    steps: the number of training steps of a full evaluation (default 2,000).
    cosine: whether the learning rate falls to 0 over `steps` along a cosine (default False: it is constant).
    learning_rate: the learning rate of SGD at the start (default 0.1).
    momentum: the Nesterov momentum, in [0, 1] (default 0.9).
    weight_decay: the factor of ½‖w‖² in the loss, for kernels of convolutions and dense layers alone (default 1e-4).
    batch_size: the number of images in a training batch, over all replicas (default 128).
    crop_size: the height and width of the random training crops, in pixels (default 24); None for whole images.
    image_size: the height and width to which all images are downscaled first, in pixels, a divisor of their own
      (default 32, that of CIFAR-10); None to leave them as they are, which images that are not square or not of uint8
      need.
    evaluation_batch_size: the number of whole images in an evaluation batch (default 512).
    validation_images: the number of training images to hold out, a multiple of the number of classes (default 5,000);
      not used if `data` has a split 'validation'.
    data_dir: the TFDS folder with CIFAR-10, or with the data set that `data` names; None (default) for the subset
      bundled with `evonorm_tf`, whose 5,000 training images need a smaller `validation_images`, or for TFDS's own
      folder.
    seed: the seed of the split, the initial weights and the batches (default 0). It is the same for every candidate, so
      that only the layer differs.
    training_seed: another seed of the initial weights and the batches, on the same split; None (default) for `seed`.
    strategy: a name for `evonorm_tf.devices.strategy.get_strategy`: 'one_device' (default), 'mirrored',
      'multi_worker_mirrored' or 'tpu'.
    data: other images than CIFAR-10's (None, the default): the name of an image data set of TFDS, such as 'mnist'; or
      a function without arguments that returns a mapping from 'train', 'test' and, if there is one, 'validation' to
      pairs of arrays (images `[count, height, width, channels]`, labels from 0 `[count]`) or to datasets of pairs
      (image, label), and which each worker process calls for itself; or such a mapping to arrays, of which the task
      keeps copies that are read-only. It travels to each node of Ray once, but to worker processes of this machine with
      each candidate, so it should be small there. The numbers of classes and channels follow from them. Channels are
      normalized to mean 0 and variance 1 over the training images.
    flips: whether half of the training images are mirrored, left and right (default True).

  Raises:
    ArgumentError: if there is no architecture, two are of the same family, a number of steps or images is below 1, or
      there is no such `strategy`.

  Example:
    >>> import search
    >>> networks = (search.Architecture('resnet', {'depth': 8, 'width_multiplier': .5}),)
    >>> task = search.ProxyTask(networks, steps=200, image_size=16, crop_size=16, validation_images=500)
    >>> task.num_classes, task.image_shape
    (10, (16, 16, 3))
  """
  architectures: tuple[Architecture, ...]
  steps: int = 2000
  cosine: bool = False
  learning_rate: float = 0.1
  momentum: float = 0.9
  weight_decay: float = 1e-4
  batch_size: int = 128
  crop_size: int | None = 24
  image_size: int | None = 32
  evaluation_batch_size: int = 512
  validation_images: int = 5000
  data_dir: str | None = None
  seed: int = 0
  training_seed: int | None = None
  strategy: str = 'one_device'
  data: Any = None
  flips: bool = True

  def __post_init__(self):
    families = [a.family for a in self.architectures]
    if not families or len(set(families)) < len(families):
      raise ArgumentError(f'`architectures` must be different families, received {families}.')
    checks.check_integers(1, steps=self.steps, batch_size=self.batch_size,
                          evaluation_batch_size=self.evaluation_batch_size)
    checks.check_choices(strategy=(self.strategy, STRATEGIES))
    object.__setattr__(self, 'data', plain_function(self.data))
    if isinstance(self.data, Mapping) and any(isinstance(part, tf.data.Dataset) for part in self.data.values()):
      raise ArgumentError('`data`: datasets must come from a function that returns the mapping, since each process '
                          'makes its own.')
    if isinstance(self.data, Mapping):
      object.__setattr__(self, 'data', {split: _read_only(part) for split, part in self.data.items()})

  def load(self) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Returns the images and labels of the splits 'train', 'validation' and 'test'; a process loads them once.

    Returns:
      By split, the images, `[count, height, width, channels]`, uint8 for CIFAR-10, and the labels, int64 `[count]`.

    Raises:
      ArgumentError: if the data cannot be read, or `validation_images` or `image_size` does not fit them.
    """
    return self._images.splits

  @property
  def num_classes(self) -> int:
    """The number of classes; it loads the data, unless they are CIFAR-10."""
    return NUM_CLASSES if self.data is None else self._images.num_classes

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of whole images; it loads the data, unless they are CIFAR-10."""
    if self.data is None and self.image_size is not None:
      return self.image_size, self.image_size, 3
    return self._images.shape

  @property
  def key(self) -> str:
    """A text that is equal for equal tasks, in all processes, also if their functions are not the same objects."""
    return cache_key(self)

  @property
  def _images(self) -> proxy_data.ProxyData:
    return proxy_data.load(self.data, self.data_dir, self.image_size, self.validation_images, self.seed)

  def training_batches(self) -> tf.data.Dataset:
    """Returns the endless dataset of training batches; a process makes it once.

    Returns:
      A dataset of (normalized images, float32 `[batch_size, crop_size, crop_size, channels]`; labels, int64
      `[batch_size]`).

    Raises:
      ArgumentError: as `load`; or if `crop_size` is above the images' size.
    """
    return self._images.training_batches(self.batch_size, self.crop_size, self._training_seed, self.flips)

  def evaluation_batches(self, split: str) -> tf.data.Dataset:
    """Returns the dataset of the whole images of a split, each once, normalized, with their labels.

    Args:
      split: 'train', 'validation' or 'test'.
    """
    return image_batches.evaluation_batches(
        *self.load()[split], self.evaluation_batch_size, scale=self._images.scale)

  @property
  def _training_seed(self) -> int:
    return self.seed if self.training_seed is None else self.training_seed

  def with_seed(self, seed: int) -> 'ProxyTask':
    """Returns the task with other initial weights and batches, on the same split.

    Args:
      seed: what is added to the seed of this task's training.
    """
    return dataclasses.replace(self, training_seed=self._training_seed + seed)

  def build(self, architecture: Architecture, norm_act: Callable[..., tf_keras.layers.Layer]) -> tf_keras.Model:
    """Returns a new network, with initial weights that depend on the seed and not on earlier networks.

    Args:
      architecture: one of the task's architectures.
      norm_act: returns a new norm-activation layer; it is called once for each place of such a layer in the network.

    Raises:
      KeyboardInterrupt: after Ctrl-C.
    """
    raise_if_interrupted()
    tf_keras.utils.set_random_seed(self._training_seed)
    height, width, channels = self.image_shape
    size = (height, width) if self.crop_size is None else (None, None)
    return architecture.make_model(norm_act, self.num_classes, (*size, channels))

  def loss(self, model: tf_keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns a replica's share of the training cross-entropy; the shares of all replicas add up to the batch's mean.

    Args:
      model: the network.
      images: the images in the replica's part of the batch, `[n, height, width, channels]`.
      labels: their classes, `[n]`.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
    return tf.reduce_sum(losses) / self.batch_size


def _read_only(part: Any) -> Any:
  """Returns a pair of arrays as copies that nobody can write, so that they need not be sent or checked twice."""
  return tuple(map(_frozen, part)) if isinstance(part, (tuple, list)) else part


def _frozen(array: Any) -> Any:
  """Returns a copy of an array that nobody can write; the array itself if that is so already, or it is no array."""
  if not isinstance(array, np.ndarray) or not _can_be_written(array):
    return array
  copy = array.copy()
  copy.flags.writeable = False
  return copy


def _can_be_written(array: np.ndarray) -> bool:
  """Returns whether an array, or one that it is a view of, can be written."""
  return array.flags.writeable or isinstance(array.base, np.ndarray) and _can_be_written(array.base)
