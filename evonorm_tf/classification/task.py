"""Model Garden's classification task on our backbones and data, which goes on where it stopped.

What Model Garden does: model, loss, metrics, a training step, evaluation, checkpoints. What is done here: data that
begin at the restored step, and a validation in which each image counts alike.
"""

import math

from official.vision.tasks import image_classification
import tensorflow as tf
import tf_keras

from evonorm_tf.training.resumable import ResumableTask


class ClassificationTask(ResumableTask, image_classification.ImageClassificationTask):
  """Classification of the images of a data object.

  Args:
    params: Model Garden's ImageClassificationTask configuration.
    data: has `training_batches`, `evaluation_batches` and `validation_images`, as `cifar10.Cifar10`.
    seed: of the weights' initial values and the order and augmentation of the images.
    jit_compile: whether XLA compiles the training step.
  """

  def __init__(self, params, data, seed, jit_compile=False, **kwargs):
    super().__init__(params, seed, jit_compile, **kwargs)
    self._data = data

  def skipped_records(self) -> int:
    return self._data.skipped_records()

  def build_inputs(self, params, input_context=None, first_step=0):
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self._seed, first_step, input_context)
    context = input_context or tf.distribute.InputContext()
    steps = math.ceil(self._data.validation_images / params.global_batch_size)
    return full_batches(
        self._data.evaluation_batches(params.global_batch_size, input_context),
        context.get_per_replica_batch_size(params.global_batch_size),
        steps * context.num_replicas_in_sync // context.num_input_pipelines)

  def build_metrics(self, training=True):
    metrics = super().build_metrics(training)
    if not training:
      metrics.append(tf_keras.metrics.CategoricalCrossentropy('validation_loss', from_logits=True))
    return metrics

  def validation_step(self, inputs, model, metrics=None):
    images, labels = inputs
    is_image = labels != NO_IMAGE
    labels = tf.one_hot(labels, self.task_config.model.num_classes)
    logits = tf.cast(self.inference_step(images, model), tf.float32)
    for metric in metrics:
      metric.update_state(labels, logits, sample_weight=is_image)
    return {}


NO_IMAGE = -1  # the label of what fills a batch up


def full_batches(batches: tf.data.Dataset, size: int, count: int) -> tf.data.Dataset:
  """Fills up with images of zeros and the label `NO_IMAGE`.

  Args:
    batches: images `[n, height, width, channels]` with n at most `size`, and integer labels `[n]`.
    size: of every batch.
    count: the number of batches, at least that of `batches`.
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
