"""The losses of a GAN's generator and discriminator, and the orthogonal regularization of kernels.

D(x) denotes the discriminator's logits of real images x, and D(G(z)) those of generated images. A `GanLoss` is a pair
of functions, one for each network. There are three: `hinge`, `non_saturating` and `wasserstein`; a gin file refers to
one by, for instance, `@losses.hinge`.

The regularization is the relaxed form of BigGAN (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, equation 3). It
drives the filters of a kernel to be orthogonal to each other and leaves their norms free:

  R_β(W) = β·‖WᵀW ⊙ (1 − I)‖²_F

W is a kernel before spectral norm, reshaped to a matrix with one column per output channel; ⊙ is the elementwise
product. Embeddings are left out, as the authors' PyTorch code leaves out the shared embedding. That code adds
strength·2·W(WᵀW ⊙ (1 − I)) to the gradient of the loss. The gradient of R_β is 4·β·W(WᵀW ⊙ (1 − I)), so a β here
corresponds to a strength of 2·β there. The paper's value is β = 1e-4.
"""

from collections.abc import Callable
import dataclasses

import tensorflow as tf
import tf_keras


@dataclasses.dataclass(frozen=True)
class GanLoss:
  """The losses of generator and discriminator, as functions of the discriminator's logits.

  The functions take float32 logits `[N]` and return a scalar, a mean over the images.

  Attributes:
    name: the name of the loss in this module.
    d_loss: the discriminator's loss, a function of (D(x), D(G(z))): the logits of real and of generated images.
    g_loss: the generator's loss, a function of D(G(z)).
  """
  name: str
  d_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = dataclasses.field(repr=False)
  g_loss: Callable[[tf.Tensor], tf.Tensor] = dataclasses.field(repr=False)

  def __call__(self) -> 'GanLoss':
    """Returns this object. gin needs this method, because its references such as `@losses.hinge` must be callable."""
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

# L_D = −E[D(x)] + E[D(G(z))], L_G = −E[D(G(z))]. D must be Lipschitz, which spectral norm ensures here.
# Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.
wasserstein = GanLoss('wasserstein', _wasserstein_d_loss, _negated_mean)


def orthogonal_penalty(model: tf.Module, strength: float) -> tf.Tensor:
  """Returns the orthogonal regularization Σ_W R_β(W) of a model, with R_β(W) = β·‖WᵀW ⊙ (1 − I)‖²_F.

  Args:
    model: a built model. W runs over the kernels of its 2-D convolutions and dense layers, at any depth.
    strength: β (BigGAN: 1e-4).

  Returns:
    A float32 scalar.
  """
  layers = [m for m in model.submodules if isinstance(m, (tf_keras.layers.Conv2D, tf_keras.layers.Dense))]
  return strength * tf.add_n([_squared_products(layer.kernel) for layer in layers])


def _squared_products(kernel: tf.Variable) -> tf.Tensor:
  """Returns ‖WᵀW ⊙ (1 − I)‖²_F of a kernel W."""
  rows, columns = kernel.shape[:-1].num_elements(), kernel.shape[-1]
  matrix = tf.reshape(tf.cast(kernel, tf.float32), [rows, columns])
  if columns > rows:
    # WWᵀ has the same norm as WᵀW and is smaller: 20² instead of 24,576² numbers for the first layer at 128×128.
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(tf.reduce_sum(tf.square(matrix), 0)))
  gram = tf.matmul(matrix, matrix, transpose_a=True)
  return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros(columns))))
