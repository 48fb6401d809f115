"""The base class of the baselines: a Keras layer that normalizes and then activates, y = activation(norm(x)·γ + β)."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act_body import check_input_shape
from evonorm_tf.layers.norm_act_body import Identifier
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import prepare_inputs
from evonorm_tf.layers.norm_act_body import Shape
from evonorm_tf.layers.norm_act_body import Training


class BaselineLayer(tf_keras.layers.Layer):
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

  def __init__(self, activation: str | Callable[[tf.Tensor], tf.Tensor] | None = 'relu', nonlinearity: bool = True,
               epsilon: float = 1e-5, center: bool = True, scale: bool = True, beta_initializer: Identifier = 'zeros',
               gamma_initializer: Identifier = 'ones', beta_regularizer: Identifier = None,
               gamma_regularizer: Identifier = None, beta_constraint: Identifier = None,
               gamma_constraint: Identifier = None, **kwargs):
    super().__init__(**kwargs)
    if not epsilon > 0:
      raise ArgumentError(f'`epsilon` must be positive, received {epsilon}.')
    self.activation = tf_keras.activations.get(activation)
    self.nonlinearity = nonlinearity
    self.epsilon = epsilon
    self.center = center
    self.scale = scale
    self.beta_initializer = tf_keras.initializers.get(beta_initializer)
    self.gamma_initializer = tf_keras.initializers.get(gamma_initializer)
    self.beta_regularizer = tf_keras.regularizers.get(beta_regularizer)
    self.gamma_regularizer = tf_keras.regularizers.get(gamma_regularizer)
    self.beta_constraint = tf_keras.constraints.get(beta_constraint)
    self.gamma_constraint = tf_keras.constraints.get(gamma_constraint)
    self.supports_masking = True

  def build(self, input_shape: Shape) -> None:
    shape = check_input_shape(input_shape)
    self.norm = self._make_norm(shape)
    self.input_spec = tf_keras.layers.InputSpec(ndim=shape.rank, axes={-1: shape[-1]})
    super().build(input_shape)

  def call(self, inputs: tf.Tensor, training: Training = None, mask: Mask = None) -> tf.Tensor:
    """Returns activation(norm(x)·γ + β); see the class for x, and `normalize` for the arguments."""
    inputs, mask = prepare_inputs(inputs, mask, self.compute_dtype)
    return tf.cast(self.activate(self.normalize(inputs, training, mask)), self.compute_dtype)

  def compute_output_shape(self, input_shape: Shape) -> tf.TensorShape:
    return tf.TensorShape(input_shape)

  def get_config(self) -> dict[str, Any]:
    return {
        **super().get_config(),
        'activation': tf_keras.activations.serialize(self.activation),
        'nonlinearity': self.nonlinearity,
        'epsilon': self.epsilon,
        'center': self.center,
        'scale': self.scale,
        'beta_initializer': tf_keras.initializers.serialize(self.beta_initializer),
        'gamma_initializer': tf_keras.initializers.serialize(self.gamma_initializer),
        'beta_regularizer': tf_keras.regularizers.serialize(self.beta_regularizer),
        'gamma_regularizer': tf_keras.regularizers.serialize(self.gamma_regularizer),
        'beta_constraint': tf_keras.constraints.serialize(self.beta_constraint),
        'gamma_constraint': tf_keras.constraints.serialize(self.gamma_constraint),
    }

  @property
  def gamma(self) -> tf.Variable | None:
    """The trainable weight γ of the built layer; None with `scale=False`."""
    return self.norm.gamma if self.scale else None

  @property
  def beta(self) -> tf.Variable | None:
    """The trainable weight β of the built layer; None with `center=False`."""
    return self.norm.beta if self.center else None

  def normalize(self, inputs: tf.Tensor, training: Training = None, mask: Mask = None) -> tf.Tensor:
    """Returns norm(inputs)·γ + β; the layer must be built.

    Args:
      inputs: a tensor [N, ..., C].
      training: whether to use the batch's statistics instead of moving averages, in layers that have both; None
        (default) lets Keras decide, as in any layer call.
      mask: the positions of which the statistics are, boolean [N, ..., 1]; None (default) for all.

    Returns:
      A tensor of the same shape, in the layer's compute dtype or in float32.
    """
    return self.norm(inputs, mask=None)

  def activate(self, y: tf.Tensor) -> tf.Tensor:
    """Returns activation(y), or y itself with `nonlinearity=False`.

    Args:
      y: the output of `normalize`, [N, ..., C].

    Returns:
      A tensor of y's shape and dtype.
    """
    return self.activation(y) if self.nonlinearity else y

  def _make_norm(self, shape: tf.TensorShape) -> tf_keras.layers.Layer:
    """Returns the normalization layer, built for inputs of this shape, with γ and β."""
    raise NotImplementedError(f'{type(self).__name__} must define `_make_norm`.')

  def _standardize(self, x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
    """Returns (x − mean) / √(variance + ε) · γ + β."""
    return tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)

  @property
  def _statistics_dtype(self) -> str:
    """float64 if the layer's compute dtype is float64; otherwise float32, also for float16 and bfloat16."""
    return 'float64' if self.compute_dtype == 'float64' else 'float32'

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
    """Returns the constructor arguments that all normalization layers of tf_keras share."""
    return {'epsilon': self.epsilon, 'center': self.center, 'scale': self.scale, 'trainable': self.trainable,
            **self._vector_options()}
