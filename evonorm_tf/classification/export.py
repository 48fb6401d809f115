"""A trained classifier as a SavedModel that reads raw images: pixels, or files of PNG, JPEG, GIF or BMP."""

import functools
import os

import tensorflow as tf
import tf_keras

from evonorm_tf.training import saved_models
from evonorm_tf.training.checkpoints import trained_model

OUTPUTS = ('logits', 'probabilities', 'classes')


class Classifier(tf.Module):
  """Preprocessing and network in one.

  Signatures:
    serving_default: `images`, uint8 `[batch, height, width, 3]` of any size.
    image_bytes: `image_bytes`, strings `[batch]`, each the content of an image file.
    Both return `logits` and `probabilities`, float32 `[batch, classes]`, and `classes`, int64 `[batch]`, the most
    probable ones.

  Args:
    model: from float32 images `[batch, size, size, 3]` to logits.
    preprocess: from a uint8 image `[height, width, 3]` to a float32 image `[size, size, 3]`.
    image_size: size in pixels.
    class_names: what the classes are called; kept as a variable of the SavedModel, strings `[classes]`.
  """

  def __init__(self, model: tf_keras.Model, preprocess, image_size: int, class_names=()):
    super().__init__()
    self.weights = model.variables
    self._infer = functools.partial(model, training=False)  # not the model, of which every layer would be saved
    self.class_names = tf.Variable(tf.constant(list(class_names), tf.string), trainable=False)
    self._preprocess = preprocess
    self._spec = tf.TensorSpec([image_size, image_size, 3], tf.float32)

  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')])
  def from_images(self, images):
    return self._classify(tf.map_fn(self._preprocess, images, fn_output_signature=self._spec))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
  def from_image_bytes(self, image_bytes):
    def decode(content):
      return self._preprocess(tf.io.decode_image(content, channels=3, expand_animations=False))
    return self._classify(tf.map_fn(decode, image_bytes, fn_output_signature=self._spec))

  def _classify(self, images):
    logits = tf.cast(self._infer(images), tf.float32)
    outputs = dict(zip(OUTPUTS, (logits, tf.nn.softmax(logits), tf.argmax(logits, -1))))
    return saved_models.without_gradients(outputs)


def export(task, config, data, model_dir: str) -> str:
  """Writes model_dir/export from the newest checkpoint: its moving average of the weights where there is one.

  Returns:
    The folder.

  Raises:
    ValueError: if there is no checkpoint.
  """
  model = trained_model(task, config, model_dir)
  classifier = Classifier(model, data.preprocess, data.image_size, getattr(data, 'class_names', ()))
  folder = os.path.join(model_dir, 'export')
  signatures = {'serving_default': classifier.from_images, 'image_bytes': classifier.from_image_bytes}
  saved_models.save(classifier, folder, signatures)
  return folder
