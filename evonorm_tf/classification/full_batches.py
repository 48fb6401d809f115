"""Evaluation batches of one size and number, whatever the number of images, hosts and replicas.

Without them the last batch of a replica may be empty, on which convolutions fail, or missing, for which hosts wait.
"""

import tensorflow as tf

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
