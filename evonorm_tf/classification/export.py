"""Export of a trained classifier as a SavedModel that takes raw images: pixels, or PNG, JPEG, GIF or BMP files."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import os

from absl import logging
from official.core import config_definitions
import tensorflow as tf
import tf_keras

from evonorm_tf.classification.task import ClassificationTask
from evonorm_tf.conversion.folding import fold_norm_acts
from evonorm_tf.data import orientation
from evonorm_tf.data.data_objects import ClassificationData
from evonorm_tf.errors import ArgumentError
from evonorm_tf.training import saved_models
from evonorm_tf.training.checkpoints import trained_model

OUTPUTS = ('logits', 'probabilities', 'classes')


class Classifier(tf.Module):
  """A TensorFlow module that combines the preprocessing of images with a trained network.

  The SavedModel that `export` writes has two signatures:
  - serving_default takes `images`, uint8 `[batch, height, width, 3]`, of any height and width.
  - image_bytes takes `image_bytes`, strings `[batch]`, each the content of an image file.
  Both return `logits` and `probabilities`, float32 `[batch, classes]`, and `classes`, int64 `[batch]`, the index of the
  most probable class of each image.

  Args:
    model: the network, from float32 images `[batch, image_size, image_size, 3]` to logits `[batch, classes]`.
    preprocess: a function from a uint8 image `[height, width, 3]` to the network's input, float32
      `[image_size, image_size, 3]`.
    image_size: the height and width of the network's input in pixels.
    class_names: the names of the classes in the order of the logits, by default none. The SavedModel contains them as
      the variable `class_names`, strings `[classes]`.
  """

  def __init__(self, model: tf_keras.Model, preprocess: Callable[[tf.Tensor], tf.Tensor], image_size: int,
               class_names: Sequence[str] = ()):
    super().__init__()
    self.weights = model.variables
    self._infer = functools.partial(model, training=False)  # with the model itself, all of its layers would be saved
    self.class_names = tf.Variable(tf.constant(list(class_names), tf.string), trainable=False)
    self._preprocess = preprocess
    self._spec = tf.TensorSpec([image_size, image_size, 3], tf.float32)

  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')])
  def from_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Classifies images given as pixels; this is the signature serving_default.

    Args:
      images: uint8 `[batch, height, width, 3]`, of any height and width.

    Returns:
      `logits`, `probabilities` and `classes` by name; see the class.
    """
    return self._classify(tf.map_fn(self._preprocess, images, fn_output_signature=self._spec))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
  def from_image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Classifies images given as the contents of files; this is the signature image_bytes.

    Args:
      image_bytes: strings `[batch]`, the contents of PNG, JPEG, GIF or BMP files of any size. A JPEG photograph with an
        EXIF orientation is turned as viewers turn it.

    Returns:
      `logits`, `probabilities` and `classes` by name; see the class.
    """
    def decode(content):
      return self._preprocess(orientation.decode_upright(content))
    return self._classify(tf.map_fn(decode, image_bytes, fn_output_signature=self._spec))

  def _classify(self, images):
    logits = tf.cast(self._infer(images), tf.float32)
    outputs = dict(zip(OUTPUTS, (logits, tf.nn.softmax(logits), tf.argmax(logits, -1))))
    return saved_models.without_gradients(outputs)


def export(task: ClassificationTask, config: config_definitions.ExperimentConfig, data: ClassificationData,
           model_dir: str) -> str:
  """Writes a SavedModel of the newest checkpoint to the folder export/ in the model directory.

  If training kept a moving average of the weights, the SavedModel has the averaged weights. What is constant in
  norm-activation layers is folded into convolutions; see `evonorm_tf.fold_norm_acts`.

  Args:
    task: the task with which the network was trained.
    config: the Model Garden configuration with which it was trained.
    data: the data object, which preprocesses images and may have `class_names`.
    model_dir: the folder that contains the checkpoints.

  Returns:
    The path of the folder export/.

  Raises:
    ArgumentError: if there is no checkpoint, or it belongs to another model or optimizer.
  """
  model = _folded(trained_model(task, config, model_dir))
  classifier = Classifier(model, data.preprocess, data.image_size, getattr(data, 'class_names', ()))
  folder = os.path.join(model_dir, 'export')
  signatures = {'serving_default': classifier.from_images, 'image_bytes': classifier.from_image_bytes}
  saved_models.save(classifier, folder, signatures)
  return folder


def _folded(model: tf_keras.Model) -> tf_keras.Model:
  """Returns the folded model, or the model itself if it has layers of the user's that cannot be copied."""
  try:
    return fold_norm_acts(model)
  except ArgumentError as error:
    logging.warning('The SavedModel has all layers as they were trained, nothing is folded: %s', error)
    return model
