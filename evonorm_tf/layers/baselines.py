"""The paper's baselines for tf_keras: BN and GN with ReLU or SiLU, LN, IN and PixelNorm with ReLU, and FRN-TLU.

PixelNorm is of Karras et al., 2017, arXiv 1710.10196, and FRN-TLU of Singh & Krishnan, 2019, arXiv 1911.09737, by the
layers of tensorflow-addons; its ε is a constant, 1e-5 by default as in all other layers, and not learned. All others
are in `baseline_body`, also for Keras 3.
"""

from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.equations import moments
from evonorm_tf.graph import primitives
from evonorm_tf.layers import addons
from evonorm_tf.layers import baseline_body
from evonorm_tf.layers.documentation import documented
from evonorm_tf.layers.keras2 import Keras2Layer
from evonorm_tf.layers.keras2 import NormActLayer
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import Shape
from evonorm_tf.layers.norm_act_body import Training


class BaselineLayer(baseline_body.BaselineBody, Keras2Layer):
  """Base class of the baselines for tf_keras."""

  def _run_norm(self, inputs: tf.Tensor) -> tf.Tensor:
    return self.norm(inputs, mask=None)  # without it, tf_keras passes the mask of the inputs on


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class BatchNormAct(baseline_body.BatchNormBody, BaselineLayer):

  def _run_norm(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
    """Runs tf_keras's layer, whose kernel for rank 5 loses an axis of an empty tensor and of its gradient."""
    if inputs.shape.rank < 5:
      return self.norm(inputs, training=training, mask=None)
    shape = tf.shape(inputs)
    return tf.reshape(self.norm(tf.reshape(inputs, shape), training=training, mask=None), shape)

  def _normalize_in_training(self, inputs: tf.Tensor, mask: Mask) -> tf.Tensor:
    """Normalizes by tf_keras's fused kernel if it can.

    A batch without positions, of which the kernel's moments are NaN, leaves the averages alone.
    """
    if mask is not None or not self.norm.fused:
      return super()._normalize_in_training(inputs, mask)
    observed = moments.is_observed(inputs, synchronized=False)
    if observed is True:
      return self._run_norm(inputs, training=True)
    averages = self.norm.moving_mean, self.norm.moving_variance
    before = [tf.identity(average) for average in averages]
    y = self._run_norm(inputs, training=True)
    for average, old in zip(averages, before):
      average.assign(tf.where(observed, average, old))
    return y


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class GroupNormAct(baseline_body.GroupNormBody, BaselineLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class PixelNormalization(baseline_body.PixelNorm, NormActLayer):
  pass


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class PixelNormAct(baseline_body.PixelNormBody, BaselineLayer):

  _pixel_norm = PixelNormalization


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class FRNTLU(BaselineLayer):
  """FRN-TLU: y = max(x / √(μ_{w,h}(x²) + ε) · γ + β, τ), where τ is a trainable vector over channels, initialized to 0.

  FRN (filter response normalization) divides by the root mean square over the spatial axes, for each sample and
  channel. TLU (thresholded linear unit) is the maximum with τ. With `nonlinearity=False` the layer is FRN alone,
  without τ. The layer imports tensorflow-addons, which implements both, when it is built. γ and β have shape
  [1, 1, 1, C], τ has shape [1, 1, C].

  Args:
    nonlinearity: whether to apply TLU (default True).
    epsilon: the constant ε > 0, added to the mean of squares inside the root (default 1e-5); it is not learned.
    center: whether to add β (default True).
    scale: whether to multiply by γ (default True).
    beta_initializer, gamma_initializer: initializers of β and γ, as Keras names or objects (default 'zeros', 'ones').
    beta_regularizer, gamma_regularizer: regularizers of β and γ; None (default) for none.
    beta_constraint, gamma_constraint: constraints on β and γ; None (default) for none.
    **kwargs: the Keras layer's `name`, `dtype` and `trainable`.

  Input: [N, ..., C] of rank 2 to 5, channels last, C known; of a floating, integer or boolean dtype, which is cast to
  the layer's compute dtype. A Keras mask has the input's leading axes, [N] to [N, ...]. Statistics are then of the
  positions that it keeps, and a value that is not finite elsewhere counts as 0.

  Output: the input's shape, in the layer's compute dtype. Statistics, γ, β and τ are at least float32.

  Raises:
    ValueError: if `epsilon` is not positive or, when the layer is built, if the input's rank is not 2 to 5 or C is not
      known; when it is called, if a mask has other axes, or the input is complex or not of numbers.
    MissingDependencyError: when built, if tensorflow-addons is not installed (an ImportError).
    SetupError: when built, if `tf.keras` is not tf_keras; set TF_USE_LEGACY_KERAS=1 (a RuntimeError).
  """

  def __init__(self, **kwargs):
    super().__init__(activation=None, **kwargs)

  def build(self, input_shape: Shape) -> None:
    super().build(input_shape)
    if self.nonlinearity:
      tlu = addons.import_addons().layers.TLU(dtype=self._statistics_dtype, trainable=self.trainable)
      self.tlu = _build_for_any_size(tlu, self.input_spec.axes[-1])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    del config['activation']
    return config

  def normalize(self, inputs: tf.Tensor, training: Training = None, mask: Mask = None) -> tf.Tensor:
    """Returns FRN(inputs) with γ and β; `training` has no effect. See `BaselineBody`."""
    if mask is None:
      return _on_maps(self.norm, inputs)
    x = tf.cast(inputs, self._statistics_dtype)
    mean_square = moments.mean_of_squares(x, primitives.INSTANCE, mask=mask)
    # A constant replaces the vector that `center=False` or `scale=False` leaves out.
    gamma, beta = (tf.reshape(tf.cast(vector, x.dtype), [-1]) for vector in (self.norm.gamma, self.norm.beta))
    return x * tf.math.rsqrt(mean_square + self.epsilon) * gamma + beta

  def activate(self, y: tf.Tensor) -> tf.Tensor:
    """Returns max(y, τ), or y itself with `nonlinearity=False`; see `BaselineBody`."""
    return _on_maps(self.tlu, y) if self.nonlinearity else y

  def _make_norm(self, shape: Shape) -> tf_keras.layers.Layer:
    # tensorflow-addons' layer overflows in float16 and raises InvalidArgumentError under the mixed policies.
    norm = addons.import_addons().layers.FilterResponseNormalization(
        epsilon=self.epsilon, dtype=self._statistics_dtype, trainable=self.trainable, **self._vector_options())
    _build_for_any_size(norm, shape[-1])
    # That layer has no `center` and `scale`. Setting its attribute to a constant makes Keras drop the weight, which is
    # then neither trained nor saved.
    if not self.center:
      norm.beta = 0.
    if not self.scale:
      norm.gamma = 1.
    return norm


# As in `baseline_body`, with the classes.
BASELINES = {name: (globals()[class_name], options) for name, (class_name, options) in baseline_body.BASELINES.items()}


def _build_for_any_size(layer: tf_keras.layers.Layer, channels: int) -> tf_keras.layers.Layer:
  """Builds a tensorflow-addons layer for [N, spatial, 1, C]; its own `build` would fix the spatial size."""
  layer.build(tf.TensorShape([None, 1, 1, channels]))
  layer.input_spec = tf_keras.layers.InputSpec(ndim=4, axes={-1: channels})
  return layer


def _on_maps(layer: tf_keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
  """Returns layer(x) in x's shape, [N, ..., C], for a layer that takes [N, spatial, 1, C]."""
  shape = tf.shape(x)
  maps = tf.reshape(x, [shape[0], tf.reduce_prod(shape[1:-1]), 1, x.shape[-1]])
  return tf.ensure_shape(tf.reshape(layer(maps), shape), x.shape)
