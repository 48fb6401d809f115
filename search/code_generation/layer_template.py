"""The template of compiled layers: methods and functions whose source `layer_file` copies into files.

`LayerTemplate` has every argument and nearly every method that a compiled layer may need; the rest is in
`tf_keras_template` and `keras_template`, whose `Template`s are working layers of one Keras. The file of a compiled
layer has only those that its equation uses, and the equation's weights and statements replace the two lines marked
GENERATED. The functions that this module imports and the methods of `MovingAverages` are copied, too.

Copied code must run with one Keras and its engine alone, and must be readable without this repository. It names
operations as `keras.ops` does, which `targets` translates for tf_keras; `ops = ops_of(...)`, which copies do not need,
has a line of its own. `layer_file` relies on the form of `LayerTemplate`'s docstring: three paragraphs, and one line
for each argument.
"""

from collections.abc import Callable
from collections.abc import Sequence

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations.moments import is_observed  # noqa: F401  a method of MovingAverages calls it
from evonorm_tf.equations.moments import mean_over_positions
from evonorm_tf.equations.moments import mean_over_samples
from evonorm_tf.graph.primitives import largest_divisor
from evonorm_tf.layers.norm_act_body import MovingAverages

GUARD = 1e-5  # the least magnitude of divisors and of arguments of logarithms and roots


def _guarded(t: Tensor) -> Tensor:
  """Returns sign(t)·max(|t|, GUARD), elementwise, where zero counts as positive."""
  ops = ops_of(t)
  return ops.where(t < 0., ops.minimum(t, -GUARD), ops.maximum(t, GUARD))


def _signed(function: Callable, t: Tensor) -> Tensor:
  """Returns sign(t)·function(max(|t|, GUARD)), elementwise. At t = 0 the value and the gradient are 0."""
  ops = ops_of(t)
  return ops.sign(t) * function(ops.maximum(ops.abs(t), GUARD))


def _aligned(vector: Tensor, x: Tensor) -> Tensor:
  """Returns a vector [C] as [1, ..., 1, C], or a scalar as [1, ..., 1], with the rank of x."""
  ops = ops_of(vector)
  return ops.reshape(vector, [1] * (len(x.shape) - 1) + [-1])


def _variance(t: Tensor, mean: Callable) -> Tensor:
  """Returns the biased variance of t over the axes over which the function `mean` averages."""
  ops = ops_of(t)
  return mean(ops.square(t - mean(t)))


def _layer_mean(t: Tensor) -> Tensor:
  """Returns the mean over all positions and channels of a sample: [N, ..., C] -> [N, 1, ..., 1]."""
  ops = ops_of(t)
  return ops.mean(mean_over_positions(t), -1, keepdims=True)


class LayerTemplate(MovingAverages):
  """The template of a compiled layer; with the class of layers of one Keras, a layer that computes y = x·γ + β.

  Args:
    groups: the number of channel groups (default 32); if it does not divide C, the largest smaller number (7 of 8: 4).
    momentum: the decay of the moving averages, in [0, 1] (default 0.9).
    synchronized: whether batch averages are over all replicas of a tf.distribute strategy (default False).
    epsilon: ε, the constant inside the root of second moments, at least 1e-10 (default 1e-5).
    center: whether to add β (default True).
    scale: whether to multiply by γ (default True).
    **kwargs: the Keras layer's `name`, `dtype` and `trainable`.

  Input: [N, ..., C] of rank 2 to 5, channels last, C known.
  Output: the input's shape, in the layer's compute dtype.
  Raises: ValueError for an invalid argument and, when the layer is built, for an invalid input shape.
  """

  def __init__(
      self,
      groups: int = 32,
      momentum: float = 0.9,
      synchronized: bool = False,
      epsilon: float = 1e-5,
      center: bool = True,
      scale: bool = True,
      **kwargs,
  ):
    super().__init__(**kwargs)
    if not isinstance(groups, int) or groups < 1:
      raise ValueError(f'`groups` must be a positive integer, received {groups!r}.')
    if not 0 <= momentum <= 1:
      raise ValueError(f'`momentum` must lie in [0, 1], received {momentum}.')
    if not epsilon >= 1e-10:
      raise ValueError(f'`epsilon` must be at least 1e-10, received {epsilon}.')
    self.groups = groups
    self.momentum = momentum
    self.synchronized = synchronized
    self.epsilon = epsilon
    self.center = center
    self.scale = scale
    self.supports_masking = True

  def build(self, input_shape: Sequence[int | None]) -> None:
    """Creates the weights; `input_shape` is [N, ..., C]."""
    shape = tuple(input_shape)
    if not 2 <= len(shape) <= 5 or shape[-1] is None:
      raise ValueError(f'The input must be [N, ..., C] of rank 2 to 5 with C known, received shape {shape}.')
    channels = shape[-1]
    self.gamma = self._add_vector('gamma', channels, 'ones') if self.scale else None
    self.beta = self._add_vector('beta', channels, 'zeros') if self.center else None
    # GENERATED: weights
    self.input_spec = self._keras.layers.InputSpec(ndim=len(shape), axes={-1: channels})
    super().build(input_shape)

  def call(
      self,
      inputs: Tensor,
      training: bool | Tensor | None = None,
      mask: Tensor | None = None,
  ) -> Tensor:
    """Returns the layer's output for `inputs`, [N, ..., C]; `training` matters only to averages over the batch."""
    ops = ops_of(inputs)
    if mask is not None:
      raise ValueError('This layer averages over all positions, and takes no `mask`; `GraphLayer` of evonorm-tf does.')
    # Keras casts floats only. Statistics in float16 or bfloat16 would lose most of their digits.
    x = ops.cast(ops.cast(inputs, self.compute_dtype), self._weight_dtype)
    y = x  # GENERATED: statements
    if self.scale:
      y = y * self.gamma
    if self.center:
      y = y + self.beta
    return ops.cast(y, self.compute_dtype)

  def get_config(self) -> dict:
    """Returns the layer's arguments by name, for saving."""
    config = super().get_config()
    config['groups'] = self.groups
    config['momentum'] = self.momentum
    config['synchronized'] = self.synchronized
    config['epsilon'] = self.epsilon
    config['center'] = self.center
    config['scale'] = self.scale
    return config

  @property
  def _weight_dtype(self):
    """float64 if the layer's dtype is float64; otherwise float32, also for float16 and bfloat16."""
    return 'float64' if self.dtype == 'float64' else 'float32'

  def _group_mean(self, t: Tensor) -> Tensor:
    """Returns the mean over all positions and each channel's group: [N, ..., C] -> [N, 1, ..., 1, C]."""
    ops = ops_of(t)
    mean, channels = mean_over_positions(t), t.shape[-1]
    groups = largest_divisor(channels, self.groups)
    by_group = ops.mean(ops.reshape(mean, [-1, groups, channels // groups]), -1)
    return ops.reshape(ops.repeat(by_group, channels // groups, axis=-1), ops.shape(mean))

  def _mean_over_batch(self, t: Tensor) -> Tensor:
    """Returns the mean over the batch and all positions: [N, ..., C] -> [1, ..., 1, C]; 0 for an empty batch."""
    return mean_over_samples(mean_over_positions(t), self.synchronized)

  def _tracked_mean(self, t: Tensor, moving, training, inputs: Tensor) -> Tensor:
    """Returns the batch mean of t in training and updates `moving`; otherwise returns `moving`."""
    return self._batch_or_moving(t, self._mean_over_batch, moving, training, inputs)

  def _tracked_mean_square(self, t: Tensor, moving, training, inputs: Tensor) -> Tensor:
    """Returns the batch mean of t² in training and updates `moving`; otherwise returns `moving`."""
    ops = ops_of(t)
    return self._batch_or_moving(t, lambda t: self._mean_over_batch(ops.square(t)), moving, training, inputs)

  def _tracked_variance(self, t: Tensor, moving, training, inputs: Tensor) -> Tensor:
    """Returns the batch variance of t in training and updates `moving`; otherwise returns `moving`."""
    return self._batch_or_moving(t, lambda t: _variance(t, self._mean_over_batch), moving, training, inputs)
