"""Self-attention over the positions of a feature map, as in SA-GAN and BigGAN.

Source: Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks", 2019, arXiv 1805.08318;
with keys and values at a quarter of the positions, as in the authors' code and in BigGAN.
"""

import tensorflow as tf
import tf_keras

from gan.networks.weight_layers import WeightLayers


class SelfAttention(tf_keras.layers.Layer):
  """y = x + γ·W_o·(softmax(θ·φᵀ)·g), where θ = W_θ·x, φ = pool(W_φ·x), g = pool(W_g·x).

  W_θ and W_φ make C/8 channels, W_g C/2 and W_o C again (at least one each); they are 1×1 convolutions without bias.
  pool takes the maximum of 2×2 positions. γ is a trainable scalar that starts at 0: the layer starts as the identity.

  Args:
    layers: makes the convolutions.
    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.

  Input: x [N, H, W, C], H and W even. Output: [N, H, W, C]. θ·φᵀ and its softmax are at least float32.
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
    # The products of an unnormalized map exceed float16's range.
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
