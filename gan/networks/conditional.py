"""Class-conditional norm-activation layers, in which γ and β of each sample are functions of its condition.

  γ = 1 + W_γ·condition,   β = W_β·condition

In the unconditional layer, γ and β are trainable vectors instead. The condition is a vector per sample; in BigGAN
(Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, appendix B) it consists of the class's embedding and a chunk of z.
W_γ and W_β are dense layers without bias. v1 of EvoNorm-B0 and EvoNorm-S0 (Liu, Brock, Simonyan, Le, 2020)
does not depend on the condition and remains one vector.

The 1 is added outside W_γ, so that initialization, spectral norm and regularization do not affect it. With W_γ and W_β
equal to zero, the layer is the unconditional one with γ = 1 and β = 0.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.baselines import BaselineLayer
from evonorm_tf.layers.norm_act import NormActFactory
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import prepare_inputs
from gan.networks.weight_layers import WeightLayers


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class ConditionalNormAct(tf_keras.layers.Layer):
  """A norm-activation layer whose γ and β are functions of a condition, for instance of the class.

  For EvoNorms and layer graphs, y = f(x)·γ + β, where f normalizes and activates. For the baselines,
  y = activation(norm(x)·γ + β). See the module for γ and β.

  Args:
    norm_act: a factory of norm-activation layers, as `get_norm_act` returns it. It is called with `center=False` and
      `scale=False`, for a layer without its own γ and β.
    num_classes: None (default) if conditions are vectors, from which dense layers compute γ − 1 and β. Otherwise the
      number of classes: conditions are labels then, and tables without spectral norm contain γ − 1 and β by class.
    spectral_norm: whether the dense layers have spectral norm (default True).
    initializer: the initializer of the dense layers or tables, 'orthogonal' (default) or 'n02', which is N(0, 0.02²).
    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.

  Input: a pair (x, condition). x is [N, ..., C] of rank 2 to 5, channels last. The condition is float [N, D] or, with
  `num_classes`, integers [N]. A Keras mask of x reaches the norm-activation layer; one of the condition is ignored.

  Output: x's shape, in the layer's compute dtype. γ, β and the affine transformation are computed in at least float32.

  Raises:
    ArgumentError: if `initializer` is unknown; from `get_config`, if the layer that `norm_act` made has no
      `get_config`.
  """

  def __init__(self, norm_act: NormActFactory, num_classes: int | None = None, spectral_norm: bool = True,
               initializer: str = 'orthogonal', **kwargs):
    super().__init__(autocast=False, **kwargs)  # the condition stays in float32
    self.norm_act = norm_act(center=False, scale=False, name='norm_act', dtype=self.dtype_policy)
    self.supports_masking = True
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

  def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool | None = None,
           mask: Sequence[Mask] | None = None) -> tf.Tensor:
    """Returns the layer's output, in x's shape.

    Args:
      inputs: the pair (x, condition) that the class describes.
      training: whether to use the batch's statistics instead of moving averages; None (default) lets Keras decide.
      mask: the Keras masks of x and of the condition, of which the second is ignored; None (default) for no masks.
    """
    x, condition = inputs
    x, kept = prepare_inputs(x, self.compute_mask(inputs, mask), self.compute_dtype)
    per_sample = [-1] + [1] * (x.shape.rank - 2) + [x.shape[-1]]
    gamma = 1. + tf.reshape(self.gain(condition), per_sample)
    beta = tf.reshape(self.bias(condition), per_sample)
    if isinstance(self.norm_act, BaselineLayer):
      y = self.norm_act.normalize(x, training, kept)
      y = self.norm_act.activate(tf.cast(y, gamma.dtype) * gamma + beta)
    else:
      masked = {} if kept is None else {'mask': kept[..., 0]}
      y = tf.cast(self.norm_act(x, training=training, **masked), gamma.dtype) * gamma + beta
    return tf.cast(y, self.compute_dtype)

  def compute_mask(self, inputs: tuple[tf.Tensor, tf.Tensor], mask: Sequence[Mask] | None = None) -> Mask:
    return None if mask is None else mask[0]

  def compute_output_shape(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> tf.TensorShape:
    return tf.TensorShape(input_shape[0])

  def get_config(self) -> dict[str, Any]:
    try:
      norm_act = tf_keras.layers.serialize(self.norm_act)
    except NotImplementedError as e:
      raise ArgumentError(
          f'`norm_act` must make layers that have a `get_config`, received {self.norm_act!r}: {e}') from e
    norm_act.pop('build_config', None)  # so that only this layer builds it, and only once
    return {**super().get_config(), 'norm_act': norm_act, 'num_classes': self.num_classes,
            'spectral_norm': self.spectral_norm, 'initializer': self.initializer}

  @classmethod
  def from_config(cls, config: Mapping[str, Any]) -> 'ConditionalNormAct':
    return cls(**{**config, 'norm_act': functools.partial(_deserialize, config['norm_act'])})

  def _make_weights(self, channels: int, name: str) -> tf_keras.layers.Layer:
    """Returns a dense layer or a table, which maps the condition to [N, channels]."""
    if self.num_classes is None:
      return self._layers.dense(channels, name, use_bias=False)
    return self._layers.embedding(self.num_classes, channels, name)


def _deserialize(layer: Mapping[str, Any], **overrides: Any) -> tf_keras.layers.Layer:
  """Returns a norm-activation layer from its serialized form, which already contains the arguments in `overrides`."""
  del overrides
  return tf_keras.layers.deserialize(layer)
