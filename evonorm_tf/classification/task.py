"""The classification task of the TensorFlow Model Garden, with data objects and exact resumption.

Model Garden supplies the model, the loss, the metrics and the training step. This module adds training data that start
at the restored step, and an evaluation in which every image counts exactly once.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

from official.vision.configs import image_classification as configs
from official.vision.tasks import image_classification
import tensorflow as tf
import tf_keras

from evonorm_tf.data.data_objects import ClassificationData
from evonorm_tf.training.resumable import ResumableTask


class ClassificationTask(ResumableTask, image_classification.ImageClassificationTask):
  """A Model Garden task that trains and evaluates a classifier on the images of a data object.

  Args:
    params: Model Garden's configuration of model, losses and batch sizes.
    data: the data object that supplies the images.
    seed: the seed of the initial weights, the order and augmentation of the training images, and dropout.
    jit_compile: whether XLA compiles the training step, by default False.
    **kwargs: further arguments of Model Garden's task.
  """

  def __init__(self, params: configs.ImageClassificationTask, data: ClassificationData, seed: int,
               jit_compile: bool = False, **kwargs):
    super().__init__(params, seed, jit_compile, **kwargs)
    self._data = data

  def skipped_records(self) -> int:
    """Returns the number of images that this process could not read so far."""
    return self._data.skipped_records()

  def build_inputs(self, params: configs.DataConfig, input_context: tf.distribute.InputContext | None = None,
                   first_step: int = 0) -> tf.data.Dataset:
    """Returns the dataset of training batches, or that of evaluation batches.

    Training batches never end. Evaluation batches contain every evaluation image once; they all have the same size,
    because the last ones are filled up with empty images that have the label `NO_IMAGE`.

    Args:
      params: Model Garden's configuration of the dataset. Its `is_training` selects the dataset, and its
        `global_batch_size` is the number of images per batch over all replicas.
      input_context: the `tf.distribute.InputContext` of one input pipeline among several; the dataset then holds the
        per-replica batches of that pipeline. None, the default, for global batches.
      first_step: the number of the first training batch, by default 0; ignored for evaluation.

    Returns:
      tf.data.Dataset of (images, labels): float32 `[batch, image_size, image_size, 3]` and integers `[batch]`.
    """
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self._seed, first_step, input_context)
    context = input_context or tf.distribute.InputContext()
    steps = math.ceil(self._data.validation_images / params.global_batch_size)
    return full_batches(
        self._data.evaluation_batches(params.global_batch_size, input_context),
        context.get_per_replica_batch_size(params.global_batch_size),
        steps * context.num_replicas_in_sync // context.num_input_pipelines)

  def build_metrics(self, training: bool = True) -> list[tf_keras.metrics.Metric]:
    """Returns Model Garden's metrics; for evaluation also the mean cross-entropy, under the name 'validation_loss'.

    Args:
      training: whether the metrics are for training, by default True, or for evaluation.
    """
    metrics = super().build_metrics(training)
    if not training:
      metrics.append(tf_keras.metrics.CategoricalCrossentropy('validation_loss', from_logits=True))
    return metrics

  def validation_step(self, inputs: tuple[tf.Tensor, tf.Tensor], model: tf_keras.Model,
                      metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> Mapping[str, Any]:
    """Updates the metrics with one evaluation batch; images with the label `NO_IMAGE` get weight 0.

    Args:
      inputs: (images, labels), float32 `[batch, image_size, image_size, 3]` and integers `[batch]`.
      model: the classifier.
      metrics: the metrics that `build_metrics` returned for evaluation; must not be None.

    Returns:
      An empty dict, because all results are in the metrics.
    """
    images, labels = inputs
    is_image = labels != NO_IMAGE
    labels = tf.one_hot(labels, self.task_config.model.num_classes)
    logits = tf.cast(self.inference_step(images, model), tf.float32)
    for metric in metrics:
      metric.update_state(labels, logits, sample_weight=is_image)
    return {}


NO_IMAGE = -1  # the label of empty images that fill up a batch


def full_batches(batches: tf.data.Dataset, size: int, count: int) -> tf.data.Dataset:
  """Fills up a dataset of batches to a fixed batch size and a fixed number of batches.

  Added images are zeros and have the label `NO_IMAGE`.

  Args:
    batches: a finite dataset of (images, labels): `[n, height, width, channels]`, with n at most `size`, and integers
      `[n]`.
    size: the number of images in each returned batch.
    count: the number of batches to return, at least the number of batches in `batches`.

  Returns:
    tf.data.Dataset of `count` batches with static shapes `[size, height, width, channels]` and `[size]`.
  """
  image_spec, label_spec = batches.element_spec

  def fill(images, labels):
    missing = size - tf.shape(labels)[0]
    images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
    labels = tf.pad(labels, [[0, missing]], constant_values=NO_IMAGE)
    return tf.ensure_shape(images, [size, *image_spec.shape[1:]]), tf.ensure_shape(labels, [size])

  no_images = tf.zeros([size, *image_spec.shape[1:]], image_spec.dtype)
  empty = tf.data.Dataset.from_tensors((no_images, tf.fill([size], tf.constant(NO_IMAGE, label_spec.dtype))))
  return batches.map(fill).concatenate(empty.repeat(count)).take(count)
