"""Spectral normalization: convolutions, dense layers and embeddings with the weight W/σ(W).

Source: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", 2018, arXiv
1802.05957, algorithm 1. σ(W) is the largest singular value of W as a matrix [everything else, outputs]. Each call in
training follows it by one power iteration:

  v = W·u / ‖W·u‖,   u ← Wᵀ·v / ‖Wᵀ·v‖,   σ(W) = vᵀ·W·u

u and v are constants for the gradient, but σ is not: ∂σ/∂W = v·uᵀ. So the gradient with respect to W has no component
along v·uᵀ.

tf_keras.layers.SpectralNormalization is something else: in training it assigns W/σ(W) to the kernel itself, and takes
the gradient with respect to the assigned values, without a term through σ. The weight that an optimizer moves is then
projected anew at each step. Nor does it compute σ in float32 under mixed precision.

Departure: a W of zeros, which has no next u, stays as it is, and so does u.
"""

from typing import Any

import tensorflow as tf
import tf_keras


class SpectralNorm:
  """Mixin of Keras layers that adds u to the layer's weight W and computes W/σ(W).

  Inference makes the same step from u to σ(W) but leaves u unchanged. Weights are not cast together with the layer's
  inputs: σ and the division are float32 (float64 for a float64 weight), and only W/σ(W) has the compute dtype.
  """

  _weight_name = 'kernel'

  def add_weight(self, *args: Any, **options: Any) -> tf.Variable:
    """Adds a weight that Keras does not cast to the compute dtype."""
    return super().add_weight(*args, **{**options, 'experimental_autocast': False})

  def build(self, input_shape: tf.TensorShape) -> None:
    super().build(input_shape)
    # Replicas hold the same W and u, and so make the same step. Each updates a u of its own, because to update a
    # mirrored variable they would have to meet, which they cannot within a loop. The first replica's u is saved, and
    # restored in all.
    self.u = self.add_weight(
        name='u', shape=(self.weight.shape[-1],), initializer='random_normal', trainable=False,
        dtype='float64' if self.weight.dtype == tf.float64 else 'float32',
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  @property
  def weight(self) -> tf.Variable:
    """W of the built layer, the variable that the optimizer moves."""
    return getattr(self, self._weight_name)

  def power_iteration(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns σ(W), a scalar with a gradient, and the next u, without assigning it."""
    matrix = tf.reshape(tf.cast(self.weight, self.u.dtype), [-1, self.weight.shape[-1]])
    u = tf.convert_to_tensor(self.u)
    v = tf.stop_gradient(_unit(tf.linalg.matvec(matrix, u)))
    product = tf.linalg.matvec(matrix, v, transpose_a=True)
    next_u = tf.stop_gradient(_unit(product))
    sigma = tf.tensordot(product, next_u, 1)
    return sigma, tf.where(sigma > 0., next_u, u)

  def normalized_weight(self, training: bool | tf.Tensor | None) -> tf.Tensor:
    """Returns W/σ(W) in the compute dtype; in training, u becomes the next u."""
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
  """A `Conv2D` with spectral normalization, for channels last; it takes the arguments of `Conv2D`.

  The kernel is W/σ(W), where σ(W) is the largest singular value of W, a matrix [height·width·input channels, filters].
  """

  def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
    return self._add_bias_and_activate(self.convolution_op(inputs, self.normalized_weight(training)))


class SpectralDense(SpectralNorm, tf_keras.layers.Dense):
  """A `Dense` with spectral normalization: its kernel is W/σ(W), W [inputs, units]. It takes `Dense`'s arguments."""

  def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
    return self._add_bias_and_activate(tf.matmul(inputs, self.normalized_weight(training)))


class SpectralEmbedding(SpectralNorm, tf_keras.layers.Embedding):
  """`Embedding` of integers with the table W/σ(W), W [input_dim, output_dim], and the same arguments."""

  _weight_name = 'embeddings'

  def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
    return tf.gather(self.normalized_weight(training), inputs)


def singular_values(model: tf.Module) -> dict[str, tf.Tensor]:
  """Returns σ(W), a scalar, of each layer with spectral norm in a built model, by the name of its weight."""
  layers = [module for module in model.submodules if isinstance(module, SpectralNorm)]
  return {layer.weight.name.removesuffix(':0'): layer.power_iteration()[0] for layer in layers}


def _unit(x: tf.Tensor) -> tf.Tensor:
  return tf.math.divide_no_nan(x, tf.norm(x))
