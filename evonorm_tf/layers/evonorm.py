"""The six EvoNorms, exactly the equations of the paper (section 2 and its table of layers).

Source: Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", NeurIPS 2020, arXiv 2004.02967; the
authors' own code is in tensorflow/tpu, models/official/resnet/resnet_model.py. As there, the moving variance starts
at 1, is biased, and decays by 0.9, and the number of groups falls to the next divisor of C.

Indices of the moments say what is averaged over: b = batch, w,h = all spatial axes, c/g = the channels of one group.
How they are computed is told by `fused`. The classes are bodies of layers, as in `norm_act_body`.
"""

import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers import fused
from evonorm_tf.layers import moments
from evonorm_tf.layers.norm_act_body import check_groups
from evonorm_tf.layers.norm_act_body import MovingAverages
from evonorm_tf.layers.norm_act_body import NormActBody


class EvoNorm(NormActBody):
  """What the two series share.

  Args:
    jit_compile: whether XLA compiles the layer's core, forward and backward, also where the model is not compiled.
      The default, None, compiles where that was measured to be faster (benchmarks/layers.py): in training on a CPU,
      unless several replicas take part. Compiling takes some tenths of a second for every new shape of input.
    **kwargs: the arguments of `NormActBody`.
  """

  _has_v1 = False

  def __init__(self, jit_compile=None, **kwargs):
    super().__init__(**kwargs)
    self.jit_compile = jit_compile

  def _build_nonlinearity(self, channels):
    if self._has_v1:
      self.v1 = self._add_vector('v1', channels)

  def _evaluate(self, inputs, training, given_moment=None):
    """Returns y and the equation's moment."""
    channels = [inputs.shape[-1]]
    weights = [tf.ones(channels, self._weight_dtype) if self.gamma is None else tf.convert_to_tensor(self.gamma),
               tf.zeros(channels, self._weight_dtype) if self.beta is None else tf.convert_to_tensor(self.beta)]
    if self._has_v1:
      weights.append(tf.convert_to_tensor(self.v1))
    return fused.evaluate(self._equation, inputs, weights, given_moment, self._compiles(training))

  def _compiles(self, training) -> bool:
    if self.jit_compile is not None:
      return self.jit_compile
    return training is True and moments.on_cpu() and tf.distribute.get_strategy().num_replicas_in_sync == 1

  def get_config(self):
    return {**super().get_config(), 'jit_compile': self.jit_compile}


class BatchSeries(MovingAverages, EvoNorm):
  """The B series: y = x / max(√(s²_{b,w,h}(x) + ε), instance term) · γ + β.

  Args:
    momentum: decay of the moving variance, which replaces s²_{b,w,h} in inference (default 0.9).
    synchronized: whether the batch is the global one over all replicas of a tf.distribute strategy (default False:
      each replica's own).
    **kwargs: the arguments of `EvoNorm` and `NormActBody`.

  Raises:
    ValueError: for `jit_compile=True` with `synchronized=True`: replicas do not meet inside XLA here.
  """

  def __init__(self, momentum=0.9, synchronized=False, **kwargs):
    super().__init__(**kwargs)
    self._set_momentum(momentum)
    if synchronized and self.jit_compile:
      raise ArgumentError('`jit_compile=True` is not available with `synchronized=True`.')
    self.synchronized = synchronized

  @property
  def _equation(self):
    return fused.BatchEquation(self.epsilon, self._series, self.synchronized)

  def _build_nonlinearity(self, channels):
    self.moving_variance = self._add_moving_average('moving_variance', (channels,), 'ones')
    super()._build_nonlinearity(channels)

  def _call_nonlinear(self, inputs, training):
    def in_training():
      y, variance = self._evaluate(inputs, training)
      self._update(self.moving_variance, tf.reshape(variance, [-1]), tf.shape(inputs)[0])
      return y
    return self._if_training(
        training, in_training,
        lambda: self._evaluate(inputs, training=False, given_moment=tf.identity(self.moving_variance))[0])

  def _compiles(self, training):
    return super()._compiles(training) and not self.synchronized

  def get_config(self):
    return {**super().get_config(), 'momentum': self.momentum, 'synchronized': self.synchronized}


class B0(BatchSeries):
  """EvoNorm-B0: y = x / max(√(s²_{b,w,h}(x) + ε), v1·x + √(s²_{w,h}(x) + ε)) · γ + β.

  Args: `momentum` and `synchronized` of `BatchSeries`, `jit_compile` of `EvoNorm`, and those of `NormActBody`.
  """
  _series = 'b0'
  _has_v1 = True


class B1(BatchSeries):
  """EvoNorm-B1: y = x / max(√(s²_{b,w,h}(x) + ε), (x + 1)·√(μ_{w,h}(x²) + ε)) · γ + β.

  Args: `momentum` and `synchronized` of `BatchSeries`, `jit_compile` of `EvoNorm`, and those of `NormActBody`.
  """
  _series = 'b1'


class B2(BatchSeries):
  """EvoNorm-B2: y = x / max(√(s²_{b,w,h}(x) + ε), √(μ_{w,h}(x²) + ε) − x) · γ + β.

  Args: `momentum` and `synchronized` of `BatchSeries`, `jit_compile` of `EvoNorm`, and those of `NormActBody`.
  """
  _series = 'b2'


class SampleSeries(EvoNorm):
  """The S series: a gated x over a moment of its channel group.

  Args:
    groups: number of channel groups (default 32); where it does not divide C, the largest number below that does.
    **kwargs: the arguments of `EvoNorm` and `NormActBody`.
  """

  _centered = True

  def __init__(self, groups=32, **kwargs):
    super().__init__(**kwargs)
    check_groups(groups)
    self.groups = groups

  @property
  def _equation(self):
    return fused.SampleEquation(self.epsilon, self.groups, self._centered, self._has_v1)

  def _call_nonlinear(self, inputs, training):
    return self._evaluate(inputs, training)[0]

  def get_config(self):
    return {**super().get_config(), 'groups': self.groups}


class S0(SampleSeries):
  """EvoNorm-S0: y = x·σ(v1·x) / √(s²_{w,h,c/g}(x) + ε) · γ + β.

  Args: `groups` of `SampleSeries`, `jit_compile` of `EvoNorm`, and those of `NormActBody`.
  """
  _has_v1 = True


class S1(SampleSeries):
  """EvoNorm-S1: y = x·σ(x) / √(s²_{w,h,c/g}(x) + ε) · γ + β.

  Args: `groups` of `SampleSeries`, `jit_compile` of `EvoNorm`, and those of `NormActBody`.
  """


class S2(SampleSeries):
  """EvoNorm-S2: y = x·σ(x) / √(μ_{w,h,c/g}(x²) + ε) · γ + β.

  Args: `groups` of `SampleSeries`, `jit_compile` of `EvoNorm`, and those of `NormActBody`.
  """
  _centered = False
