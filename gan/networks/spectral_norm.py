"""Spectral normalization: convolutions, dense layers and embeddings that use W/σ(W) in place of their weight W.

Source: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", 2018, arXiv
1802.05957, algorithm 1. σ(W) is the largest singular value of W, reshaped to a matrix with one column per output. It is
estimated by power iteration, one iteration for each call in training, starting from the vector u of the previous call:

  v = W·u / ‖W·u‖,   u ← Wᵀ·v / ‖Wᵀ·v‖,   σ(W) = vᵀ·W·u

The gradient treats u and v as constants, but not σ: ∂σ/∂W = v·uᵀ. As W/σ(W) does not depend on the scale of W, the
gradient with respect to W is orthogonal to W.

tf_keras.layers.SpectralNormalization differs. In training it assigns W/σ(W) to the kernel itself and computes the
gradient with respect to the assigned values, without the term through σ. The weight that the optimizer updates is thus
projected at each step. It also does not compute σ in float32 under mixed precision.

Departure: if W is zero, there is no next u. W is then used as it is, and u does not change.
"""

from typing import Any

import tensorflow as tf
import tf_keras


class SpectralNorm:
  """A mixin for Keras layers that computes W/σ(W) from the layer's weight W; a subclass names it before the layer.

  It adds the vector u to the layer. In inference the same iteration computes σ(W), but u does not change. σ and the
  division are computed in float32 (float64 for a float64 weight); only W/σ(W) is cast to the compute dtype.
  """

  _weight_name = 'kernel'

  def add_weight(self, *args: Any, **options: Any) -> tf.Variable:
    """Adds a weight that Keras does not cast to the compute dtype.

    Args:
      *args, **options: the arguments of `tf_keras.layers.Layer.add_weight`.
    """
    return super().add_weight(*args, **{**options, 'experimental_autocast': False})

  def build(self, input_shape: tf.TensorShape) -> None:
    super().build(input_shape)
    # All replicas have the same W and u and so compute the same next u. Each updates its own copy, because updating a
    # mirrored variable needs communication between replicas, which is impossible within a loop. Checkpoints contain the
    # first replica's u, which is restored in all replicas.
    self.u = self.add_weight(
        name='u', shape=(self.weight.shape[-1],), initializer='random_normal', trainable=False,
        dtype='float64' if self.weight.dtype == tf.float64 else 'float32',
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  @property
  def weight(self) -> tf.Variable:
    """The weight W of the built layer, before normalization; this is the variable that the optimizer updates."""
    return getattr(self, self._weight_name)

  def power_iteration(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes one power iteration, without changing u.

    Returns:
      (σ(W), next u): a scalar that is differentiable in W, and a vector `[outputs]`.
    """
    matrix = tf.reshape(tf.cast(self.weight, self.u.dtype), [-1, self.weight.shape[-1]])
    u = tf.convert_to_tensor(self.u)
    v = tf.stop_gradient(_unit(tf.linalg.matvec(matrix, u)))
    product = tf.linalg.matvec(matrix, v, transpose_a=True)
    next_u = tf.stop_gradient(_unit(product))
    sigma = tf.tensordot(product, next_u, 1)
    return sigma, tf.where(sigma > 0., next_u, u)

  def normalized_weight(self, training: bool | tf.Tensor | None) -> tf.Tensor:
    """Returns W/σ(W) in the compute dtype; in training, also assigns the next u to u.

    Args:
      training: the layer's argument `training`: True, False, None (inference) or a boolean scalar tensor.
    """
    sigma, u = self.power_iteration()
    if tf.is_tensor(training):
      u = tf.where(tf.cast(training, tf.bool), u, self.u)
    if training is not None and training is not False:
      self.u.assign(u)
    normalized = tf.cast(self.weight, sigma.dtype) / tf.where(sigma > 0., sigma, 1.)
    return tf.cast(normalized, self.compute_dtype)

  def _add_bias_and_activate(self, y: tf.Tensor) -> tf.Tensor:
    if self.use_bias:
      y += tf.cast(self.bias, y.dtype)
    return y if self.activation is None else self.activation(y)


class SpectralConv2D(SpectralNorm, tf_keras.layers.Conv2D):
  """A 2-D convolution with the kernel W/σ(W), for channels last; it takes the arguments of Keras's `Conv2D`.

  σ(W) is the largest singular value of W as a matrix [height·width·input channels, filters].
  """

  def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
    """Returns the convolution by W/σ(W), plus the bias, activated; in training it also updates u."""
    return self._add_bias_and_activate(self.convolution_op(inputs, self.normalized_weight(training)))


class SpectralDense(SpectralNorm, tf_keras.layers.Dense):
  """A dense layer with the kernel W/σ(W); it takes the arguments of Keras's `Dense`.

  σ(W) is the largest singular value of W [inputs, units].
  """

  def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
    """Returns inputs·W/σ(W), plus the bias, activated; in training it also updates u."""
    return self._add_bias_and_activate(tf.matmul(inputs, self.normalized_weight(training)))


class SpectralEmbedding(SpectralNorm, tf_keras.layers.Embedding):
  """An embedding of integers with the table W/σ(W); it takes the arguments of Keras's `Embedding`.

  σ(W) is the largest singular value of W [input_dim, output_dim].
  """

  _weight_name = 'embeddings'

  def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
    """Returns the rows of W/σ(W) that integers [N, ...] name; in training it also updates u."""
    return tf.gather(self.normalized_weight(training), inputs)


def singular_values(model: tf.Module) -> dict[str, tf.Tensor]:
  """Returns the largest singular value σ(W) of each weight with spectral norm in a model.

  Args:
    model: a built model; layers are found at any depth.

  Returns:
    Scalars by the name of the weight.
  """
  layers = [module for module in model.submodules if isinstance(module, SpectralNorm)]
  return {layer.weight.name.removesuffix(':0'): layer.power_iteration()[0] for layer in layers}


def _unit(x: tf.Tensor) -> tf.Tensor:
  return tf.math.divide_no_nan(x, tf.norm(x))
