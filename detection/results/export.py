"""A trained Mask R-CNN as a SavedModel that reads raw images: pixels, or files of PNG, JPEG, GIF or BMP."""

from collections.abc import Mapping
import functools

from official.core.config_definitions import ExperimentConfig
from official.vision.serving import detection
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.training import saved_models


class Detector(tf.Module):
  """A detector of objects in raw images: preprocessing, network and conversion to pixels of the original image.

  Signatures:
    serving_default: `images`, uint8 `[batch, height, width, 3]` of any size.
    image_bytes: `image_bytes`, strings `[batch]`, each the content of an image file; sizes may differ.

  Both return the model's own detections, K for each image, the highest scores first, padded after `num_detections`:
    detection_boxes: float32 `[batch, K, 4]`, `[ymin, xmin, ymax, xmax]` in pixels of the original image. A box may
      exceed the right and the lower border, beyond which the network saw padding.
    detection_outer_boxes: the same; only for models whose masks refer to these larger boxes.
    detection_classes: int32 `[batch, K]`, the indices of `class_names`; 0 is the background.
    detection_scores: float32 `[batch, K]`.
    detection_masks: float32 `[batch, K, mask height, mask width]`, the probability of the object in the cells of a
      grid over its box; `instances.detected` pastes them into the image. Only for models with masks.
    num_detections: int32 `[batch]`.

  Args:
    model: a MaskRCNNModel of Model Garden, converted or not, with its trained weights.
    config: the experiment of a MaskRCNNTask, which sets the size of the images, the anchors and the padding.
    class_names: by class, for those that have one; they become a variable of the SavedModel, strings `[classes]`, empty
      for the other classes.

  Raises:
    ArgumentError: if the configuration's non-maximum suppression accepts only batches of one size.
  """

  def __init__(self, model: tf_keras.Model, config: ExperimentConfig, class_names: Mapping[int, str]):
    super().__init__()
    version = config.task.model.detection_generator.nms_version
    if version not in ('v2', 'batched'):
      raise ArgumentError('`config.task.model.detection_generator.nms_version` must be v2 or batched, which take '
                          f'batches of any size; received {version}.')
    names = [class_names.get(i, '') for i in range(config.task.model.num_classes)]
    self.class_names = tf.Variable(tf.constant(names, tf.string), trainable=False)
    # The SavedModel holds the variables and our functions. The model and Model Garden's module are hidden from it,
    # because Keras would trace them for training too, which fails without a ground truth.
    self.weights = model.variables
    self._call = functools.partial(model, training=False)
    self._preprocess = _Preprocessing(
        config, batch_size=None, input_image_size=list(config.task.model.input_size[:2]), model=model).preprocess

  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')])
  def from_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the detections in images, uint8 `[batch, height, width, 3]`."""
    return self._detect(*self._preprocess(images))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
  def from_image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the detections in image files, given their contents, strings `[batch]`."""
    return self._detect(*self._preprocess(image_bytes))

  @tf.function  # one graph of the network for both
  def _detect(self, images, anchor_boxes, image_info):
    outputs = self._call(images, image_shape=image_info[:, 1], anchor_boxes=anchor_boxes)
    scale = tf.tile(image_info[:, 2:3], [1, 1, 2])
    boxes = {name: tf.cast(outputs[name], tf.float32) / scale
             for name in ('detection_boxes', 'detection_outer_boxes') if name in outputs}
    others = {name: tf.cast(outputs[name], dtype) for name, dtype in (
        ('detection_classes', tf.int32), ('detection_scores', tf.float32), ('detection_masks', tf.float32),
        ('num_detections', tf.int32)) if name in outputs}
    return saved_models.without_gradients({**boxes, **others})


class _Preprocessing(detection.DetectionModule):
  """Model Garden's preprocessing and decoding; Model Garden's own decoding requires images of one size in a batch."""

  def _build_inputs(self, image: tf.Tensor):
    if image.dtype == tf.string:
      image = tf.io.decode_image(image, channels=3, expand_animations=False)
    return super()._build_inputs(image)


def export(detector: Detector, folder: str) -> str:
  """Writes a SavedModel and returns its folder."""
  signatures = {'serving_default': detector.from_images, 'image_bytes': detector.from_image_bytes}
  saved_models.save(detector, folder, signatures)
  return folder
