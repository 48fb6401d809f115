"""Export of a trained classifier as a SavedModel that reads raw images: pixels, or files of PNG, JPEG, GIF or BMP."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import os

from official.core import config_definitions
import tensorflow as tf
import tf_keras

from evonorm_tf.classification.task import ClassificationTask
from evonorm_tf.data.data_objects import ClassificationData
from evonorm_tf.training import saved_models
from evonorm_tf.training.checkpoints import trained_model

OUTPUTS = ('logits', 'probabilities', 'classes')


class Classifier(tf.Module):
  """The preprocessing of images and the network in one module.

  Signatures:
    serving_default: `images`, uint8 `[batch, height, width, 3]` of any size.
    image_bytes: `image_bytes`, strings `[batch]`, each the content of an image file.
    Both return `logits` and `probabilities`, float32 `[batch, classes]`, and `classes`, int64 `[batch]`, the most
    probable classes.

  Args:
    model: from float32 images `[batch, size, size, 3]` to logits.
    preprocess: from a uint8 image `[height, width, 3]` to a float32 image `[size, size, 3]`.
    image_size: size in pixels.
    class_names: the names of the classes; the SavedModel keeps them as a variable, strings `[classes]`.
  """

  def __init__(self, model: tf_keras.Model, preprocess: Callable[[tf.Tensor], tf.Tensor], image_size: int,
               class_names: Sequence[str] = ()):
    super().__init__()
    self.weights = model.variables
    self._infer = functools.partial(model, training=False)  # not the model, of which every layer would be saved
    self.class_names = tf.Variable(tf.constant(list(class_names), tf.string), trainable=False)
    self._preprocess = preprocess
    self._spec = tf.TensorSpec([image_size, image_size, 3], tf.float32)

  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')])
  def from_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Classifies pixels; see the signature serving_default."""
    return self._classify(tf.map_fn(self._preprocess, images, fn_output_signature=self._spec))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
  def from_image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Classifies the contents of image files; see the signature image_bytes."""
    def decode(content):
      return self._preprocess(tf.io.decode_image(content, channels=3, expand_animations=False))
    return self._classify(tf.map_fn(decode, image_bytes, fn_output_signature=self._spec))

  def _classify(self, images):
    logits = tf.cast(self._infer(images), tf.float32)
    outputs = dict(zip(OUTPUTS, (logits, tf.nn.softmax(logits), tf.argmax(logits, -1))))
    return saved_models.without_gradients(outputs)


def export(task: ClassificationTask, config: config_definitions.ExperimentConfig, data: ClassificationData,
           model_dir: str) -> str:
  """Writes model_dir/export from the newest checkpoint, with the moving average of the weights if there is one.

  Args:
    task: the task of the training.
    config: the experiment of the training.
    data: prepares images, and may name the classes.
    model_dir: the folder of the checkpoints.

  Returns:
    The folder.

  Raises:
    ArgumentError: if there is no checkpoint.
  """
  model = trained_model(task, config, model_dir)
  classifier = Classifier(model, data.preprocess, data.image_size, getattr(data, 'class_names', ()))
  folder = os.path.join(model_dir, 'export')
  signatures = {'serving_default': classifier.from_images, 'image_bytes': classifier.from_image_bytes}
  saved_models.save(classifier, folder, signatures)
  return folder
