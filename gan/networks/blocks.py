"""The residual blocks of BigGAN (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, appendix B, figure 15).

Departure: the 1×1 convolution of a shortcut is applied to the smaller feature map, before the nearest-neighbour
upsampling or after the average pooling. It commutes with both, so the function is the same at a quarter of the cost.
"""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from gan.networks.weight_layers import WeightLayers


class GeneratorBlock(tf_keras.layers.Layer):
  """A residual block of the generator, which doubles the height and width of a feature map.

  The residual branch is norm-act, upsampling, 3×3 convolution, norm-act, 3×3 convolution. The shortcut is a 1×1
  convolution and upsampling. Upsampling is by nearest neighbour.

  Args:
    channels: the number of channels of the output.
    make_norm_act: a function that returns a conditional norm-activation layer, `make_norm_act(name=...)`.
    layers: the factory of the convolutions.
    **kwargs: `name` and `dtype` of the Keras layer.

  Input: a pair (x, condition): a feature map [N, H, W, C], and the condition that `ConditionalNormAct` describes.

  Output: [N, 2·H, 2·W, channels].
  """

  def __init__(self, channels: int, make_norm_act: Callable[..., tf_keras.layers.Layer], layers: WeightLayers,
               **kwargs):
    super().__init__(autocast=False, **kwargs)
    self.norm_act1, self.norm_act2 = make_norm_act(name='norm_act1'), make_norm_act(name='norm_act2')
    self.convolution1 = layers.convolution(channels, 3, 'convolution1')
    self.convolution2 = layers.convolution(channels, 3, 'convolution2')
    self.shortcut = layers.convolution(channels, 1, 'shortcut')

  def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Returns [N, 2·H, 2·W, channels] from a pair (x, condition) with x [N, H, W, C]."""
    x, condition = inputs
    y = self.convolution1(_double(self.norm_act1((x, condition))))
    y = self.convolution2(self.norm_act2((y, condition)))
    return y + _double(self.shortcut(x))


class DiscriminatorBlock(tf_keras.layers.Layer):
  """A residual block of the discriminator, which can halve the height and width of a feature map.

  The residual branch is ReLU, 3×3 convolution, ReLU, 3×3 convolution, 2×2 average pooling. The shortcut is average
  pooling and a 1×1 convolution, or the identity if the output has the input's shape.

  Args:
    channels: the number of channels of the output.
    layers: the factory of the convolutions.
    halves: whether both branches pool (default True).
    activates_first: whether the residual branch begins with a ReLU (default True); False for the first block, whose
      input is the image.
    **kwargs: `name` and `dtype` of the Keras layer.

  Input: [N, H, W, C].

  Output: [N, H/2, W/2, channels], or [N, H, W, channels] without pooling.
  """

  def __init__(self, channels: int, layers: WeightLayers, halves: bool = True, activates_first: bool = True, **kwargs):
    super().__init__(**kwargs)
    self.channels = channels
    self.halves = halves
    self.activates_first = activates_first
    self.convolution1 = layers.convolution(channels, 3, 'convolution1')
    self.convolution2 = layers.convolution(channels, 3, 'convolution2')
    self._make_layers = layers

  def build(self, input_shape: tf.TensorShape) -> None:
    projects = self.halves or input_shape[-1] != self.channels
    self.shortcut = self._make_layers.convolution(self.channels, 1, 'shortcut') if projects else None
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """Returns [N, H/2, W/2, channels], or [N, H, W, channels] without pooling, from a feature map [N, H, W, C]."""
    y = self.convolution1(tf.nn.relu(inputs) if self.activates_first else inputs)
    y = self._pool(self.convolution2(tf.nn.relu(y)))
    x = self._pool(inputs)
    return y + (x if self.shortcut is None else self.shortcut(x))

  def _pool(self, x: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(x, 2, 2, 'VALID') if self.halves else x


def _double(x: tf.Tensor) -> tf.Tensor:
  """Upsamples [N, H, W, C] to [N, 2·H, 2·W, C] by nearest neighbour; XLA has no gradient for `tf.image.resize`."""
  _, height, width, channels = x.shape
  x = tf.reshape(tf.stack([x, x], 3), [-1, height, 2 * width, channels])
  return tf.reshape(tf.stack([x, x], 2), [-1, 2 * height, 2 * width, channels])
