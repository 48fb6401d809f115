"""The losses of a GAN's two networks, from the discriminator's logits, and the orthogonal regularization of kernels.

D(x) are the logits of real images x, D(G(z)) those of generated images. A `GanLoss` is a pair of functions, one for
each network: `hinge`, `non_saturating` or `wasserstein`. A gin file names one by a reference such as `@losses.hinge`.

The regularization is the relaxed one of BigGAN (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, equation 3), which
makes the filters of a kernel orthogonal and leaves their norms free:

  R_β(W) = β·‖WᵀW ⊙ (1 − I)‖²_F

W is a kernel as a matrix [everything else, outputs], before spectral norm. Embeddings are spared, as the authors'
PyTorch code spares the shared one. That code steps along 2·W(WᵀW ⊙ (1 − I)), half of this gradient, so that its
strength is 2·β: the paper's 1e-4 is β here.
"""

from collections.abc import Callable
import dataclasses

import tensorflow as tf
import tf_keras


@dataclasses.dataclass(frozen=True)
class GanLoss:
  """The losses of both networks; each is a mean over the images, a scalar, of float32 logits `[N]`.

  Attributes:
    name: the name of the loss in this module.
    d_loss: the discriminator's, a function of D(x) and D(G(z)).
    g_loss: the generator's, a function of D(G(z)).
  """
  name: str
  d_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = dataclasses.field(repr=False)
  g_loss: Callable[[tf.Tensor], tf.Tensor] = dataclasses.field(repr=False)

  def __call__(self) -> 'GanLoss':
    """Returns this loss; gin refers only to what can be called."""
    return self


def _hinge_d_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
  return tf.reduce_mean(tf.nn.relu(1. - real_logits)) + tf.reduce_mean(tf.nn.relu(1. + fake_logits))


def _non_saturating_d_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
  return tf.reduce_mean(tf.math.softplus(-real_logits)) + tf.reduce_mean(tf.math.softplus(fake_logits))


def _non_saturating_g_loss(fake_logits: tf.Tensor) -> tf.Tensor:
  return tf.reduce_mean(tf.math.softplus(-fake_logits))


def _wasserstein_d_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
  return tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits)


def _negated_mean(fake_logits: tf.Tensor) -> tf.Tensor:
  return -tf.reduce_mean(fake_logits)


# L_D = E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))], L_G = −E[D(G(z))].
# Lim and Ye, Geometric GAN, 2017, arXiv 1705.02894; the loss of BigGAN.
hinge = GanLoss('hinge', _hinge_d_loss, _negated_mean)

# L_D = −E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], L_G = −E[log σ(D(G(z)))].
# Goodfellow et al., Generative Adversarial Nets, 2014, arXiv 1406.2661, section 3.
non_saturating = GanLoss('non_saturating', _non_saturating_d_loss, _non_saturating_g_loss)

# L_D = −E[D(x)] + E[D(G(z))], L_G = −E[D(G(z))], for a Lipschitz D, which spectral norm makes it here.
# Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
wasserstein = GanLoss('wasserstein', _wasserstein_d_loss, _negated_mean)


def orthogonal_penalty(model: tf.Module, strength: float) -> tf.Tensor:
  """Returns R_β, a float32 scalar, summed over the kernels of all 2-D convolutions and dense layers of a built model.

  Args:
    model: its layers are searched for at any depth.
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
