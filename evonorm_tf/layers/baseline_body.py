"""The paper's baselines, which normalize and activate as EvoNorms do: y = activation(norm(x)·γ + β).

The classes here subclass no Keras layer, as those of `norm_act_body`: `baselines` and `keras3` combine them
with the layer class of tf_keras or Keras 3. BN and GN use that Keras's normalization layers; PixelNorm is implemented
here, as is what those layers do with masks, with batches without positions and, in BN, with several replicas.

Departures from the sources: LN is GN with one group, as in the paper on GN; its statistics are over all values of a
sample, and γ and β are per channel. IN is GN with one channel per group. PixelNorm has γ and β, unlike the original in
GANs.
"""

from collections.abc import Callable
from typing import Any

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import moments
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives
from evonorm_tf.layers.norm_act_body import check_input_shape
from evonorm_tf.layers.norm_act_body import Identifier
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import MovingAverages
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.norm_act_body import prepare_inputs
from evonorm_tf.layers.norm_act_body import Shape
from evonorm_tf.layers.norm_act_body import Training
from evonorm_tf.layers.which_keras import OfOneKeras


class BaselineBody(OfOneKeras):
  """Base class of the baselines: y = activation(norm(x)·γ + β). A subclass defines `_make_norm`, which includes γ and
  β.

  γ and β are vectors over channels. With `nonlinearity=False` the layer normalizes and does not activate.

  Args:
    activation: a Keras activation's name, a function of a tensor, or None for the identity (default 'relu').
    nonlinearity: whether to apply the activation (default True).
    epsilon: the constant ε > 0, added to a variance or a mean of squares inside the root (default 1e-5).
    center: whether to add β (default True).
    scale: whether to multiply by γ (default True).
    beta_initializer, gamma_initializer: initializers of β and γ, as Keras names or objects (default 'zeros', 'ones').
    beta_regularizer, gamma_regularizer: regularizers of β and γ; None (default) for none.
    beta_constraint, gamma_constraint: constraints on β and γ; None (default) for none.
    **kwargs: the Keras layer's `name`, `dtype` and `trainable`.

  Input: [N, ..., C] of rank 2 to 5, channels last, C known; of a floating, integer or boolean dtype, which is cast to
  the layer's compute dtype. A Keras mask has the input's leading axes, [N] to [N, ...]. Statistics are then of the
  positions that it keeps, and a value that is not finite elsewhere counts as 0. A batch without positions, or with all
  of them masked, changes no weight.

  Output: the input's shape, in the layer's compute dtype. Statistics, γ and β are at least float32.

  Raises:
    ValueError: if an argument is out of range or, when the layer is built, if the input's rank is not 2 to 5 or C is
      not known; when it is called, if a mask has other axes, or the input is complex or not of numbers.
  """

  def __init__(self, activation: str | Callable[[Tensor], Tensor] | None = 'relu', nonlinearity: bool = True,
               epsilon: float = 1e-5, center: bool = True, scale: bool = True, beta_initializer: Identifier = 'zeros',
               gamma_initializer: Identifier = 'ones', beta_regularizer: Identifier = None,
               gamma_regularizer: Identifier = None, beta_constraint: Identifier = None,
               gamma_constraint: Identifier = None, **kwargs):
    super().__init__(**kwargs)
    if not epsilon > 0:
      raise ArgumentError(f'`epsilon` must be positive, received {epsilon}.')
    self.activation = self._keras.activations.get(activation)
    self.nonlinearity = nonlinearity
    self.epsilon = epsilon
    self.center = center
    self.scale = scale
    self.beta_initializer = self._keras.initializers.get(beta_initializer)
    self.gamma_initializer = self._keras.initializers.get(gamma_initializer)
    self.beta_regularizer = self._keras.regularizers.get(beta_regularizer)
    self.gamma_regularizer = self._keras.regularizers.get(gamma_regularizer)
    self.beta_constraint = self._keras.constraints.get(beta_constraint)
    self.gamma_constraint = self._keras.constraints.get(gamma_constraint)
    self.supports_masking = True

  def build(self, input_shape: Shape) -> None:
    shape = check_input_shape(input_shape)
    self.norm = self._make_norm(shape)
    self.input_spec = self._keras.layers.InputSpec(ndim=len(shape), axes={-1: shape[-1]})
    super().build(input_shape)

  def call(self, inputs: Tensor, training: Training = None, mask: Mask = None) -> Tensor:
    """Returns activation(norm(x)·γ + β); see the class for x, and `normalize` for the arguments."""
    inputs, mask = prepare_inputs(inputs, mask, self.compute_dtype)
    return ops_of(inputs).cast(self.activate(self.normalize(inputs, training, mask)), self.compute_dtype)

  def get_config(self) -> dict[str, Any]:
    return {
        **super().get_config(),
        'activation': self._keras.activations.serialize(self.activation),
        'nonlinearity': self.nonlinearity,
        'epsilon': self.epsilon,
        'center': self.center,
        'scale': self.scale,
        'beta_initializer': self._keras.initializers.serialize(self.beta_initializer),
        'gamma_initializer': self._keras.initializers.serialize(self.gamma_initializer),
        'beta_regularizer': self._keras.regularizers.serialize(self.beta_regularizer),
        'gamma_regularizer': self._keras.regularizers.serialize(self.gamma_regularizer),
        'beta_constraint': self._keras.constraints.serialize(self.beta_constraint),
        'gamma_constraint': self._keras.constraints.serialize(self.gamma_constraint),
    }

  @property
  def gamma(self) -> Any:
    """The trainable weight γ of the built layer; None with `scale=False`."""
    return self.norm.gamma if self.scale else None

  @property
  def beta(self) -> Any:
    """The trainable weight β of the built layer; None with `center=False`."""
    return self.norm.beta if self.center else None

  def normalize(self, inputs: Tensor, training: Training = None, mask: Mask = None) -> Tensor:
    """Returns norm(inputs)·γ + β; the layer must be built.

    Args:
      inputs: a tensor [N, ..., C].
      training: whether to use the batch's statistics instead of moving averages, in layers that have both; None
        (default) lets Keras decide, as in any layer call.
      mask: the positions of which the statistics are, boolean [N, ..., 1]; None (default) for all.

    Returns:
      A tensor of the same shape, in the layer's compute dtype or in float32.
    """
    return self._run_norm(inputs)

  def activate(self, y: Tensor) -> Tensor:
    """Returns activation(y), or y itself with `nonlinearity=False`.

    Args:
      y: the output of `normalize`, [N, ..., C].

    Returns:
      A tensor of y's shape and dtype.
    """
    return self.activation(y) if self.nonlinearity else y

  def _run_norm(self, inputs: Tensor) -> Tensor:
    return self.norm(inputs)

  def _norm_suits(self, inputs: Tensor) -> bool:
    """Returns whether Keras's layer computes in the precision of the statistics."""
    return True

  def _make_norm(self, shape: Shape) -> Any:
    """Returns the normalization layer, built for inputs of this shape, with γ and β."""
    raise NotImplementedError(f'{type(self).__name__} must define `_make_norm`.')

  def _standardize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Returns (x − mean) / √(variance + ε) · γ + β."""
    ops = ops_of(x)
    beta, gamma = (None if vector is None else ops.convert_to_tensor(vector) for vector in (self.beta, self.gamma))
    return ops.standardize(x, mean, variance, beta, gamma, self.epsilon)

  @property
  def _statistics_dtype(self) -> str:
    """float64 if the layer's compute dtype is float64; otherwise float32, also for float16 and bfloat16."""
    return 'float64' if self.compute_dtype == 'float64' else 'float32'

  @property
  def _norm_dtype(self) -> Any:
    """The dtype policy of a normalization layer whose statistics and weights are at least float32 anyway."""
    return self.dtype_policy

  def _vector_options(self) -> dict:
    """Returns the options of γ and β: initializers, regularizers (none for a vector left out) and constraints."""
    return {
        'beta_initializer': self.beta_initializer,
        'gamma_initializer': self.gamma_initializer,
        'beta_regularizer': self.beta_regularizer if self.center else None,
        'gamma_regularizer': self.gamma_regularizer if self.scale else None,
        'beta_constraint': self.beta_constraint,
        'gamma_constraint': self.gamma_constraint,
    }

  def _norm_options(self) -> dict:
    """Returns the constructor arguments that all normalization layers of one Keras share."""
    return {'epsilon': self.epsilon, 'center': self.center, 'scale': self.scale, 'trainable': self.trainable,
            **self._vector_options()}


class BatchNormBody(MovingAverages, BaselineBody):
  """BN-ReLU or BN-SiLU: y = activation((x − μ_{b,w,h}(x)) / √(s²_{b,w,h}(x) + ε) · γ + β).

  The layer keeps moving averages of μ and s². For inputs of rank 4 and 5, tf_keras uses a fused kernel. Its moving
  average is of the unbiased variance, n/(n − 1) times the variance by which it normalizes a batch with n values per
  channel. For rank 2 and 3, with `synchronized=True` and with a mask, and in Keras 3, the moving average is of the
  biased variance, as in the EvoNorms.
  """

  _norm_synchronizes = True  # whether Keras's layer takes the argument `synchronized`

  def __init__(self, activation: str | Callable[[Tensor], Tensor] | None = 'relu', momentum: float = 0.9,
               synchronized: bool = False, **kwargs):
    super().__init__(momentum, synchronized, activation=activation, **kwargs)

  def _make_norm(self, shape: Shape) -> Any:
    # This layer's statistics are float32 for every dtype, so tf_keras's fused kernel may read float16 and bfloat16.
    synchronized = self.synchronized and self._norm_synchronizes
    norm = self._keras.layers.BatchNormalization(
        momentum=self.momentum, synchronized=synchronized, dtype=self._norm_dtype, **self._norm_options())
    norm.build(shape)
    return norm

  def normalize(self, inputs: Tensor, training: Training = None, mask: Mask = None) -> Tensor:
    """Returns BN(inputs) with γ and β; in training it also updates the moving averages. See `BaselineBody`."""
    # Keras's layer takes synchronized variances for μ(x²) − μ(x)², which is not what is left where μ is large.
    if self._norm_suits(inputs) and mask is None and not self.synchronized and all(inputs.shape[:-1]):
      return self.norm(inputs, training=training, mask=None)  # sizes are known and not 0
    return self._if_training(
        training, lambda: self._normalize_in_training(inputs, mask),
        lambda: self._run_norm(inputs, training=False) if self._norm_suits(inputs)
        else self._normalize_by_averages(inputs))

  def _run_norm(self, inputs: Tensor, training: bool) -> Tensor:
    return self.norm(inputs, training=training, mask=None)

  def _normalize_by_averages(self, inputs: Tensor) -> Tensor:
    """Normalizes by the moving averages."""
    ops = ops_of(inputs)
    x = ops.cast(inputs, self._statistics_dtype)
    averages = (ops.convert_to_tensor(average) for average in (self.norm.moving_mean, self.norm.moving_variance))
    return ops.cast(self._standardize(x, *averages), self.compute_dtype)

  def _normalize_in_training(self, inputs: Tensor, mask: Mask) -> Tensor:
    """Normalizes by the moments of the positions that are kept, which Keras has not for all ranks and replicas."""
    ops = ops_of(inputs)
    x = ops.cast(inputs, self._statistics_dtype)
    mean, variance = (moment(x, primitives.BATCH, synchronized=self.synchronized, mask=mask)
                      for moment in (moments.average, moments.variance))
    observed = moments.is_observed(x, self.synchronized, mask)
    for average, moment in ((self.norm.moving_mean, mean), (self.norm.moving_variance, variance)):
      self._update(average, ops.reshape(moment, [-1]), observed)
    return ops.cast(self._standardize(x, mean, variance), self.compute_dtype)


class GroupNormBody(BaselineBody):
  """GN-ReLU or GN-SiLU: y = activation((x − μ_{w,h,c/g}(x)) / √(s²_{w,h,c/g}(x) + ε) · γ + β).

  Args:
    groups: the number of channel groups (default 32). If it does not divide C, the largest smaller number that does is
      used: `groups=7` gives 4 groups of 8 channels. 1 gives LN; -1 gives IN, which has one channel per group.
  """

  def __init__(self, activation: str | Callable[[Tensor], Tensor] | None = 'relu', groups: int = 32, **kwargs):
    super().__init__(activation=activation, **kwargs)
    if not isinstance(groups, int) or groups < 1 and groups != -1:
      raise ArgumentError(
          f'`groups` must be an integer of at least 1, or -1 for one channel a group, received {groups!r}.')
    self.groups = groups

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'groups': self.groups}

  def _make_norm(self, shape: Shape) -> Any:
    channels = shape[-1]
    groups = channels if self.groups == -1 else primitives.largest_divisor(channels, self.groups)
    # Keras's layer computes bfloat16's statistics in bfloat16, and rounds float16's to float16. At mean 50 and
    # deviation 2 they lose a digit.
    norm = self._keras.layers.GroupNormalization(groups=groups, dtype=self._statistics_dtype, **self._norm_options())
    norm.build(shape)
    return norm

  def normalize(self, inputs: Tensor, training: Training = None, mask: Mask = None) -> Tensor:
    """Returns GN(inputs) with γ and β; `training` has no effect. See `BaselineBody`."""
    if self._norm_suits(inputs) and mask is None and all(inputs.shape[1:-1]):  # sizes that are known and not 0
      return self._run_norm(inputs)
    # tf_keras's layer broadcasts a mask of [N, T] against [N, T, C], and without positions its gradient is NaN.
    x = ops_of(inputs).cast(inputs, self._statistics_dtype)
    mean, variance = (moment(x, primitives.GROUP, self.norm.groups, mask=mask)
                      for moment in (moments.average, moments.variance))
    return self._standardize(x, mean, variance)


class PixelNorm(NormActBody):
  """PixelNorm, y = x / √(μ_c(x²) + ε) · γ + β: divides each pixel by the root mean square of its channels."""

  def _normalize_activate(self, x: Tensor, training: Training, mask: Mask = None) -> Tensor:
    ops = ops_of(x)
    return x * ops.rsqrt(ops.mean(ops.square(x), -1, keepdims=True) + self.epsilon)


class PixelNormBody(BaselineBody):
  """PixelNorm-ReLU: y = activation(x / √(μ_c(x²) + ε) · γ + β), where μ_c is the mean over a pixel's channels."""

  def _make_norm(self, shape: Shape) -> Any:
    norm = self._pixel_norm(dtype=self.dtype_policy, **self._norm_options())
    norm.build(shape)
    return norm


# A baseline's name for `get_norm_act` -> the name of its class, which is the same for tf_keras and Keras 3, and the
# arguments with which the class is this baseline.
BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    'bn_relu': ('BatchNormAct', {'activation': 'relu'}),
    'bn_silu': ('BatchNormAct', {'activation': 'silu'}),
    'gn_relu': ('GroupNormAct', {'activation': 'relu'}),
    'gn_silu': ('GroupNormAct', {'activation': 'silu'}),
    'ln_relu': ('GroupNormAct', {'activation': 'relu', 'groups': 1}),
    'in_relu': ('GroupNormAct', {'activation': 'relu', 'groups': -1}),
    'frn_tlu': ('FRNTLU', {}),  # tf_keras only
    'pixel_norm_relu': ('PixelNormAct', {'activation': 'relu'}),
}
