"""Protocols of data objects, the images of a trainer, which a gin file names, such as `@cifar10.Cifar10()`.

The path of a training batch: the trainer's root checks the data object and passes it to the task; once the newest
checkpoint has been restored, `ResumableTrainer` asks the task for batches from the restored step on, and the task calls
`training_batches` here. Global batches are a function of (seed, step), whatever the number of replicas and hosts.
"""

from typing import Protocol

import tensorflow as tf


class TrainingData(Protocol):
  """Labelled images to train on."""

  @property
  def num_classes(self) -> int:
    """Labels are from 0 to `num_classes - 1`."""

  @property
  def image_size(self) -> int:
    """Height and width of the images in a batch, in pixels."""

  def check(self) -> None:
    """Raises ArgumentError if images are missing; the message says what to prepare, where and how."""

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0,
                       input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled training batches, a function of (seed, step).

    Args:
      batch_size: images of a global batch.
      seed: an integer.
      first_step: the number of the first batch; to go on from a checkpoint, its step.
      input_context: that of a pipeline which makes the batches of its own replicas, one after the other; None for the
        global batches.

    Returns:
      Images, float32 `[batch_size, image_size, image_size, 3]`, and labels, integers `[batch_size]`.
    """

  def skipped_records(self) -> int:
    """Returns how many images this process could not read so far."""


class ClassificationData(TrainingData, Protocol):
  """Images to train and to evaluate a classifier.

  A data object may also have `class_names`, a sequence of strings, which an export then holds.
  """

  @property
  def train_images(self) -> int:
    """The number of training images, which are one epoch."""

  @property
  def validation_images(self) -> int:
    """The number of images of an evaluation."""

  def evaluation_batches(self, batch_size: int,
                         input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a dataset of the validation images, each once, in an order that never changes.

    Args:
      batch_size: images of all global batches but the last, which may be smaller.
      input_context: that of a pipeline which makes the batches of its own replicas from its share of the images; None
        for one pipeline.

    Returns:
      Images and labels like those of `training_batches`.
    """

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """Returns an image as an evaluation sees it: uint8 `[h, w, 3]` -> float32 `[image_size, image_size, 3]`."""
