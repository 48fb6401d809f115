"""Spectral normalization: convolutions, dense layers and embeddings with the weight W/σ(W).

Source: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", 2018, arXiv
1802.05957, algorithm 1. σ(W) is the largest singular value of W as a matrix [everything else, outputs]. One power
iteration for each call in training follows it:

  v = W·u / ‖W·u‖,   u ← Wᵀ·v / ‖Wᵀ·v‖,   σ(W) = vᵀ·W·u

with u, v constants for the gradient, and σ not: ∂σ/∂W = v·uᵀ. So the gradient by W has no part along v·uᵀ.

tf_keras.layers.SpectralNormalization is something else: in training it assigns W/σ(W) to the kernel itself, and the
gradient is that by the assigned values, with none through σ. The weight that an optimizer moves is then projected
anew at each step. Nor does it take σ in float32 under mixed precision.

Departure: a W of zeros, of which no u follows, stays as it is, and so does u.
"""

import tensorflow as tf
import tf_keras


class SpectralNorm:
  """Mixin of Keras layers: makes u beside the layer's weight W, and W/σ(W).

  Inference takes the same step from u to σ(W) and keeps u. Weights are not cast with the layer's inputs: σ and the
  division are float32 (float64 for a float64 weight), and only W/σ(W) gets the compute dtype.
  """

  _weight_name = 'kernel'

  def add_weight(self, *args, **options):
    return super().add_weight(*args, **{**options, 'experimental_autocast': False})

  def build(self, input_shape):
    super().build(input_shape)
    # Replicas hold the same W and u, and so make the same step: each its own, for to update a mirrored variable they
    # would have to meet, which they cannot within a loop. The first one's is saved, and restored in all.
    self.u = self.add_weight(
        name='u', shape=(self.weight.shape[-1],), initializer='random_normal', trainable=False,
        dtype='float64' if self.weight.dtype == tf.float64 else 'float32',
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

  @property
  def weight(self) -> tf.Variable:
    """W of the built layer, as the optimizer moves it."""
    return getattr(self, self._weight_name)

  def power_iteration(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns σ(W), a scalar with its gradient, and the next u; assigns nothing."""
    matrix = tf.reshape(tf.cast(self.weight, self.u.dtype), [-1, self.weight.shape[-1]])
    u = tf.convert_to_tensor(self.u)
    v = tf.stop_gradient(_unit(tf.linalg.matvec(matrix, u)))
    product = tf.linalg.matvec(matrix, v, transpose_a=True)
    next_u = tf.stop_gradient(_unit(product))
    sigma = tf.tensordot(product, next_u, 1)
    return sigma, tf.where(sigma > 0., next_u, u)

  def normalized_weight(self, training) -> tf.Tensor:
    """Returns W/σ(W) in the compute dtype; in training, u takes its step."""
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
  """A `Conv2D` of channels last with the kernel W/σ(W), W [height·width·input channels, filters]; its arguments."""

  def call(self, inputs, training=None):
    return self._add_bias_and_activate(self.convolution_op(inputs, self.normalized_weight(training)))


class SpectralDense(SpectralNorm, tf_keras.layers.Dense):
  """A `Dense` with the kernel W/σ(W), W [inputs, units]; its arguments."""

  def call(self, inputs, training=None):
    return self._add_bias_and_activate(tf.matmul(inputs, self.normalized_weight(training)))


class SpectralEmbedding(SpectralNorm, tf_keras.layers.Embedding):
  """An `Embedding` of integers with the table W/σ(W), W [input_dim, output_dim]; its arguments."""

  _weight_name = 'embeddings'

  def call(self, inputs, training=None):
    return tf.gather(self.normalized_weight(training), inputs)


def singular_values(model: tf.Module) -> dict[str, tf.Tensor]:
  """Returns σ(W), a scalar, of all layers with spectral norm in a built model, by their weights' names."""
  layers = [module for module in model.submodules if isinstance(module, SpectralNorm)]
  return {layer.weight.name.removesuffix(':0'): layer.power_iteration()[0] for layer in layers}


def _unit(x: tf.Tensor) -> tf.Tensor:
  return tf.math.divide_no_nan(x, tf.norm(x))
