"""EfficientNet-Lite0 as a feature network, for inference only, with ImageNet weights from a `.pth` file of PyTorch.

Reference: Tan and Le, EfficientNet (2019), https://arxiv.org/abs/1905.11946, and Google's EfficientNet-Lite (2020),
which is B0 without squeeze-and-excite and with ReLU6 in place of SiLU. After training, batch normalization is an affine
function. It is therefore folded into the convolution before it, as kernel W·γ/√(σ² + ε) and bias β − μ·γ/√(σ² + ε).

The weights were trained in TensorFlow and later stored under the names of a PyTorch model. Convolutions therefore use
TensorFlow's padding 'same', which puts the larger part of an odd number of pixels at the bottom and the right.
"""

import os

import numpy as np
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.models.efficientnet import HEAD_CHANNELS
from evonorm_tf.models.efficientnet import STAGES
from evonorm_tf.models.efficientnet import STEM_CHANNELS
from gan.scores import torch_weights

RESOLUTION = 224
CLASSES = 1000
_EPSILON = 1e-3


def build_efficientnet_lite0(path: str | os.PathLike) -> tf_keras.Model:
  """Builds the network and sets its weights.

  Args:
    path: the path of the `.pth` file with the weights.

  Returns:
    A float32 Keras model that is not trainable. Its input is `[N, 224, 224, 3]`, with values (pixel − 127) / 128 for
    pixels from 0 to 255; its outputs are the pooled features `[N, 1280]` and the logits `[N, 1000]`.

  Raises:
    ArgumentError: if the file is not in the expected format, or its tensors are not exactly those of the network.
    OSError: if the file does not exist or cannot be opened.
  """
  tensors = _Tensors(path)
  images = tf_keras.Input([RESOLUTION, RESOLUTION, 3], dtype='float32')
  features = _features(images, tensors)
  logits = _with_values(tf_keras.layers.Dense(CLASSES, name='logits', dtype='float32'), features,
                        tensors.take('_fc.weight', CLASSES, HEAD_CHANNELS).T, tensors.take('_fc.bias', CLASSES))
  tensors.check_all_taken()
  model = tf_keras.Model(images, [features, logits], name='efficientnet_lite0')
  model.trainable = False
  return model


class _Tensors:
  """The tensors of a `.pth` file, each of which must be taken exactly once."""

  def __init__(self, path: str | os.PathLike):
    self._path = path
    self._left = torch_weights.read_tensors(path)

  def take(self, name: str, *shape: int) -> np.ndarray:
    tensor = self._left.pop(name, None)
    if tensor is None or tensor.shape != shape:
      found = 'nothing' if tensor is None else f'shape {list(tensor.shape)}'
      raise ArgumentError(f"`weights` must be those of EfficientNet-Lite0 with '{name}' of shape {list(shape)}; "
                          f"'{self._path}' has {found} there.")
    return tensor

  def check_all_taken(self) -> None:
    if self._left:
      raise ArgumentError(f"`weights` must be those of EfficientNet-Lite0 and nothing else; '{self._path}' has "
                          f'{sorted(self._left)} besides.')


def _features(x, tensors: _Tensors):
  """Returns the pooled features `[N, 1280]`."""
  x = _convolution(x, tensors, '_conv_stem', '_bn0', STEM_CHANNELS, kernel_size=3, stride=2)
  number = 0
  for stage in STAGES:
    for i in range(stage.blocks):
      x = _block(x, tensors, f'_blocks.{number}.', stage, stage.stride if i == 0 else 1)
      number += 1
  x = _convolution(x, tensors, '_conv_head', '_bn1', HEAD_CHANNELS)
  return tf_keras.layers.GlobalAveragePooling2D(name='features', dtype='float32')(x)


def _block(x, tensors, prefix, stage, stride):
  """Applies an inverted bottleneck: expansion, depthwise convolution, projection, and a shortcut if shapes agree."""
  y = x
  if stage.expansion != 1:
    y = _convolution(y, tensors, f'{prefix}_expand_conv', f'{prefix}_bn0', stage.expansion * x.shape[-1])
  y = _depthwise(y, tensors, f'{prefix}_depthwise_conv', f'{prefix}_bn1', stage.kernel_size, stride)
  y = _convolution(y, tensors, f'{prefix}_project_conv', f'{prefix}_bn2', stage.channels, has_activation=False)
  return tf_keras.layers.Add(dtype='float32')([x, y]) if x.shape == y.shape else y


def _convolution(x, tensors, name, norm, channels, kernel_size=1, stride=1, has_activation=True):
  kernel = tensors.take(f'{name}.weight', channels, x.shape[-1], kernel_size, kernel_size)
  factor, bias = _norm(tensors, norm, channels)
  layer = tf_keras.layers.Conv2D(
      channels, kernel_size, stride, padding='same', name=name.lstrip('_'), dtype='float32')
  y = _with_values(layer, x, kernel.transpose(2, 3, 1, 0) * factor, bias)
  return _relu6(y) if has_activation else y


def _depthwise(x, tensors, name, norm, kernel_size, stride):
  kernel = tensors.take(f'{name}.weight', x.shape[-1], 1, kernel_size, kernel_size)
  factor, bias = _norm(tensors, norm, x.shape[-1])
  layer = tf_keras.layers.DepthwiseConv2D(
      kernel_size, stride, padding='same', name=name.lstrip('_'), dtype='float32')
  return _relu6(_with_values(layer, x, kernel.transpose(2, 3, 0, 1) * factor[:, None], bias))


def _norm(tensors, name, channels):
  """Returns the factor and the bias that are equivalent to a batch normalization, float64 `[channels]` each."""
  tensors.take(f'{name}.num_batches_tracked')  # a counter of the training
  gamma, beta, mean, variance = (np.float64(tensors.take(f'{name}.{part}', channels))
                                 for part in ('weight', 'bias', 'running_mean', 'running_var'))
  factor = gamma / np.sqrt(variance + _EPSILON)
  return factor, beta - mean * factor


def _relu6(x):
  return tf_keras.layers.ReLU(6., dtype='float32')(x)


def _with_values(layer, x, kernel, bias):
  """Calls a layer on x, which creates its weights, sets them to kernel and bias, and returns the layer's output."""
  y = layer(x)
  layer.set_weights([kernel, bias])
  return y
