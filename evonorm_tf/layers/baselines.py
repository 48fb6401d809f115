"""The paper's baseline layers, which normalize and activate as EvoNorms do: y = activation(norm(x)·γ + β).

The baselines are BN and GN with ReLU or SiLU, LN and IN with ReLU, FRN-TLU (Singh & Krishnan, 2019, arXiv 1911.09737)
and PixelNorm with ReLU (Karras et al., 2017, arXiv 1710.10196). BN and GN use tf_keras's normalization layers, FRN-TLU
uses those of tensorflow-addons, and PixelNorm is implemented here, as is what those layers do with masks, with batches
without positions and, in BN, with several replicas.

Departures from the sources: LN is GN with one group, as in the paper on GN; its statistics are over all values of a
sample, and γ and β are per channel. IN is GN with one channel per group. PixelNorm has γ and β, unlike the original in
GANs. FRN's ε is a constant, 1e-5 by default as in all other layers, and not learned.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives
from evonorm_tf.layers import addons
from evonorm_tf.layers import moments
from evonorm_tf.layers.baseline_layer import BaselineLayer
from evonorm_tf.layers.documentation import documented
from evonorm_tf.layers.keras2 import NormActLayer
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import MovingAverages
from evonorm_tf.layers.norm_act_body import Shape
from evonorm_tf.layers.norm_act_body import Training


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class BatchNormAct(MovingAverages, BaselineLayer):
  """BN-ReLU or BN-SiLU: y = activation((x − μ_{b,w,h}(x)) / √(s²_{b,w,h}(x) + ε) · γ + β).

  The layer keeps moving averages of μ and s². For inputs of rank 4 and 5, tf_keras uses a fused kernel. Its moving
  average is of the unbiased variance, n/(n − 1) times the variance by which it normalizes a batch with n values per
  channel. For rank 2 and 3, with `synchronized=True` and with a mask, the moving average is of the biased variance, as
  in the EvoNorms.
  """

  def __init__(self, activation: str | Callable[[tf.Tensor], tf.Tensor] | None = 'relu', momentum: float = 0.9,
               synchronized: bool = False, **kwargs):
    super().__init__(momentum, synchronized, activation=activation, **kwargs)

  def _make_norm(self, shape: tf.TensorShape) -> tf_keras.layers.Layer:
    # This layer's statistics are float32 for every dtype, so its fused kernel may read float16 and bfloat16.
    norm = tf_keras.layers.BatchNormalization(
        momentum=self.momentum, synchronized=self.synchronized, dtype=self.dtype_policy, **self._norm_options())
    norm.build(shape)
    return norm

  def normalize(self, inputs: tf.Tensor, training: Training = None, mask: Mask = None) -> tf.Tensor:
    """Returns BN(inputs) with γ and β; in training it also updates the moving averages. See `BaselineLayer`."""
    if mask is None and not self._spans_replicas and all(inputs.shape[:-1]):  # sizes that are known and not 0
      return self.norm(inputs, training=training, mask=None)
    is_fused = mask is None and self.norm.fused
    return self._if_training(
        training, lambda: self._normalize_fused(inputs) if is_fused else self._normalize_by_moments(inputs, mask),
        lambda: self._run_norm(inputs, training=False))

  @property
  def _spans_replicas(self) -> bool:
    return self.synchronized and tf.distribute.get_strategy().num_replicas_in_sync > 1

  def _run_norm(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
    """Runs tf_keras's layer, whose kernel for rank 5 loses an axis of an empty tensor and of its gradient."""
    if inputs.shape.rank < 5:
      return self.norm(inputs, training=training, mask=None)
    shape = tf.shape(inputs)
    return tf.reshape(self.norm(tf.reshape(inputs, shape), training=training, mask=None), shape)

  def _normalize_fused(self, inputs: tf.Tensor) -> tf.Tensor:
    """Normalizes by tf_keras's fused kernel; a batch without positions, which gives NaN, leaves the averages alone."""
    averages = self.norm.moving_mean, self.norm.moving_variance
    before = [tf.identity(average) for average in averages]
    y = self._run_norm(inputs, training=True)
    observed = moments.is_observed(inputs, synchronized=False)
    for average, old in zip(averages, before):
      average.assign(tf.where(observed, average, old))
    return y

  def _normalize_by_moments(self, inputs: tf.Tensor, mask: Mask) -> tf.Tensor:
    """Normalizes by the moments of the positions that are kept, which tf_keras has not for all ranks and replicas."""
    x = tf.cast(inputs, self._statistics_dtype)
    mean, variance = (moment(x, primitives.BATCH, synchronized=self.synchronized, mask=mask)
                      for moment in (moments.average, moments.variance))
    observed = moments.is_observed(x, self.synchronized, mask)
    for average, moment in ((self.norm.moving_mean, mean), (self.norm.moving_variance, variance)):
      self._update(average, tf.reshape(moment, [-1]), observed)
    return tf.cast(self._standardize(x, mean, variance), self.compute_dtype)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class GroupNormAct(BaselineLayer):
  """GN-ReLU or GN-SiLU: y = activation((x − μ_{w,h,c/g}(x)) / √(s²_{w,h,c/g}(x) + ε) · γ + β).

  Args:
    groups: the number of channel groups (default 32). If it does not divide C, the largest smaller number that does is
      used: `groups=7` gives 4 groups of 8 channels. 1 gives LN; -1 gives IN, which has one channel per group.
  """

  def __init__(self, activation: str | Callable[[tf.Tensor], tf.Tensor] | None = 'relu', groups: int = 32, **kwargs):
    super().__init__(activation=activation, **kwargs)
    if not isinstance(groups, int) or groups < 1 and groups != -1:
      raise ArgumentError(
          f'`groups` must be an integer of at least 1, or -1 for one channel a group, received {groups!r}.')
    self.groups = groups

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'groups': self.groups}

  def _make_norm(self, shape: tf.TensorShape) -> tf_keras.layers.Layer:
    channels = shape[-1]
    groups = channels if self.groups == -1 else primitives.largest_divisor(channels, self.groups)
    # tf_keras's layer computes bfloat16's statistics in bfloat16, and rounds float16's to float16. At mean 50 and
    # deviation 2 they lose a digit.
    norm = tf_keras.layers.GroupNormalization(groups=groups, dtype=self._statistics_dtype, **self._norm_options())
    norm.build(shape)
    return norm

  def normalize(self, inputs: tf.Tensor, training: Training = None, mask: Mask = None) -> tf.Tensor:
    """Returns GN(inputs) with γ and β; `training` has no effect. See `BaselineLayer`."""
    if mask is None and all(inputs.shape[1:-1]):  # sizes that are known and not 0
      return self.norm(inputs, mask=None)
    # tf_keras's layer broadcasts a mask of [N, T] against [N, T, C], and without positions its gradient is NaN.
    x = tf.cast(inputs, self._statistics_dtype)
    mean, variance = (moment(x, primitives.GROUP, self.norm.groups, mask=mask)
                      for moment in (moments.average, moments.variance))
    return self._standardize(x, mean, variance)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class PixelNormalization(NormActLayer):
  """PixelNorm, y = x / √(μ_c(x²) + ε) · γ + β: divides each pixel by the root mean square of its channels."""

  def _normalize_activate(self, x: tf.Tensor, training: Training, mask: Mask = None) -> tf.Tensor:
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + self.epsilon)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
@documented
class PixelNormAct(BaselineLayer):
  """PixelNorm-ReLU: y = activation(x / √(μ_c(x²) + ε) · γ + β), where μ_c is the mean over a pixel's channels."""

  def _make_norm(self, shape: tf.TensorShape) -> tf_keras.layers.Layer:
    norm = PixelNormalization(dtype=self.dtype_policy, **self._norm_options())
    norm.build(shape)
    return norm


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
    """Returns FRN(inputs) with γ and β; `training` has no effect. See `BaselineLayer`."""
    if mask is None:
      return _on_maps(self.norm, inputs)
    x = tf.cast(inputs, self._statistics_dtype)
    mean_square = moments.mean_of_squares(x, primitives.INSTANCE, mask=mask)
    # A constant replaces the vector that `center=False` or `scale=False` leaves out.
    gamma, beta = (tf.reshape(tf.cast(vector, x.dtype), [-1]) for vector in (self.norm.gamma, self.norm.beta))
    return x * tf.math.rsqrt(mean_square + self.epsilon) * gamma + beta

  def activate(self, y: tf.Tensor) -> tf.Tensor:
    """Returns max(y, τ), or y itself with `nonlinearity=False`; see `BaselineLayer`."""
    return _on_maps(self.tlu, y) if self.nonlinearity else y

  def _make_norm(self, shape: tf.TensorShape) -> tf_keras.layers.Layer:
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


# A baseline's name for `get_norm_act` -> its class, and the arguments with which the class is this baseline.
BASELINES = {
    'bn_relu': (BatchNormAct, {'activation': 'relu'}),
    'bn_silu': (BatchNormAct, {'activation': 'silu'}),
    'gn_relu': (GroupNormAct, {'activation': 'relu'}),
    'gn_silu': (GroupNormAct, {'activation': 'silu'}),
    'ln_relu': (GroupNormAct, {'activation': 'relu', 'groups': 1}),
    'in_relu': (GroupNormAct, {'activation': 'relu', 'groups': -1}),
    'frn_tlu': (FRNTLU, {}),
    'pixel_norm_relu': (PixelNormAct, {'activation': 'relu'}),
}
