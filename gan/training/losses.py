"""The losses of a discriminator and a generator, from logits D(x) of real images x and D(G(z)) of generated ones.

Each loss is a class that is never instantiated, a pair of pure functions, so that a configuration names both by one
reference such as `@losses.hinge`. Both take float32 logits `[N]` and return a scalar, the mean over the images.
"""

import tensorflow as tf
import tf_keras


class hinge:  # pylint: disable=invalid-name
  """L_D = E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))], L_G = −E[D(G(z))].

  Lim and Ye, Geometric GAN, 2017, arXiv 1705.02894; the loss of BigGAN.
  """

  @staticmethod
  def d_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.relu(1. - real_logits)) + tf.reduce_mean(tf.nn.relu(1. + fake_logits))

  @staticmethod
  def g_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    return -tf.reduce_mean(fake_logits)


class non_saturating:  # pylint: disable=invalid-name
  """L_D = −E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], L_G = −E[log σ(D(G(z)))].

  Goodfellow et al., Generative Adversarial Nets, 2014, arXiv 1406.2661, section 3.
  """

  @staticmethod
  def d_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.math.softplus(-real_logits)) + tf.reduce_mean(tf.math.softplus(fake_logits))

  @staticmethod
  def g_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.math.softplus(-fake_logits))


class wasserstein:  # pylint: disable=invalid-name
  """L_D = −E[D(x)] + E[D(G(z))], L_G = −E[D(G(z))], for a Lipschitz D: here spectral norm keeps it so.

  Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
  """

  @staticmethod
  def d_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits)

  @staticmethod
  def g_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    return -tf.reduce_mean(fake_logits)


def orthogonal_penalty(model: tf.Module, strength: float) -> tf.Tensor:
  """Returns R_β, a float32 scalar, summed over the kernels of all 2-D convolutions and dense layers of a built model.

  Args:
    model: whose layers to look for.
    strength: β (BigGAN: 1e-4).
  """
  layers = [m for m in model.submodules if isinstance(m, (tf_keras.layers.Conv2D, tf_keras.layers.Dense))]
  return strength * tf.add_n([_squared_products(layer.kernel) for layer in layers])


def _squared_products(kernel: tf.Variable) -> tf.Tensor:
  """Returns ‖WᵀW ⊙ (1 − I)‖²_F."""
  rows, columns = kernel.shape[:-1].num_elements(), kernel.shape[-1]
  matrix = tf.reshape(tf.cast(kernel, tf.float32), [rows, columns])
  if columns > rows:
    # WWᵀ has the norm of WᵀW and is smaller: 20² instead of 24,576² numbers for the first layer at 128×128.
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(tf.reduce_sum(tf.square(matrix), 0)))
  gram = tf.matmul(matrix, matrix, transpose_a=True)
  return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros(columns))))
