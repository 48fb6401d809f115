"""Draws of z and labels for images, as pure functions of (seed, purpose, number), so that training resumes exactly.

A draw is a global batch, of which each replica takes its own rows: what is drawn does not depend on the number of
replicas.
"""

from collections.abc import Sequence
import enum
import math

import tensorflow as tf


class Purpose(enum.IntEnum):
  """The purpose of a draw; draws for different purposes are independent."""
  TRAINING = 0
  EVALUATION = 1
  STANDING_STATISTICS = 2
  PICTURES = 3


def seed_of(seed: int, purpose: Purpose, *numbers: int | tf.Tensor) -> tf.Tensor:
  """Returns a seed, int64 `[2]`, for TensorFlow's stateless functions; it differs for every sequence of integers."""
  result = tf.constant([seed, int(purpose)], tf.int64)
  for number in numbers:
    result = tf.random.experimental.stateless_fold_in(result, tf.cast(number, tf.int64))
  return result


def draw(seed: tf.Tensor, count: int, z_size: int, num_classes: int, truncation: float | None = None
         ) -> tuple[tf.Tensor, tf.Tensor]:
  """Draws z and labels for images.

  Args:
    seed: as returned by `seed_of`.
    count: the number of images.
    z_size: numbers in each z.
    num_classes: labels are from 0 to `num_classes - 1`, all equally likely.
    truncation: bound of |z|, see `normal`; None for no bound.

  Returns:
    z, float32 `[count, z_size]`, and labels, int32 `[count]`.
  """
  z_seed, label_seed = tf.unstack(tf.random.split(seed))
  labels = tf.random.stateless_uniform([count], label_seed, 0, num_classes, tf.int32)
  return normal(z_seed, [count, z_size], truncation), labels


def normal(seed: tf.Tensor, shape: Sequence[int], truncation: float | None = None) -> tf.Tensor:
  """Returns float32 draws from N(0, 1) or, with a truncation, from N(0, 1) given |z| ≤ truncation.

  The latter is the distribution of BigGAN's truncation trick (Brock, Donahue, Simonyan, 2019, section 3.1), which draws
  values out of range again. Here z = √2·erf⁻¹(u·erf(truncation/√2)) with u uniform in (−1, 1), which a compiled
  function can compute too. For a given seed, z changes continuously with the truncation and so shows its effect.
  """
  if truncation is None:
    return tf.random.stateless_normal(shape, seed)
  u = tf.random.stateless_uniform(shape, seed, -1., 1.)
  # u = −1 occurs once in millions of draws, and 1 − 2⁻²³ is the float before 1: erf⁻¹ must be finite for both.
  bound = min(math.erf(truncation / math.sqrt(2.)), 1. - 2.**-23)
  return tf.clip_by_value(math.sqrt(2.) * tf.math.erfinv(u * bound), -truncation, truncation)


def own_rows(batch: tf.Tensor) -> tf.Tensor:
  """Returns this replica's rows of a global batch."""
  context = tf.distribute.get_replica_context()
  replicas = context.num_replicas_in_sync
  shares = tf.reshape(batch, [replicas, batch.shape[0] // replicas, *batch.shape[1:]])
  return tf.gather(shares, context.replica_id_in_sync_group)
