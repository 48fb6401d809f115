"""A trained classifier as a SavedModel that reads raw images: pixels, or files of PNG, JPEG, GIF or BMP."""

import os

import tensorflow as tf
import tf_keras

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
    class_names: what the classes are called, or None; kept as an attribute of the SavedModel.
  """

  def __init__(self, model: tf_keras.Model, preprocess, image_size: int, class_names=None):
    super().__init__()
    self.model = model
    # A variable, for constants are not kept as attributes.
    self.class_names = tf.Variable(list(class_names or []), dtype=tf.string, trainable=False)
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
    logits = tf.cast(self.model(images, training=False), tf.float32)
    return dict(zip(OUTPUTS, (logits, tf.nn.softmax(logits), tf.argmax(logits, -1))))


def export(task, config, data, model_dir: str) -> str:
  """Writes model_dir/export from the newest checkpoint, or from the newest average of weights where there is one.

  Returns:
    The folder.

  Raises:
    ValueError: if there is no checkpoint.
  """
  averaged = config.trainer.optimizer_config.ema is not None
  checkpoint_dir = os.path.join(model_dir, 'ema_checkpoints') if averaged else model_dir
  checkpoint = latest_checkpoint(checkpoint_dir)
  model = task.build_model()
  tf.train.Checkpoint(model=model).restore(checkpoint).expect_partial().assert_existing_objects_matched()
  classifier = Classifier(model, data.preprocess, data.image_size, getattr(data, 'class_names', None))
  folder = os.path.join(model_dir, 'export')
  signatures = {'serving_default': classifier.from_images, 'image_bytes': classifier.from_image_bytes}
  tf.saved_model.save(classifier, folder, signatures)
  return folder


def latest_checkpoint(folder: str) -> str:
  """Returns the path of the newest checkpoint in a folder; ValueError if there is none."""
  checkpoint = tf.train.latest_checkpoint(folder)
  if not checkpoint:
    raise ValueError(f"`model_dir` must hold a checkpoint, found none in '{folder}'. Train first (--mode=train).")
  return checkpoint
