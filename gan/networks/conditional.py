"""Class-conditional norm-activation layers: γ and β of each sample follow from its condition.

  γ = 1 + W_γ·condition,   β = W_β·condition

where the unconditional layer has vectors γ and β; in BigGAN (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096,
appendix B) the condition is [the class's embedding, a chunk of z]. W_γ and W_β are dense layers without bias. v1 of
EvoNorm-B0 and S0 (Liu, Brock, Simonyan, Le, 2020, section 4.4) is no part of that, and stays one vector.

With W of zeros, the layer is the unconditional one: the 1 stands outside of W_γ, and so outside of its initialization,
its spectral norm and its regularization.
"""

import tensorflow as tf
import tf_keras

from evonorm_tf.layers.baselines import BaselineLayer
from gan.networks.weight_layers import WeightLayers


class ConditionalNormAct(tf_keras.layers.Layer):
  """y = f(x)·γ + β for our layers, EvoNorms and layer graphs; y = activation(norm(x)·γ + β) for the baselines.

  Args:
    norm_act: a factory of `get_norm_act`; it is called with `center=False` and `scale=False`.
    num_classes: None (default) for a condition [N, D] that dense layers read; else the number of classes, and the
      condition is labels [N], integers, of which each class has its γ − 1 and β in a table without spectral norm.
    spectral_norm: whether the dense layers have spectral norm (default True).
    initializer: that of W, see `WeightLayers` (default 'orthogonal').
    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.

  Input: a pair of x, [N, ..., C] of rank 2 to 5, channels last, and the condition.
  Output: x's shape, the layer's compute dtype. γ, β and the affine part are computed in float32 at least.
  """

  def __init__(self, norm_act, num_classes=None, spectral_norm=True, initializer='orthogonal', **kwargs):
    super().__init__(autocast=False, **kwargs)  # the condition stays in float32
    self.norm_act = norm_act(center=False, scale=False, name='norm_act', dtype=self.dtype_policy)
    self.num_classes = num_classes
    self._layers = WeightLayers(spectral_norm and num_classes is None, initializer,
                                'float64' if self.compute_dtype == 'float64' else 'float32')

  def build(self, input_shape):
    x_shape, _ = input_shape
    with tf.name_scope('norm_act'):
      self.norm_act.build(x_shape)
    self.gain = self._make_weights(x_shape[-1], 'gain')
    self.bias = self._make_weights(x_shape[-1], 'bias')
    super().build(input_shape)

  def call(self, inputs, training=None):
    x, condition = inputs
    x = tf.cast(x, self.compute_dtype)
    per_sample = [-1] + [1] * (x.shape.rank - 2) + [x.shape[-1]]
    gamma = 1. + tf.reshape(self.gain(condition), per_sample)
    beta = tf.reshape(self.bias(condition), per_sample)
    if isinstance(self.norm_act, BaselineLayer):
      y = self.norm_act.normalize(x, training)
      y = self.norm_act.activate(tf.cast(y, gamma.dtype) * gamma + beta)
    else:
      y = tf.cast(self.norm_act(x, training=training), gamma.dtype) * gamma + beta
    return tf.cast(y, self.compute_dtype)

  def compute_output_shape(self, input_shape):
    return tf.TensorShape(input_shape[0])

  def _make_weights(self, channels: int, name: str) -> tf_keras.layers.Layer:
    """Returns the layer from the condition to [N, channels]."""
    if self.num_classes is None:
      return self._layers.dense(channels, name, use_bias=False)
    return self._layers.embedding(self.num_classes, channels, name)
