"""Self-attention over the positions of a feature map, as in SAGAN and BigGAN.

Source: Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks", 2019, arXiv 1805.08318. As
in the authors' code and in BigGAN, keys and values are pooled to a quarter of the positions.
"""

import tensorflow as tf
import tf_keras

from gan.networks.weight_layers import WeightLayers


class SelfAttention(tf_keras.layers.Layer):
  """A residual self-attention layer: every position of a feature map attends to all positions of the pooled map.

  y = x + γ·W_o(softmax(θ·φᵀ)·g) with the queries θ = W_θ(x), the keys φ = pool(W_φ(x)) and the values g = pool(W_g(x)),
  which are matrices with a row for each position. W_θ, W_φ, W_g and W_o are 1×1 convolutions without bias; their
  numbers of output channels are ⌊C/8⌋, ⌊C/8⌋, ⌊C/2⌋, each at least 1, and C. pool is 2×2 max pooling. γ is a trainable
  scalar that starts at 0, so the layer starts as the identity.

  Args:
    layers: the factory of the convolutions; it determines their spectral norm and initializer.
    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.

  Input: x [N, H, W, C] with H and W even; C must be known.

  Output: [N, H, W, C], in the layer's compute dtype. θ·φᵀ and the softmax are computed in at least float32.
  """

  def __init__(self, layers: WeightLayers, **kwargs):
    super().__init__(**kwargs)
    self._make_layers = layers

  def build(self, input_shape: tf.TensorShape) -> None:
    channels = input_shape[-1]
    key_channels, value_channels = max(1, channels // 8), max(1, channels // 2)
    self.theta = self._make_layers.convolution(key_channels, 1, 'theta', use_bias=False)
    self.phi = self._make_layers.convolution(key_channels, 1, 'phi', use_bias=False)
    self.g = self._make_layers.convolution(value_channels, 1, 'g', use_bias=False)
    self.o = self._make_layers.convolution(channels, 1, 'o', use_bias=False)
    self.gamma = self.add_weight(name='gamma', shape=(), initializer='zeros')
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """Returns x + γ·W_o(softmax(θ·φᵀ)·g) for a feature map x [N, H, W, C] with H and W even."""
    # The feature map is not normalized, so products of its values can exceed the range of float16.
    wide = tf.float64 if inputs.dtype == tf.float64 else tf.float32
    theta = tf.cast(_flatten(self.theta(inputs)), wide)
    phi = tf.cast(_flatten(_pool(self.phi(inputs))), wide)
    g = _flatten(_pool(self.g(inputs)))
    attention = tf.nn.softmax(tf.matmul(theta, phi, transpose_b=True))  # [N, positions, positions / 4]
    read = tf.matmul(tf.cast(attention, g.dtype), g)
    maps = tf.reshape(read, tf.concat([tf.shape(inputs)[:-1], [g.shape[-1]]], 0))
    return inputs + self.gamma * self.o(tf.ensure_shape(maps, [*inputs.shape[:-1], g.shape[-1]]))


def _pool(x: tf.Tensor) -> tf.Tensor:
  return tf.nn.max_pool2d(x, 2, 2, 'VALID')


def _flatten(x: tf.Tensor) -> tf.Tensor:
  """Returns a map [N, H, W, C] as [N, positions, C]."""
  return tf.reshape(x, [tf.shape(x)[0], -1, x.shape[-1]])
