"""The part that all norm-activation layers share: γ, β, the affine form, dtypes, moving averages and argument checks.

The classes here subclass no Keras layer, so that they serve both Keras versions: `keras2` combines them with tf_keras's
`Layer`, `keras3` with Keras 3's. A combining class sets `_keras` to the Keras module and `_gradient` to its engine's
module of `gradients`, and defines `_add_variable`, which adds a weight to the layer.
"""

from collections.abc import Callable
from collections.abc import Sequence
import types
from typing import Any

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations.moments import is_observed
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.which_keras import OfOneKeras

RANKS = (2, 5)  # the least and the greatest rank of an input
Identifier = str | dict | Callable | None  # an initializer, regularizer or constraint for Keras's `get` functions
Shape = Sequence[int | None]  # or a `tf.TensorShape`
Training = bool | Tensor | None  # a layer's argument `training`
Mask = Tensor | None  # a layer's argument `mask`, as Keras passes it; None keeps all positions


class NormActBody(OfOneKeras):
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

  _gradient: types.ModuleType | None = None  # None leaves the gradient to the engine

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
    self.input_spec = self._keras.layers.InputSpec(ndim=len(shape), axes={-1: shape[-1]})
    super().build(input_shape)

  def call(self, inputs: Tensor, training: Training = None, mask: Mask = None) -> Tensor:
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
    ops = ops_of(inputs)
    return ops.cast(self._affine(ops.cast(inputs, self._weight_dtype)), self.compute_dtype)

  def _call_nonlinear(self, inputs: Tensor, training: Training, mask: Mask) -> Tensor:
    """Returns f(x)·γ + β."""
    # Statistics in float16 or bfloat16 would lose most of their digits, so f is computed in float32 and cast back.
    # A layer whose f knows no mask, such as one of version 0.1, is called without one.
    ops = ops_of(inputs)
    y = self._normalize_activate(ops.cast(inputs, self._weight_dtype), training, *([] if mask is None else [mask]))
    return ops.cast(self._affine(y), self.compute_dtype)

  def _affine(self, y: Tensor) -> Tensor:
    """Returns y·γ + β."""
    ops = ops_of(y)  # not in place: y can be the layer's input, and PyTorch would change that
    if self.scale:
      y = y * ops.convert_to_tensor(self.gamma)
    if self.center:
      y = y + ops.convert_to_tensor(self.beta)
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

  def _normalize_activate(self, x: Tensor, training: Training, mask: Mask = None) -> Tensor:
    """Returns f(x) for x of float32 or float64; a mask is boolean, [N, ..., 1], True where a position counts."""
    raise NotImplementedError(f'{type(self).__name__} must define `_normalize_activate`.')

  @property
  def _weight_dtype(self) -> str:
    """'float64' if the layer's dtype is float64; otherwise 'float32', also for float16 and bfloat16."""
    return 'float64' if self.dtype == 'float64' else 'float32'

  def _add_vector(self, name: str, channels: int) -> Any:
    """Adds a trainable vector over channels; `name` selects its initializer, regularizer and constraint."""
    return self._add_variable(
        name, (channels,), self._initializers[name], regularizer=self._regularizers[name],
        constraint=self._constraints[name])


def check_input_shape(input_shape: Shape | None) -> tuple[int | None, ...]:
  """Checks the shape of a layer's input.

  Args:
    input_shape: the shape, [N, ..., C].

  Returns:
    The shape as a tuple.

  Raises:
    ValueError: if the rank is unknown or not 2 to 5, or if C is not known or 0.
  """
  is_known = input_shape is not None and getattr(input_shape, 'rank', 0) is not None
  shape = tuple(input_shape) if is_known else ()
  if not RANKS[0] <= len(shape) <= RANKS[1]:
    raise ArgumentError(f'The input must be [N, ..., C] of rank {RANKS[0]} to {RANKS[1]}, received shape '
                        f'{shape if is_known else "<unknown>"}.')
  if shape[-1] is None:
    raise ArgumentError(f'The channel axis of the input must be known, received shape {shape}.')
  if not shape[-1]:
    raise ArgumentError(f'The input must have at least one channel, received shape {shape}.')
  return shape


def prepare_inputs(inputs: Tensor, mask: Mask, dtype: str) -> tuple[Tensor, Mask]:
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
  ops = ops_of(inputs)
  given = ops.dtype_name(inputs)
  if not given.startswith(('float', 'bfloat', 'int', 'uint', 'bool')):
    raise ArgumentError(f'The input must be of floating, integer or boolean dtype, received {given}.')
  x = ops.cast(inputs, dtype)
  if mask is None:
    return x, None
  mask = _with_all_positions(ops.cast(mask, 'bool'), x)
  return ops.where(ops.logical_or(mask, ops.isfinite(x)), x, ops.zeros([], x.dtype)), mask


def _with_all_positions(mask: Tensor, x: Tensor) -> Tensor:
  """Returns a mask of the first axes of x, [N, ..., C], as [N, ..., 1]; raises ValueError if it has others."""
  ops = ops_of(x)
  rank, axes = ops.rank(mask), len(x.shape)
  if rank is None or not 1 <= rank < axes or any(
      None not in (m, n) and m != n for m, n in zip(mask.shape, x.shape[:rank])):
    raise ArgumentError(f'`mask` must have the first axes of the input, but not its channels; for an input {x.shape} '
                        f'expected {x.shape[:1]} to {x.shape[:-1]}, received shape {mask.shape}.')
  mask = mask[(..., *[None] * (axes - rank))]
  return ops.logical_or(mask, ops.zeros_like(x[..., :1], dtype='bool'))


def check_groups(groups: int) -> None:
  """Checks the number of channel groups.

  Args:
    groups: the value of a layer's argument `groups`.

  Raises:
    ValueError: if it is not a positive integer.
  """
  if not isinstance(groups, int) or groups < 1:
    hint = ': make the layer first, and then call it, `EvoNormS0()(x)`' if hasattr(groups, 'shape') else ''
    raise ArgumentError(f'`groups` must be a positive integer, received {groups!r}{hint}.')


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
      replica's own part of the batch. On JAX and PyTorch it changes nothing.
  """

  def __init__(self, momentum: float = 0.9, synchronized: bool = False, **kwargs):
    super().__init__(**kwargs)
    if not 0 <= momentum <= 1:
      raise ArgumentError(f'`momentum` must lie in [0, 1], received {momentum}.')
    self.momentum = momentum
    self.synchronized = synchronized

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'momentum': self.momentum, 'synchronized': self.synchronized}

  def _add_moving_average(self, name: str, shape: Shape, initializer: Identifier) -> Any:
    """Adds a moving average. Each replica has its own; their mean is saved, as in Keras's BatchNormalization."""
    return self._add_variable(name, shape, initializer, per_replica=True, trainable=False)

  def _batch_or_moving(self, x: Tensor, batch_moment: Callable[[Tensor], Tensor], moving: Any, training: Training,
                       inputs: Tensor, mask: Mask = None) -> Tensor:
    """Returns `batch_moment(x)` in training and updates `moving`; otherwise returns `moving`. Both have that shape.

    x is computed from the layer's `inputs`, [N, ..., C], and can lack its axes; `mask` is theirs.
    """
    ops = ops_of(inputs)
    def update():
      moment = ops.reshape(batch_moment(x), moving.shape)
      self._update(moving, moment, is_observed(inputs, self.synchronized, mask))
      return moment
    return self._if_training(training, update, lambda: ops.convert_to_tensor(moving))

  def _if_training(self, training: Training, in_training: Callable, in_inference: Callable) -> Tensor:
    """Calls `in_training` or `in_inference` and returns its result; a frozen layer is always in inference."""
    training = self.trainable and training
    if training is None or isinstance(training, (bool, int)):
      return in_training() if training else in_inference()
    ops = ops_of(training)
    return ops.cond(ops.cast(training, 'bool'), in_training, in_inference)

  def _update(self, moving: Any, moment: Tensor, observed: Tensor | bool) -> None:
    """Moves the moving average towards the moment of a batch, if anything was observed; see `is_observed`."""
    # tf.distribute gives some replicas no sample of a short last batch.
    ops = ops_of(moment)
    change = (1. - self.momentum) * (moving - ops.stop_gradient(moment))
    moving.assign_sub(change if observed is True else ops.where(observed, change, 0.))
