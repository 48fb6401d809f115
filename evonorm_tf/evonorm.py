"""The six EvoNorm layers, exactly the equations of the paper (section 2 and its table of layers).

Source: Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", NeurIPS 2020, arXiv 2004.02967; the
authors' own code is in tensorflow/tpu, models/official/resnet/resnet_model.py. As there, the moving variance starts
at 1, is biased, and decays by 0.9, and the number of groups falls to the next divisor of C.

Indices of the moments say what is averaged over: b = batch, w,h = all spatial axes, c/g = the channels of one group.
"""

import tensorflow as tf
import tf_keras

from evonorm_tf import moments
from evonorm_tf import primitives
from evonorm_tf.norm_act_layer import check_groups
from evonorm_tf.norm_act_layer import MovingAverages
from evonorm_tf.norm_act_layer import NormActLayer


class BatchSeries(MovingAverages, NormActLayer):
  """The B series: y = x / max(√(s²_{b,w,h}(x) + ε), instance term) · γ + β.

  Args:
    momentum: decay of the moving variance, which replaces s²_{b,w,h} in inference (default 0.9).
    synchronized: whether the batch is the global one over all replicas of a tf.distribute strategy (default False:
      each replica's own).
    **kwargs: the arguments of `NormActLayer`.
  """

  def __init__(self, momentum=0.9, synchronized=False, **kwargs):
    super().__init__(**kwargs)
    self._set_momentum(momentum)
    self.synchronized = synchronized

  def _build_nonlinearity(self, channels):
    self.moving_variance = self._add_moving_average('moving_variance', (channels,), 'ones')

  def _normalize_activate(self, x, training):
    batch_variance = lambda x: moments.variance(x, primitives.BATCH, synchronized=self.synchronized)
    variance = self._batch_or_moving(x, batch_variance, self.moving_variance, training)
    return x / tf.maximum(tf.sqrt(variance + self.epsilon), self._instance_term(x))

  def _root_mean_square(self, x):
    """√(μ_{w,h}(x²) + ε)."""
    return tf.sqrt(moments.mean_of_squares(x, primitives.INSTANCE) + self.epsilon)

  def get_config(self):
    return {**super().get_config(), 'momentum': self.momentum, 'synchronized': self.synchronized}


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB0(BatchSeries):
  """EvoNorm-B0: y = x / max(√(s²_{b,w,h}(x) + ε), v1·x + √(s²_{w,h}(x) + ε)) · γ + β.

  Args: `momentum` and `synchronized` of `BatchSeries`, and those of `NormActLayer`.
  """

  def _build_nonlinearity(self, channels):
    super()._build_nonlinearity(channels)
    self.v1 = self._add_vector('v1', channels)

  def _instance_term(self, x):
    return self.v1 * x + tf.sqrt(moments.variance(x, primitives.INSTANCE) + self.epsilon)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB1(BatchSeries):
  """EvoNorm-B1: y = x / max(√(s²_{b,w,h}(x) + ε), (x + 1)·√(μ_{w,h}(x²) + ε)) · γ + β.

  Args: `momentum` and `synchronized` of `BatchSeries`, and those of `NormActLayer`.
  """

  def _instance_term(self, x):
    return (x + 1.) * self._root_mean_square(x)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormB2(BatchSeries):
  """EvoNorm-B2: y = x / max(√(s²_{b,w,h}(x) + ε), √(μ_{w,h}(x²) + ε) − x) · γ + β.

  Args: `momentum` and `synchronized` of `BatchSeries`, and those of `NormActLayer`.
  """

  def _instance_term(self, x):
    return self._root_mean_square(x) - x


class SampleSeries(NormActLayer):
  """The S series: a gated x over a moment of its channel group.

  Args:
    groups: number of channel groups (default 32); where it does not divide C, the largest number below that does.
    **kwargs: the arguments of `NormActLayer`.
  """

  def __init__(self, groups=32, **kwargs):
    super().__init__(**kwargs)
    check_groups(groups)
    self.groups = groups

  def _normalize_activate(self, x, training):
    return self._gated(x) * tf.math.rsqrt(self._group_moment(x) + self.epsilon)

  def _gated(self, x):
    """x·σ(x)."""
    return x * tf.sigmoid(x)

  def _group_moment(self, x):
    """s²_{w,h,c/g}(x)."""
    return moments.variance(x, primitives.GROUP, self.groups)

  def get_config(self):
    return {**super().get_config(), 'groups': self.groups}


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS0(SampleSeries):
  """EvoNorm-S0: y = x·σ(v1·x) / √(s²_{w,h,c/g}(x) + ε) · γ + β.

  Args: `groups` of `SampleSeries`, and those of `NormActLayer`.
  """

  def _build_nonlinearity(self, channels):
    self.v1 = self._add_vector('v1', channels)

  def _gated(self, x):
    return x * tf.sigmoid(self.v1 * x)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS1(SampleSeries):
  """EvoNorm-S1: y = x·σ(x) / √(s²_{w,h,c/g}(x) + ε) · γ + β.

  Args: `groups` of `SampleSeries`, and those of `NormActLayer`.
  """


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class EvoNormS2(SampleSeries):
  """EvoNorm-S2: y = x·σ(x) / √(μ_{w,h,c/g}(x²) + ε) · γ + β.

  Args: `groups` of `SampleSeries`, and those of `NormActLayer`.
  """

  def _group_moment(self, x):
    """μ_{w,h,c/g}(x²)."""
    return moments.mean_of_squares(x, primitives.GROUP, self.groups)
