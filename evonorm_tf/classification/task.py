"""Model Garden's classification task on our backbones and data; a training resumes exactly.

Model Garden supplies the model, the loss, the metrics and the training step. This module adds data that begin at the
restored step, and an evaluation in which every image counts once.
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
  """Classification of the images of a data object.

  Args:
    params: Model Garden's ImageClassificationTask configuration.
    data: the images.
    seed: of the weights' initial values and the order and augmentation of the images.
    jit_compile: whether XLA compiles the training step.
    **kwargs: arguments of Model Garden's task.
  """

  def __init__(self, params: configs.ImageClassificationTask, data: ClassificationData, seed: int,
               jit_compile: bool = False, **kwargs):
    super().__init__(params, seed, jit_compile, **kwargs)
    self._data = data

  def skipped_records(self) -> int:
    """Returns how many images this process could not read so far."""
    return self._data.skipped_records()

  def build_inputs(self, params: configs.DataConfig, input_context: tf.distribute.InputContext | None = None,
                   first_step: int = 0) -> tf.data.Dataset:
    """Returns the training batches from a step on, or full batches of the evaluation's images."""
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self._seed, first_step, input_context)
    context = input_context or tf.distribute.InputContext()
    steps = math.ceil(self._data.validation_images / params.global_batch_size)
    return full_batches(
        self._data.evaluation_batches(params.global_batch_size, input_context),
        context.get_per_replica_batch_size(params.global_batch_size),
        steps * context.num_replicas_in_sync // context.num_input_pipelines)

  def build_metrics(self, training: bool = True) -> list[tf_keras.metrics.Metric]:
    """Returns Model Garden's metrics; those of an evaluation have the mean cross-entropy, too."""
    metrics = super().build_metrics(training)
    if not training:
      metrics.append(tf_keras.metrics.CategoricalCrossentropy('validation_loss', from_logits=True))
    return metrics

  def validation_step(self, inputs: tuple[tf.Tensor, tf.Tensor], model: tf_keras.Model,
                      metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> Mapping[str, Any]:
    """Updates the metrics with a batch; what fills it up has no weight."""
    images, labels = inputs
    is_image = labels != NO_IMAGE
    labels = tf.one_hot(labels, self.task_config.model.num_classes)
    logits = tf.cast(self.inference_step(images, model), tf.float32)
    for metric in metrics:
      metric.update_state(labels, logits, sample_weight=is_image)
    return {}


NO_IMAGE = -1  # the label of images that only fill a batch up


def full_batches(batches: tf.data.Dataset, size: int, count: int) -> tf.data.Dataset:
  """Fills batches up with images of zeros and the label `NO_IMAGE`.

  Args:
    batches: images `[n, height, width, channels]` with n at most `size`, and integer labels `[n]`.
    size: the size of every batch that is returned.
    count: the number of batches that are returned, at least that of `batches`.
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
