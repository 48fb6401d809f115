"""Batches of labelled images in memory for training and evaluation; training batches are functions of (seed, step)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from evonorm_tf.errors import ArgumentError

# With TensorFlow's default of 4 rounds, permutations of 40,000 or more images correlate between epochs by 0.5 or more;
# with 12 or more rounds no correlation is seen.
_SHUFFLE_ROUNDS = 16


def training_batches(images: np.ndarray | tf.Tensor, labels: np.ndarray | tf.Tensor, batch_size: int,
                     crop_size: int | None, seed: int, first_step: int = 0,
                     input_context: tf.distribute.InputContext | None = None, *,
                     scale: Callable[[tf.Tensor], tf.Tensor], flips: bool = True) -> tf.data.Dataset:
  """Returns an infinite dataset of shuffled, randomly cropped and flipped training batches.

  A global batch is a pure function of (seed, step): it does not depend on the global seed, threads, the number of
  replicas or earlier calls. Every image occurs once per epoch; a batch may span two epochs. All windows of an image and
  their mirror images are equally likely.

  Args:
    images: array or tensor `[N, H, W, C]`. Each call copies an array but shares a tensor, so convert the images
      once before building many pipelines over them.
    labels: integer array or tensor `[N]`.
    batch_size: the number of images per global batch, that is, over all replicas.
    crop_size: the height and width of the crops in pixels, at most H and W; None for whole images.
    seed: an integer.
    first_step: the number of the first batch, by default 0; to resume from a checkpoint, the checkpoint's step.
    input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds the
      per-replica batches of that pipeline's replicas in turn. None, the default, gives global batches.
    scale: a function from pixels `[..., C]` to the network's input. It should be a `tf.function`, so that it is traced
      once for all datasets.
    flips: whether half of the images are mirrored, left and right (default True).

  Returns:
    tf.data.Dataset of (images, labels): `[batch_size, crop_size, crop_size, C]`, as `scale` returns them, and integers
    `[batch_size]`. With `input_context`, the size of a replica's share takes the place of `batch_size`.

  Raises:
    ArgumentError: for wrong shapes, a crop larger than the images, or a `batch_size` that is not positive.
  """
  height, width = _check_images(images, labels, batch_size)
  if crop_size is not None and not 0 < crop_size <= min(height, width):
    raise ArgumentError(f'`crop_size` must be from 1 to {min(height, width)}, the size of the images, '
                        f'received {crop_size}.')
  with tf.device('CPU:0'):  # tf.data runs there; tensors on a GPU would be copied back for each dataset
    pixels = tf.reshape(tf.convert_to_tensor(images), [-1, images.shape[-1]])
    labels = tf.convert_to_tensor(labels)
    windows = tf.constant(_windows(height, width, crop_size, flips))
    seed = tf.constant(seed, tf.int64)

  context = input_context or tf.distribute.InputContext()
  local_size = context.get_per_replica_batch_size(batch_size)
  replicas = context.num_replicas_in_sync
  local_replicas = replicas // context.num_input_pipelines

  def batch(number):
    step, replica = number // local_replicas, number % local_replicas
    part = step * replicas + context.input_pipeline_id * local_replicas + replica
    crops, crop_labels = _training_batch(pixels, labels, windows, seed, part, height * width, local_size)
    return scale(crops), crop_labels

  numbers = tf.data.Dataset.counter(first_step * local_replicas)
  return _without_tuning(numbers.map(batch)).prefetch(2)


def evaluation_batches(images: np.ndarray | tf.Tensor, labels: np.ndarray | tf.Tensor, batch_size: int,
                       input_context: tf.distribute.InputContext | None = None, *,
                       scale: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
  """Returns a finite dataset of the whole images, each once and in order.

  Args:
    images: array or tensor `[N, H, W, C]`.
    labels: integer array or tensor `[N]`.
    batch_size: the number of images per global batch, that is, over all replicas; the last batch may be smaller.
    input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds
      per-replica batches of that pipeline's share of the images. None, the default, gives global batches of all.
    scale: a function from pixels `[..., C]` to the network's input.

  Returns:
    tf.data.Dataset of (images `[batch, H, W, C]`, as `scale` returns them, integers `[batch]`).

  Raises:
    ArgumentError: for wrong shapes or a `batch_size` that is not positive.
  """
  _check_images(images, labels, batch_size)
  if input_context:
    share = slice(input_context.input_pipeline_id, None, input_context.num_input_pipelines)
    images, labels = images[share], labels[share]
    batch_size = input_context.get_per_replica_batch_size(batch_size)
  with tf.device('CPU:0'):
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
  return _without_tuning(dataset.batch(batch_size).map(lambda x, y: (scale(x), y))).prefetch(2)


# A separate tf.function, so that it is traced once for all candidates of a search and not once per dataset.
@tf.function(autograph=False)
def _training_batch(pixels, labels, windows, seed, number, image_size, batch_size):
  """Returns batch `number`; `pixels` is `[N * image_size, C]`, and `windows` is the result of `_windows`."""
  first = number * batch_size
  images = _shuffled_indices(seed, first + tf.range(batch_size, dtype=tf.int64), tf.size(labels, tf.int64))
  window = _draw(seed, first, batch_size, tf.shape(windows)[0])
  # One gather crops and flips the whole batch.
  crops = tf.gather(pixels, images[:, None, None] * image_size + tf.gather(windows, window))
  return crops, tf.gather(labels, images)


def _shuffled_indices(seed: tf.Tensor, positions: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
  """Returns the image index at each of `positions` in an endless sequence of random permutations, one per epoch."""
  epoch = positions // images
  # The raw op, because `tf.random.experimental.index_shuffle` fixes the rounds and does not accept a batch of seeds.
  seeds = tf.stack([tf.fill(tf.shape(epoch), seed), epoch, tf.zeros_like(epoch)], 1)
  return tf.raw_ops.RandomIndexShuffle(
      index=positions % images, seed=seeds, max_index=images - 1, rounds=_SHUFFLE_ROUNDS)


def _draw(seed: tf.Tensor, first: tf.Tensor, size: int, count: tf.Tensor) -> tf.Tensor:
  """Returns uniform integers `[size]` below `count`; the i-th is a function of `seed` and the position `first + i`."""
  key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=tf.stack([seed, 0]))
  # Philox generates four integers per counter value; each position uses the first of them.
  counter += tf.cast(tf.stack([first, 0]), tf.uint64)
  bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
      shape=[size, 4], key=key, counter=counter, alg=1, dtype=tf.uint32)[:, 0]
  return tf.cast(bits % tf.cast(count, tf.uint32), tf.int32)


def _windows(height: int, width: int, size: int | None, flips: bool) -> np.ndarray:
  """Returns the pixel indices `[windows, h, w]` of all windows of an image, then of their mirror images if `flips`."""
  pixel = np.arange(height * width).reshape(height, width)
  shape = (height, width) if size is None else (size, size)
  windows = np.lib.stride_tricks.sliding_window_view(pixel, shape).reshape(-1, *shape)
  return np.concatenate([windows, windows[:, :, ::-1]]) if flips else windows


def _without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Switches off tf.data's optimizations, which cost more than they gain at a millisecond of work per batch."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return dataset.with_options(options)


def _check_images(images: Any, labels: Any, batch_size: int) -> tuple[int, int]:
  """Returns the images' height and width; raises ArgumentError for wrong shapes or sizes."""
  shape = tuple(images.shape)
  if len(shape) != 4 or not all(shape):
    raise ArgumentError(f'`images` must be [N, H, W, C] and not empty, received {list(shape)}.')
  if tuple(labels.shape) != shape[:1]:
    raise ArgumentError(f'`labels` must be [{shape[0]}] as the images, received {list(labels.shape)}.')
  if batch_size <= 0:
    raise ArgumentError(f'`batch_size` must be positive, received {batch_size}.')
  return shape[1:3]
