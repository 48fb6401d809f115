"""The equations of the six EvoNorms, exactly those of the paper's table of layers.

Source: Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", NeurIPS 2020, arXiv 2004.02967; the
authors' own code is in tensorflow/tpu, models/official/resnet/resnet_model.py. As in that code, the moving variance
starts at 1, is biased, and decays by 0.9; and if the number of groups does not divide C, the largest smaller number
that does is used.

`equations.passes` and `gradients` do the computation. The classes here subclass no Keras layer: `keras2`
and `keras3` combine each with the layer class of tf_keras or Keras 3, and `documentation.documented` joins
their docstrings to those of the public layers.
"""

from typing import Any

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import folded
from evonorm_tf.equations import moments
from evonorm_tf.equations import series
from evonorm_tf.layers.fused_core import FusedBatchCore
from evonorm_tf.layers.fused_core import FusedCore
from evonorm_tf.layers.norm_act_body import check_groups
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import Training

# An EvoNorm's name for `get_norm_act` -> the name of its class, which is the same for tf_keras and Keras 3.
EVONORMS = {
    'evonorm_b0': 'EvoNormB0',
    'evonorm_b1': 'EvoNormB1',
    'evonorm_b2': 'EvoNormB2',
    'evonorm_s0': 'EvoNormS0',
    'evonorm_s1': 'EvoNormS1',
    'evonorm_s2': 'EvoNormS2',
}
# The class of an EvoNorm -> that of its form with v1 folded.
FOLDED = {'EvoNormB0': 'FoldedEvoNormB0', 'EvoNormS0': 'FoldedEvoNormS0'}


class EvoNorm(FusedCore):
  """Base class of both EvoNorm series, without a Keras layer class.

  μ is a mean and s² a biased variance, over the axes in the index: b = the batch, w,h = all spatial axes, c/g = the
  channels of one group.

  Reference:
    Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", NeurIPS 2020, arXiv 2004.02967.
  """

  _has_v1 = False

  def _build_nonlinearity(self, channels: int) -> None:
    if self._has_v1:
      self.v1 = self._add_vector('v1', channels)

  def _own_weights(self) -> list[Any]:
    return [self.v1] if self._has_v1 else []


class BatchSeries(FusedBatchCore, EvoNorm):
  """Base class of the B series: y = x / max(√(s²_{b,w,h}(x) + ε), instance term) · γ + β.

  The layer keeps a moving average of s²_{b,w,h}(x), which starts at 1.
  """

  @property
  def _equation(self) -> series.BatchEquation:
    return series.BatchEquation(self.epsilon, self._series, self.synchronized)

  def _build_nonlinearity(self, channels: int) -> None:
    self.moving_variance = self._add_moving_average('moving_variance', (channels,), 'ones')
    super()._build_nonlinearity(channels)

  def _call_nonlinear(self, inputs: Tensor, training: Training, mask: Mask) -> Tensor:
    def in_training():
      y, variance = self._evaluate(inputs, training, mask)
      observed = moments.is_observed(inputs, self.synchronized, mask)
      self._update(self.moving_variance, ops_of(inputs).reshape(variance, self.moving_variance.shape), observed)
      return y

    def in_inference():
      return self._evaluate(inputs, False, mask, ops_of(inputs).convert_to_tensor(self.moving_variance))[0]
    return self._if_training(training, in_training, in_inference)


class B0(BatchSeries):
  """EvoNorm-B0: y = x / max(√(s²_{b,w,h}(x) + ε), v1·x + √(s²_{w,h}(x) + ε)) · γ + β.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import EvoNormB0
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> layer = EvoNormB0(epsilon=8.)
    >>> y = layer(x, training=True)  # √(s² + ε) is 5 over the batch and 3 over each sample
    >>> np.round(np.ravel(y), 2)
    array([-0.2 ,  0.2 ,  0.7 ,  0.75], dtype=float32)
    >>> np.round(layer.get_weights()[-1], 2)  # the moving variance: 0.9·1 + 0.1·17
    array([2.6], dtype=float32)
  """

  _series = 'b0'
  _has_v1 = True


class B1(BatchSeries):
  """EvoNorm-B1: y = x / max(√(s²_{b,w,h}(x) + ε), (x + 1)·√(μ_{w,h}(x²) + ε)) · γ + β.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import EvoNormB1
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> y = EvoNormB1(epsilon=8.)(x, training=True)  # √(s² + ε) is 5, √(μ(x²) + ε) is 3 and √73
    >>> np.round(np.ravel(y), 3)
    array([-0.2  ,  0.167,  0.102,  0.105], dtype=float32)
  """

  _series = 'b1'


class B2(BatchSeries):
  """EvoNorm-B2: y = x / max(√(s²_{b,w,h}(x) + ε), √(μ_{w,h}(x²) + ε) − x) · γ + β.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import EvoNormB2
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> y = EvoNormB2(epsilon=8.)(x, training=True)  # √(s² + ε) is 5, √(μ(x²) + ε) is 3 and √73
    >>> np.round(np.ravel(y), 2)
    array([-0.2,  0.2,  1.4,  1.8], dtype=float32)
  """

  _series = 'b2'


class SampleSeries(EvoNorm):
  """Base class of the S series: x times a sigmoid gate, divided by a moment of x's channel group.

  σ is the logistic sigmoid. No sample depends on another, so the layer computes the same in training and inference.

  Args:
    groups: the number of channel groups (default 32). If it does not divide C, the largest smaller number that does is
      used: `groups=7` gives 4 groups of 8 channels.
  """

  _centered = True

  def __init__(self, groups: int = 32, **kwargs):
    super().__init__(**kwargs)
    check_groups(groups)
    self.groups = groups

  @property
  def _equation(self) -> series.SampleEquation:
    return series.SampleEquation(self.epsilon, self.groups, self._centered, self._has_v1)

  def _call_nonlinear(self, inputs: Tensor, training: Training, mask: Mask) -> Tensor:
    return self._evaluate(inputs, training, mask)[0]

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'groups': self.groups}


class S0(SampleSeries):
  """EvoNorm-S0: y = x·σ(v1·x) / √(s²_{w,h,c/g}(x) + ε) · γ + β.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import EvoNormS0
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> y = EvoNormS0(epsilon=8.)(x)  # √(s² + ε) is 3 over each sample
    >>> np.round(np.ravel(y), 3)
    array([-0.09 ,  0.244,  2.331,  3.   ], dtype=float32)
    >>> affine = EvoNormS0(nonlinearity=False)  # where no activation follows the normalization: x·γ + β
    >>> np.ravel(affine(x))
    array([-1.,  1.,  7.,  9.], dtype=float32)
  """

  _has_v1 = True


class S1(SampleSeries):
  """EvoNorm-S1: y = x·σ(x) / √(s²_{w,h,c/g}(x) + ε) · γ + β.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import EvoNormS1
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> y = EvoNormS1(epsilon=8.)(x)  # √(s² + ε) is 3 over each sample
    >>> np.round(np.ravel(y), 3)
    array([-0.09 ,  0.244,  2.331,  3.   ], dtype=float32)
  """


class S2(SampleSeries):
  """EvoNorm-S2: y = x·σ(x) / √(μ_{w,h,c/g}(x²) + ε) · γ + β.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf import EvoNormS2
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])  # two samples of two positions, one channel
    >>> y = EvoNormS2(epsilon=8.)(x)  # √(μ(x²) + ε) is 3 and √73
    >>> np.round(np.ravel(y), 3)
    array([-0.09 ,  0.244,  0.819,  1.053], dtype=float32)
  """

  _centered = False


class FoldedV1:
  """Mixin of EvoNorm-B0 and -S0 where v1 is folded into the convolution before the layer; for inference.

  `fold_norm_acts` makes these layers: see there.
  """

  def _evaluate(self, inputs: Tensor, training: Training, mask: Mask, given_moment: Tensor | None = None
                ) -> tuple[Tensor, Tensor]:
    """Returns y and the equation's moment, as without the mixin."""
    del training
    ops = ops_of(inputs)
    gamma, beta = (None if weight is None else ops.convert_to_tensor(weight) for weight in (self.gamma, self.beta))
    return folded.evaluate(
        self._equation, inputs, ops.convert_to_tensor(self.v1), gamma, beta, given_moment, mask)


class FoldedB0(FoldedV1, B0):
  """EvoNorm-B0 with v1 folded: y = z / max(√(s²_{b,w,h}(x) + ε), z + √(s²_{w,h}(x) + ε)) · γ + β for z = v1·x.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf.layers.keras2 import EvoNormB0, FoldedEvoNormB0
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])
    >>> options = dict(v1_initializer=lambda *args, **kwargs: [2.])
    >>> y, folded = EvoNormB0(**options)(x), FoldedEvoNormB0(**options)(2 * x)
    >>> np.allclose(2 * np.ravel(y), np.ravel(folded))  # γ is divided by v1 to undo that
    True
  """


class FoldedS0(FoldedV1, S0):
  """EvoNorm-S0 with v1 folded: y = z·σ(z) / √(s²_{w,h,c/g}(x) + ε) · γ + β for z = v1·x.

  Example:
    >>> import numpy as np
    >>> from evonorm_tf.layers.keras2 import EvoNormS0, FoldedEvoNormS0
    >>> x = np.float32([[[-1], [1]], [[7], [9]]])
    >>> options = dict(v1_initializer=lambda *args, **kwargs: [2.])
    >>> y, folded = EvoNormS0(**options)(x), FoldedEvoNormS0(**options)(2 * x)
    >>> np.allclose(2 * np.ravel(y), np.ravel(folded))  # γ is divided by v1 to undo that
    True
  """
