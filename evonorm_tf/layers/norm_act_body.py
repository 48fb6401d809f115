"""What all our norm-activation layers share: γ, β, precision, checks and the affine form.

The classes here are bodies of Keras layers, without a Keras: `keras2_norm_act_layer` joins them to tf_keras, `keras3` to
Keras 3.
"""

import tensorflow as tf

from evonorm_tf.errors import ArgumentError

RANKS = (2, 5)


class NormActBody:
  """y = f(x)·γ + β, where a subclass gives f; with `nonlinearity=False` the affine form y = x·γ + β.

  γ and β are vectors over channels. The affine form has neither v1 nor statistics; it stands where a network
  normalizes without activating.

  Args:
    nonlinearity: whether to apply f (default True).
    epsilon: ε, added to a variance or mean of squares inside the root (default 1e-5).
    center: whether to add β (default True).
    scale: whether to multiply by γ (default True).
    gamma_initializer, beta_initializer, v1_initializer: default 'ones', 'zeros', 'ones'.
    gamma_regularizer, beta_regularizer, v1_regularizer: default None.
    gamma_constraint, beta_constraint, v1_constraint: default None.
    **kwargs: `name`, `dtype` and `trainable` of the Keras layer.

  A class that joins it to a Keras has that Keras as `_keras`, and a method `_add_variable`.

  Input: [N, ..., C] of rank 2 to 5, channels last, C known; float32, float16, bfloat16 or float64.
  Output: the input's shape, the layer's compute dtype. Statistics and f are computed in float32 at least.

  Raises:
    ValueError: for an argument, or an input shape, out of range.
  """

  def __init__(self, nonlinearity=True, epsilon=1e-5, center=True, scale=True,
               gamma_initializer='ones', beta_initializer='zeros', v1_initializer='ones',
               gamma_regularizer=None, beta_regularizer=None, v1_regularizer=None,
               gamma_constraint=None, beta_constraint=None, v1_constraint=None, **kwargs):
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

  def build(self, input_shape):
    shape = check_input_shape(input_shape)
    self.gamma = self._add_vector('gamma', shape[-1]) if self.scale else None
    self.beta = self._add_vector('beta', shape[-1]) if self.center else None
    if self.nonlinearity:
      self._build_nonlinearity(shape[-1])
    self.input_spec = self._keras.layers.InputSpec(ndim=shape.rank, axes={-1: shape[-1]})
    super().build(input_shape)

  @tf.autograph.experimental.do_not_convert  # nothing to convert; converting doubles the time to trace a layer
  def call(self, inputs, training=None):
    if self.nonlinearity:
      return self._call_nonlinear(inputs, training)
    return tf.cast(self._affine(tf.cast(inputs, self._weight_dtype)), self.compute_dtype)

  def _call_nonlinear(self, inputs: tf.Tensor, training) -> tf.Tensor:
    """Returns f(x)·γ + β."""
    # Statistics in float16 or bfloat16 would lose most of their digits, so f is computed in float32 and cast back.
    y = self._normalize_activate(tf.cast(inputs, self._weight_dtype), training)
    return tf.cast(self._affine(y), self.compute_dtype)

  def _affine(self, y: tf.Tensor) -> tf.Tensor:
    """Returns y·γ + β."""
    if self.scale:
      y *= self.gamma
    if self.center:
      y += self.beta
    return y

  def get_config(self):
    config = super().get_config()
    config.update(nonlinearity=self.nonlinearity, epsilon=self.epsilon, center=self.center, scale=self.scale)
    for vector in ('gamma', 'beta', 'v1'):
      config[f'{vector}_initializer'] = self._keras.initializers.serialize(self._initializers[vector])
      config[f'{vector}_regularizer'] = self._keras.regularizers.serialize(self._regularizers[vector])
      config[f'{vector}_constraint'] = self._keras.constraints.serialize(self._constraints[vector])
    return config

  def _build_nonlinearity(self, channels: int) -> None:
    """Makes the weights of f."""

  def _normalize_activate(self, x: tf.Tensor, training) -> tf.Tensor:
    """Returns f(x) for x of float32 or float64."""
    raise NotImplementedError(f'{type(self).__name__} must define `_normalize_activate`.')

  @property
  def _weight_dtype(self):
    """float32 also where the layer's dtype is float16 or bfloat16; float64 where it is float64."""
    return tf.float64 if self.dtype == 'float64' else tf.float32

  def _add_vector(self, name: str, channels: int) -> tf.Variable:
    """A trainable vector over channels, with the options of its `name`."""
    return self._add_variable(
        name, (channels,), self._initializers[name], regularizer=self._regularizers[name],
        constraint=self._constraints[name])


def check_input_shape(input_shape) -> tf.TensorShape:
  """Returns the shape; raises ValueError unless it is [N, ..., C] of rank 2 to 5 with C known."""
  shape = tf.TensorShape(input_shape)
  if shape.rank is None or not RANKS[0] <= shape.rank <= RANKS[1]:
    raise ArgumentError(f'The input must be [N, ..., C] of rank {RANKS[0]} to {RANKS[1]}, received shape {shape}.')
  if shape[-1] is None:
    raise ArgumentError(f'The channel axis of the input must be known, received shape {shape}.')
  return shape


def check_groups(groups: int) -> None:
  """Raises ValueError unless `groups`, the number of channel groups, is a positive integer."""
  if not isinstance(groups, int) or groups < 1:
    raise ArgumentError(f'`groups` must be a positive integer, received {groups!r}.')


def _get_each(module, **identifiers) -> dict:
  """Resolves the identifiers by the `get` of Keras's initializers, regularizers or constraints."""
  return {name: module.get(identifier) for name, identifier in identifiers.items()}


class MovingAverages:
  """Mixin of layers whose batch moments have moving averages: m ← momentum·m + (1 − momentum)·batch moment.

  In training the batch moment itself is used, and its gradient flows; the moving average stands in for it in
  inference, and where the layer is frozen by `trainable=False`, as in Keras's BatchNormalization. The layer has an
  attribute `synchronized`: whether the batch is the global one over all replicas.
  """

  def _set_momentum(self, momentum: float) -> None:
    if not 0 <= momentum <= 1:
      raise ArgumentError(f'`momentum` must lie in [0, 1], received {momentum}.')
    self.momentum = momentum

  def _add_moving_average(self, name: str, shape, initializer) -> tf.Variable:
    """A float32 moving average, each replica its own and saved as their mean, as in Keras's BatchNormalization."""
    return self._add_variable(name, shape, initializer, per_replica=True, trainable=False)

  def _batch_or_moving(self, x: tf.Tensor, batch_moment, moving: tf.Variable, training) -> tf.Tensor:
    """Returns `batch_moment(x)` of moving's shape in training, updating `moving`; else `moving`."""
    def update():
      moment = tf.reshape(batch_moment(x), moving.shape)
      self._update(moving, moment, tf.shape(x)[0])
      return moment
    return self._if_training(training, update, lambda: tf.identity(moving))

  def _if_training(self, training, in_training, in_inference):
    """Returns what one of the functions returns; a layer that is frozen is in inference."""
    training = self.trainable and training
    if tf.is_tensor(training):
      return tf.cond(tf.cast(training, tf.bool), in_training, in_inference)
    return in_training() if training else in_inference()

  def _update(self, moving: tf.Variable, moment: tf.Tensor, samples: tf.Tensor) -> None:
    """Moves a moving average towards the moment of a batch of so many samples."""
    change = (1. - self.momentum) * (moving - tf.stop_gradient(moment))
    if not self.synchronized:
      # Of a short last batch, tf.distribute gives some replicas no sample.
      change = tf.where(samples > 0, change, 0.)
    moving.assign_sub(change)
