"""The part that all norm-activation layers share: γ, β, the affine form, dtypes, moving averages and argument checks.

The classes here subclass no Keras layer, so that they serve both Keras versions: `keras2` combines them with tf_keras's
`Layer`, `evonorm_tf.keras3` with Keras 3's. A combining class sets `_keras` to the Keras module and defines
`_add_variable`, which adds a weight to the layer.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.moments import is_observed

RANKS = (2, 5)  # the least and the greatest rank of an input
Identifier = str | dict | Callable | None  # an initializer, regularizer or constraint for Keras's `get` functions
Shape = tf.TensorShape | Sequence[int | None]
Training = bool | tf.Tensor | None  # a layer's argument `training`
Mask = tf.Tensor | None  # a layer's argument `mask`, as Keras passes it; None keeps all positions


class NormActBody:
  """Base class of norm-activation layers, without a Keras layer class: y = f(x)·γ + β, where a subclass defines f.

  γ, β and, where there is one, v1 are vectors over channels. With `nonlinearity=False` the layer is its affine form,
  y = x·γ + β, which has neither v1 nor statistics; it is used where a network normalizes without activating.

  Args:
    nonlinearity: whether to normalize and activate (default True); False gives the affine form.
    epsilon: the constant ε > 0, added to a variance or a mean of squares inside the root (default 1e-5).
    center: whether to add β (default True).
    scale: whether to multiply by γ (default True).
    gamma_initializer, beta_initializer, v1_initializer: initializers of γ, β and, where the layer has one, v1, as Keras
      names or objects (default 'ones', 'zeros', 'ones').
    gamma_regularizer, beta_regularizer, v1_regularizer: regularizers of γ, β and v1; None (default) for none.
    gamma_constraint, beta_constraint, v1_constraint: constraints on γ, β and v1; None (default) for none.
    **kwargs: the Keras layer's `name`, `dtype` and `trainable`.

  Input: [N, ..., C] of rank 2 to 5, channels last, C known; of a floating, integer or boolean dtype, which is cast to
  the layer's compute dtype. A Keras mask has the input's leading axes, [N] to [N, ...]. Statistics are then of the
  positions that it keeps, and a value that is not finite elsewhere counts as 0. A batch without positions, or with all
  of them masked, changes no weight.

  Output: the input's shape, in the layer's compute dtype. Weights, statistics and the computation are at least float32.

  Raises:
    ValueError: if an argument is out of range or, when the layer is built, if the input's rank is not 2 to 5 or C is
      not known; when it is called, if a mask has other axes, or the input is complex or not of numbers.
  """

  def __init__(self, nonlinearity: bool = True, epsilon: float = 1e-5, center: bool = True, scale: bool = True,
               gamma_initializer: Identifier = 'ones', beta_initializer: Identifier = 'zeros',
               v1_initializer: Identifier = 'ones', gamma_regularizer: Identifier = None,
               beta_regularizer: Identifier = None, v1_regularizer: Identifier = None,
               gamma_constraint: Identifier = None, beta_constraint: Identifier = None,
               v1_constraint: Identifier = None, **kwargs):
    super().__init__(**kwargs)
    if not epsilon > 0:
      raise ArgumentError(f'`epsilon` must be positive, received {epsilon}.')
    self.nonlinearity = nonlinearity
    self.epsilon = epsilon
    self.center = center
    self.scale = scale
    self._initializers = _get_each(
        self._keras.initializers, gamma=gamma_initializer, beta=beta_initializer, v1=v1_initializer)
    self._regularizers = _get_each(
        self._keras.regularizers, gamma=gamma_regularizer, beta=beta_regularizer, v1=v1_regularizer)
    self._constraints = _get_each(
        self._keras.constraints, gamma=gamma_constraint, beta=beta_constraint, v1=v1_constraint)
    self.supports_masking = True

  def build(self, input_shape: Shape) -> None:
    shape = check_input_shape(input_shape)
    self.gamma = self._add_vector('gamma', shape[-1]) if self.scale else None
    self.beta = self._add_vector('beta', shape[-1]) if self.center else None
    if self.nonlinearity:
      self._build_nonlinearity(shape[-1])
    self.input_spec = self._keras.layers.InputSpec(ndim=shape.rank, axes={-1: shape[-1]})
    super().build(input_shape)

  @tf.autograph.experimental.do_not_convert  # nothing to convert; converting doubles the time to trace a layer
  def call(self, inputs: tf.Tensor, training: Training = None, mask: Mask = None) -> tf.Tensor:
    """Returns f(x)·γ + β, or x·γ + β with `nonlinearity=False`; see the class for x.

    Args:
      inputs: x, a tensor [N, ..., C].
      training: whether to use the batch's statistics instead of moving averages, in layers that have both; None
        (default) lets Keras decide.
      mask: a Keras mask, boolean with x's leading axes, [N] to [N, ...]; None (default) for all positions.
    """
    inputs, mask = prepare_inputs(inputs, mask, self.compute_dtype)
    if self.nonlinearity:
      return self._call_nonlinear(inputs, training, mask)
    return tf.cast(self._affine(tf.cast(inputs, self._weight_dtype)), self.compute_dtype)

  def _call_nonlinear(self, inputs: tf.Tensor, training: Training, mask: Mask) -> tf.Tensor:
    """Returns f(x)·γ + β."""
    # Statistics in float16 or bfloat16 would lose most of their digits, so f is computed in float32 and cast back.
    # A layer whose f knows no mask, such as one of version 0.1, is called without one.
    y = self._normalize_activate(tf.cast(inputs, self._weight_dtype), training, *([] if mask is None else [mask]))
    return tf.cast(self._affine(y), self.compute_dtype)

  def _affine(self, y: tf.Tensor) -> tf.Tensor:
    """Returns y·γ + β."""
    if self.scale:
      y *= self.gamma
    if self.center:
      y += self.beta
    return y

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(nonlinearity=self.nonlinearity, epsilon=self.epsilon, center=self.center, scale=self.scale)
    for vector in ('gamma', 'beta', 'v1'):
      config[f'{vector}_initializer'] = self._keras.initializers.serialize(self._initializers[vector])
      config[f'{vector}_regularizer'] = self._keras.regularizers.serialize(self._regularizers[vector])
      config[f'{vector}_constraint'] = self._keras.constraints.serialize(self._constraints[vector])
    return config

  def _build_nonlinearity(self, channels: int) -> None:
    """Creates the weights of f, such as v1; called by `build` unless `nonlinearity=False`."""

  def _normalize_activate(self, x: tf.Tensor, training: Training, mask: Mask = None) -> tf.Tensor:
    """Returns f(x) for x of float32 or float64; a mask is boolean, [N, ..., 1], True where a position counts."""
    raise NotImplementedError(f'{type(self).__name__} must define `_normalize_activate`.')

  @property
  def _weight_dtype(self) -> tf.DType:
    """float64 if the layer's dtype is float64; otherwise float32, also for float16 and bfloat16."""
    return tf.float64 if self.dtype == 'float64' else tf.float32

  def _add_vector(self, name: str, channels: int) -> tf.Variable:
    """Adds a trainable vector over channels; `name` selects its initializer, regularizer and constraint."""
    return self._add_variable(
        name, (channels,), self._initializers[name], regularizer=self._regularizers[name],
        constraint=self._constraints[name])


def check_input_shape(input_shape: Shape | None) -> tf.TensorShape:
  """Checks the shape of a layer's input.

  Args:
    input_shape: the shape, [N, ..., C].

  Returns:
    The shape as a `tf.TensorShape`.

  Raises:
    ValueError: if the rank is unknown or not 2 to 5, or if C is not known.
  """
  shape = tf.TensorShape(input_shape)
  if shape.rank is None or not RANKS[0] <= shape.rank <= RANKS[1]:
    raise ArgumentError(f'The input must be [N, ..., C] of rank {RANKS[0]} to {RANKS[1]}, received shape {shape}.')
  if shape[-1] is None:
    raise ArgumentError(f'The channel axis of the input must be known, received shape {shape}.')
  return shape


def prepare_inputs(inputs: tf.Tensor, mask: Mask, dtype: str) -> tuple[tf.Tensor, Mask]:
  """Returns a layer's input and mask in the form in which all layers compute.

  Args:
    inputs: a tensor [N, ..., C]. Keras casts it to `dtype` if it is floating, and leaves integers and booleans.
    mask: the mask that Keras passes, which has the first axes of the input, or None.
    dtype: the layer's compute dtype.

  Returns:
    The input in `dtype`, in which masked values that are not finite are 0 (0·NaN would get into gradients); and the
    mask, boolean [N, ..., 1] with all positions, or None.

  Raises:
    ValueError: if the input is not of real numbers, or the mask has other axes.
  """
  given = tf.as_dtype(inputs.dtype)
  if not (given.is_floating or given.is_integer or given.is_bool):
    raise ArgumentError(f'The input must be of floating, integer or boolean dtype, received {given.name}.')
  x = tf.cast(inputs, dtype)
  if mask is None:
    return x, None
  mask = _with_all_positions(tf.cast(mask, tf.bool), x)
  return tf.where(mask | tf.math.is_finite(x), x, tf.zeros([], x.dtype)), mask


def _with_all_positions(mask: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """Returns a mask of the first axes of x, [N, ..., C], as [N, ..., 1]; raises ValueError if it has others."""
  rank = mask.shape.rank
  if rank is None or not 1 <= rank < x.shape.rank or not mask.shape.is_compatible_with(x.shape[:rank]):
    raise ArgumentError(f'`mask` must have the first axes of the input, but not its channels; for an input {x.shape} '
                        f'expected {x.shape[:1]} to {x.shape[:-1]}, received shape {mask.shape}.')
  mask = mask[(..., *[tf.newaxis] * (x.shape.rank - rank))]
  return tf.broadcast_to(mask, tf.concat([tf.shape(x)[:-1], [1]], 0))


def check_groups(groups: int) -> None:
  """Checks the number of channel groups.

  Args:
    groups: the value of a layer's argument `groups`.

  Raises:
    ValueError: if it is not a positive integer.
  """
  if not isinstance(groups, int) or groups < 1:
    raise ArgumentError(f'`groups` must be a positive integer, received {groups!r}.')


def _get_each(module, **identifiers) -> dict:
  """Returns the object of each identifier by `module.get`, from Keras's initializers, regularizers or constraints."""
  return {name: module.get(identifier) for name, identifier in identifiers.items()}


class MovingAverages:
  """Mixin of layers that keep moving averages of batch moments: m ← momentum·m + (1 − momentum)·batch moment.

  In training the layer uses the moments of the batch, through which the gradient flows. In inference, and where the
  layer is frozen by `trainable=False`, the moving averages replace them, as in Keras's BatchNormalization.

  Args:
    momentum: decay of the moving averages, in [0, 1] (default 0.9).
    synchronized: True takes batch moments over all replicas of a tf.distribute strategy, False (default) over each
      replica's own part of the batch.
  """

  def __init__(self, momentum: float = 0.9, synchronized: bool = False, **kwargs):
    super().__init__(**kwargs)
    if not 0 <= momentum <= 1:
      raise ArgumentError(f'`momentum` must lie in [0, 1], received {momentum}.')
    self.momentum = momentum
    self.synchronized = synchronized

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'momentum': self.momentum, 'synchronized': self.synchronized}

  def _add_moving_average(self, name: str, shape: Shape, initializer: Identifier) -> tf.Variable:
    """Adds a moving average. Each replica has its own; their mean is saved, as in Keras's BatchNormalization."""
    return self._add_variable(name, shape, initializer, per_replica=True, trainable=False)

  def _batch_or_moving(self, x: tf.Tensor, batch_moment: Callable[[tf.Tensor], tf.Tensor], moving: tf.Variable,
                       training: Training, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Returns `batch_moment(x)` in training and updates `moving`; otherwise returns `moving`. Both have that shape.

    x is computed from the layer's `inputs`, [N, ..., C], and can lack its axes; `mask` is theirs.
    """
    def update():
      moment = tf.reshape(batch_moment(x), moving.shape)
      self._update(moving, moment, is_observed(inputs, self.synchronized, mask))
      return moment
    return self._if_training(training, update, lambda: tf.identity(moving))

  def _if_training(self, training: Training, in_training: Callable, in_inference: Callable) -> tf.Tensor:
    """Calls `in_training` or `in_inference` and returns its result; a frozen layer is always in inference."""
    training = self.trainable and training
    if tf.is_tensor(training):
      return tf.cond(tf.cast(training, tf.bool), in_training, in_inference)
    return in_training() if training else in_inference()

  def _update(self, moving: tf.Variable, moment: tf.Tensor, observed: tf.Tensor) -> None:
    """Moves the moving average towards the moment of a batch, if anything was observed; see `is_observed`."""
    # tf.distribute gives some replicas no sample of a short last batch.
    change = (1. - self.momentum) * (moving - tf.stop_gradient(moment))
    moving.assign_sub(tf.where(observed, change, 0.))
