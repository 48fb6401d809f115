"""Random draws of z and labels as pure functions of a seed, a purpose and numbers such as the step.

Training can therefore be resumed exactly. Each draw is a global batch, from which every replica takes its own rows, so
that the result does not depend on the number of replicas.
"""

from collections.abc import Sequence
import enum
import math

import tensorflow as tf


class Purpose(enum.IntEnum):
  """The purpose of a random draw. Draws for different purposes are independent."""
  TRAINING = 0
  EVALUATION = 1
  STANDING_STATISTICS = 2
  PICTURES = 3


def seed_of(seed: int, purpose: Purpose, *numbers: int | tf.Tensor) -> tf.Tensor:
  """Returns a seed for TensorFlow's stateless random functions.

  Args:
    seed: the seed of the experiment, an integer.
    purpose: the purpose of the draw.
    *numbers: further integers that identify the draw, such as the training step. Another sequence of integers gives
      another seed.

  Returns:
    int64 `[2]`.
  """
  result = tf.constant([seed, int(purpose)], tf.int64)
  for number in numbers:
    result = tf.random.experimental.stateless_fold_in(result, tf.cast(number, tf.int64))
  return result


def draw(seed: tf.Tensor, count: int, z_size: int, num_classes: int, truncation: float | None = None
         ) -> tuple[tf.Tensor, tf.Tensor]:
  """Draws z and labels for a batch of images.

  Args:
    seed: the result of `seed_of`, int64 `[2]`.
    count: the number of images.
    z_size: the size of each z.
    num_classes: the number of classes; labels from 0 to `num_classes - 1` are equally likely.
    truncation: the bound of the absolute values in z, see `normal`; None (default) for no bound.

  Returns:
    (z, labels): float32 `[count, z_size]` and int32 `[count]`.
  """
  z_seed, label_seed = tf.unstack(tf.random.split(seed))
  labels = tf.random.stateless_uniform([count], label_seed, 0, num_classes, tf.int32)
  return normal(z_seed, [count, z_size], truncation), labels


def normal(seed: tf.Tensor, shape: Sequence[int], truncation: float | None = None) -> tf.Tensor:
  """Returns random numbers from the standard normal distribution, or from the truncated one.

  BigGAN's truncation trick (Brock, Donahue, Simonyan, 2019, section 3.1) draws numbers with |z| > truncation again.
  Here the same distribution is computed as z = √2·erf⁻¹(u·erf(truncation/√2)) with u uniform in (−1, 1), which works in
  compiled functions too. For a given seed, z changes continuously with the truncation, which shows its effect.

  Args:
    seed: the result of `seed_of`, int64 `[2]`.
    shape: the shape of the result.
    truncation: the bound of |z|, positive; None (default) for no bound.

  Returns:
    float32 of the given shape.
  """
  if truncation is None:
    return tf.random.stateless_normal(shape, seed)
  u = tf.random.stateless_uniform(shape, seed, -1., 1.)
  # u = −1 occurs once in millions of draws, and u·bound must stay inside (−1, 1), where erf⁻¹ is finite; 1 − 2⁻²³
  # is a float32 close to 1.
  bound = min(math.erf(truncation / math.sqrt(2.)), 1. - 2.**-23)
  return tf.clip_by_value(math.sqrt(2.) * tf.math.erfinv(u * bound), -truncation, truncation)


def own_rows(batch: tf.Tensor) -> tf.Tensor:
  """Returns this replica's rows of a global batch; to be called in a replica.

  Args:
    batch: a tensor `[batch_size, ...]`, the same in all replicas; `batch_size` is a multiple of their number.

  Returns:
    `[batch_size / replicas, ...]`, consecutive rows.
  """
  context = tf.distribute.get_replica_context()
  replicas = context.num_replicas_in_sync
  shares = tf.reshape(batch, [replicas, batch.shape[0] // replicas, *batch.shape[1:]])
  return tf.gather(shares, context.replica_id_in_sync_group)
