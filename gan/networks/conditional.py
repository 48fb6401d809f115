"""Class-conditional norm-activation layers: each sample's γ and β are functions of its condition.

  γ = 1 + W_γ·condition,   β = W_β·condition

The unconditional layer has vectors γ and β instead. In BigGAN (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096,
appendix B) the condition is [the class's embedding, a chunk of z]. W_γ and W_β are dense layers without bias. v1 of
EvoNorm-B0 and S0 (Liu, Brock, Simonyan, Le, 2020, section 4.4) does not depend on the condition and stays one vector.

If W is zero, the layer equals the unconditional one: the 1 lies outside W_γ, and so outside its initialization, its
spectral norm and its regularization.
"""

from collections.abc import Mapping
import functools
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.baselines import BaselineLayer
from evonorm_tf.layers.norm_act import NormActFactory
from gan.networks.weight_layers import WeightLayers


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class ConditionalNormAct(tf_keras.layers.Layer):
  """y = f(x)·γ + β for our layers, EvoNorms and layer graphs; y = activation(norm(x)·γ + β) for the baselines.

  Args:
    norm_act: a factory of `get_norm_act`; it is called with `center=False` and `scale=False`.
    num_classes: None (default) if the condition is [N, D], which dense layers read. Otherwise the number of classes;
      the condition is then labels [N], integers, and tables without spectral norm hold γ − 1 and β of each class.
    spectral_norm: whether the dense layers have spectral norm (default True).
    initializer: of W, see `WeightLayers` (default 'orthogonal').
    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.

  Input: a pair of x, [N, ..., C] of rank 2 to 5, channels last, and the condition.
  Output: x's shape, the layer's compute dtype. γ, β and the affine transformation are computed in at least float32.

  Raises:
    ArgumentError: for an unknown `initializer`; from `get_config`, if the layer that `norm_act` made has none.
  """

  def __init__(self, norm_act: NormActFactory, num_classes: int | None = None, spectral_norm: bool = True,
               initializer: str = 'orthogonal', **kwargs):
    super().__init__(autocast=False, **kwargs)  # the condition stays in float32
    self.norm_act = norm_act(center=False, scale=False, name='norm_act', dtype=self.dtype_policy)
    self.num_classes = num_classes
    self.spectral_norm = spectral_norm
    self.initializer = initializer
    self._layers = WeightLayers(spectral_norm and num_classes is None, initializer,
                                'float64' if self.compute_dtype == 'float64' else 'float32')

  def build(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> None:
    x_shape, _ = input_shape
    with tf.name_scope('norm_act'):
      self.norm_act.build(x_shape)
    self.gain = self._make_weights(x_shape[-1], 'gain')
    self.bias = self._make_weights(x_shape[-1], 'bias')
    super().build(input_shape)

  def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool | None = None) -> tf.Tensor:
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

  def compute_output_shape(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> tf.TensorShape:
    return tf.TensorShape(input_shape[0])

  def get_config(self) -> dict[str, Any]:
    try:
      norm_act = tf_keras.layers.serialize(self.norm_act)
    except NotImplementedError as e:
      raise ArgumentError(
          f'`norm_act` must make layers that have a `get_config`, received {self.norm_act!r}: {e}') from e
    norm_act.pop('build_config', None)  # this layer builds it, and once
    return {**super().get_config(), 'norm_act': norm_act, 'num_classes': self.num_classes,
            'spectral_norm': self.spectral_norm, 'initializer': self.initializer}

  @classmethod
  def from_config(cls, config: Mapping[str, Any]) -> 'ConditionalNormAct':
    return cls(**{**config, 'norm_act': functools.partial(_deserialize, config['norm_act'])})

  def _make_weights(self, channels: int, name: str) -> tf_keras.layers.Layer:
    """Returns the layer from the condition to [N, channels]."""
    if self.num_classes is None:
      return self._layers.dense(channels, name, use_bias=False)
    return self._layers.embedding(self.num_classes, channels, name)


def _deserialize(layer: Mapping[str, Any], **overrides: Any) -> tf_keras.layers.Layer:
  """Returns a norm-activation layer from its serialized form; it already has what `overrides` ask for."""
  del overrides
  return tf_keras.layers.deserialize(layer)
