"""Protocols for data objects: the objects that supply a trainer's images, such as `@cifar10.Cifar10()` in a gin file.

A training batch is made as follows. The trainer's root function checks the data object and passes it to the task. When
the newest checkpoint has been restored, `training.resumable.ResumableTrainer` asks the task for batches from the
restored step on, and the task calls `training_batches` of the data object. A global batch is a function of (seed, step)
and does not depend on the number of replicas and hosts.
"""

from typing import Protocol

import tensorflow as tf


class TrainingData(Protocol):
  """The protocol for labelled training images."""

  @property
  def num_classes(self) -> int:
    """The number of classes; labels range from 0 to `num_classes - 1`."""

  @property
  def image_size(self) -> int:
    """The height and width of the images in a batch, in pixels."""

  def check(self) -> None:
    """Checks that the images can be read.

    Raises:
      ArgumentError: if images are missing; the message says what to prepare, where and how.
    """

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled training batches; each is a function of (seed, step).

    Args:
      batch_size: the number of images per global batch, that is, over all replicas.
      seed: an integer.
      first_step: the number of the first batch, by default 0; to resume from a checkpoint, the checkpoint's step.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds the
        per-replica batches of that pipeline's replicas in turn. None, the default, gives global batches.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch_size, image_size, image_size, 3]` and integers
      `[batch_size]`. With `input_context`, the size of a replica's share takes the place of `batch_size`.
    """

  def skipped_records(self) -> int:
    """Returns the number of images that this process has skipped so far because they could not be read."""


class ClassificationData(TrainingData, Protocol):
  """The protocol for labelled images with which a classifier is trained and evaluated.

  A data object may also have an attribute `class_names`, a sequence of strings; exported models then contain it.
  """

  @property
  def train_images(self) -> int:
    """The number of training images, that is, of images per epoch."""

  @property
  def validation_images(self) -> int:
    """The number of images on which an evaluation is made."""

  def evaluation_batches(self, batch_size: int,
                         input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a finite dataset of the validation images, each once, in an order that never changes.

    Args:
      batch_size: the number of images per global batch, that is, over all replicas; the last batch may be smaller.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several. The dataset then holds
        per-replica batches of that pipeline's share of the images. None, the default, gives global batches of all.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch, image_size, image_size, 3]` and integers `[batch]`.
    """

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """Prepares an image as for evaluation.

    Args:
      image: uint8 `[height, width, 3]`, of any size.

    Returns:
      float32 `[image_size, image_size, 3]`.
    """
