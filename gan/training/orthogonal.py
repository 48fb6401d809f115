"""Orthogonal regularization, as BigGAN relaxes it (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, equation 3).

  R_β(W) = β·‖WᵀW ⊙ (1 − I)‖²_F

W is a kernel as a matrix [everything else, outputs], before spectral norm: the filters are to be orthogonal, their
norms are free. Embeddings are spared, as the authors' PyTorch code spares the shared one. That code steps along
2·W(WᵀW ⊙ (1 − I)), half of this gradient, so that its strength is 2·β: the paper's 1e-4 is β here.
"""

import tensorflow as tf
import tf_keras


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
