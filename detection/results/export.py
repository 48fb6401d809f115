"""Export of a trained Mask R-CNN as a SavedModel that accepts raw images: pixels, or PNG, JPEG, GIF or BMP files."""

from collections.abc import Mapping
import functools

from official.core.config_definitions import ExperimentConfig
from official.vision.serving import detection
import tensorflow as tf
import tf_keras

from evonorm_tf.data import orientation
from evonorm_tf.errors import ArgumentError
from evonorm_tf.training import saved_models


class Detector(tf.Module):
  """A detector of objects in raw images, a TensorFlow module that can be saved as a SavedModel.

  It prepares the images, calls the network, and converts the boxes to pixels of the original images. Its methods become
  the signatures of the SavedModel:
    serving_default: `from_images`, with the argument `images`: uint8 `[batch, height, width, 3]`, of any size.
    image_bytes: `from_image_bytes`, with the argument `image_bytes`: strings `[batch]`, each the content of an image
      file. The images may have different sizes. A JPEG is turned as the orientation in its EXIF data says, and the
      boxes are in pixels of the turned image, which viewers show.

  Both return the following tensors by name. K is the greatest number of detections per image; detections are ordered by
  decreasing score, and those after the first `num_detections` are padding.
    detection_boxes: float32 `[batch, K, 4]`, `[ymin, xmin, ymax, xmax]` in pixels of the original image. A box may
      exceed the right and the lower border, because the network saw padding there.
    detection_outer_boxes: larger boxes in the same form, for models whose masks refer to them; otherwise missing.
    detection_classes: int32 `[batch, K]`, indices into `class_names` and `category_ids`; 0 is the background.
    detection_scores: float32 `[batch, K]`.
    detection_masks: float32 `[batch, K, mask height, mask width]`, the probability of the object in each cell of a grid
      over its box; `instances.detected` pastes it into the image. Missing for models without masks.
    num_detections: int32 `[batch]`.

  Args:
    model: a MaskRCNNModel of Model Garden with trained weights, whether or not `convert_norm_act` has converted it.
    config: Model Garden's configuration of an experiment with a MaskRCNNTask. It determines the size to which images
      are scaled, the anchors and the padding.
    class_names: the names of the classes by index; some may be missing.
    category_ids: the ids of the classes in the annotations, by index; some may be missing. None (default) if they are
      the indices.

  Attributes:
    class_names: a variable of the SavedModel with the name of every class, strings `[classes]`, empty where there is
      none.
    category_ids: a variable of the SavedModel with the id of every class in the annotations, int64 `[classes]`.

  Raises:
    ArgumentError: if the version of the configuration's non-maximum suppression is neither 'v2' nor 'batched',
      which accept batches of any size.
  """

  def __init__(self, model: tf_keras.Model, config: ExperimentConfig, class_names: Mapping[int, str],
               category_ids: Mapping[int, int] | None = None):
    super().__init__()
    version = config.task.model.detection_generator.nms_version
    if version not in ('v2', 'batched'):
      raise ArgumentError('`config.task.model.detection_generator.nms_version` must be v2 or batched, which take '
                          f'batches of any size; received {version}.')
    names = [class_names.get(i, '') for i in range(config.task.model.num_classes)]
    self.class_names = tf.Variable(tf.constant(names, tf.string), trainable=False)
    ids = [i if category_ids is None else category_ids.get(i, 0) for i in range(len(names))]
    self.category_ids = tf.Variable(tf.constant(ids, tf.int64), trainable=False)
    # The SavedModel contains the variables and the functions of this class. The model and Model Garden's module are
    # hidden from it, because Keras would also trace them for training, which fails without a ground truth.
    self.weights = model.variables
    self._call = functools.partial(model, training=False)
    self._preprocess = _Preprocessing(
        config, batch_size=None, input_image_size=list(config.task.model.input_size[:2]), model=model).preprocess

  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')])
  def from_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the detections in images as a dict of tensors; see the class.

    Args:
      images: uint8 `[batch, height, width, 3]`, of any size.
    """
    return self._detect(*self._preprocess(images))

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
  def from_image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the detections in image files as a dict of tensors; see the class.

    Args:
      image_bytes: the contents of PNG, JPEG, GIF or BMP files, strings `[batch]`.
    """
    return self._detect(*self._preprocess(image_bytes))

  @tf.function  # so that both signatures share one graph of the network
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
  """Model Garden's preprocessing, but the files in a batch may have different sizes, and photographs are turned."""

  def _build_inputs(self, image: tf.Tensor):
    if image.dtype == tf.string:
      image = orientation.decode_upright(image)
    return super()._build_inputs(image)


def export(detector: Detector, folder: str) -> str:
  """Writes a detector as a SavedModel with the signatures that `Detector` describes.

  Args:
    detector: the detector.
    folder: the path of the folder that receives the SavedModel.

  Returns:
    `folder`.
  """
  signatures = {'serving_default': detector.from_images, 'image_bytes': detector.from_image_bytes}
  saved_models.save(detector, folder, signatures)
  return folder
