"""z and labels of generated images as pure functions of (seed, purpose, number), so that a training goes on exactly.

A draw is that of a global batch, of which each replica takes its rows: what is drawn does not depend on how many
replicas there are.
"""

import enum
import math

import tensorflow as tf


class Purpose(enum.IntEnum):
  """What a draw is for; draws of two purposes have nothing in common."""
  TRAINING = 0
  EVALUATION = 1
  STANDING_STATISTICS = 2
  PICTURES = 3


def seed_of(seed: int, purpose: Purpose, *numbers) -> tf.Tensor:
  """Returns a seed `[2]` for the stateless functions, another one for every other sequence of integers."""
  result = tf.constant([seed, int(purpose)], tf.int64)
  for number in numbers:
    result = tf.random.experimental.stateless_fold_in(result, tf.cast(number, tf.int64))
  return result


def draw(seed: tf.Tensor, count: int, z_size: int, num_classes: int, truncation: float | None = None):
  """Returns z, float32 `[count, z_size]`, and labels, int32 `[count]`, each class as likely; `seed` as of `seed_of`."""
  z_seed, label_seed = tf.unstack(tf.random.split(seed))
  labels = tf.random.stateless_uniform([count], label_seed, 0, num_classes, tf.int32)
  return normal(z_seed, [count, z_size], truncation), labels


def normal(seed: tf.Tensor, shape, truncation: float | None = None) -> tf.Tensor:
  """Returns draws of N(0, 1), or of N(0, 1) given |z| ≤ truncation.

  The latter is the distribution of BigGAN's truncation trick (Brock, Donahue, Simonyan, 2019, section 3.1), where a
  value out of range is drawn again. Here z = √2·erf⁻¹(u·erf(truncation/√2)) of a uniform u in (−1, 1), which a compiled
  function can do too; and for one seed z changes continuously with the truncation, which shows what that does.
  """
  if truncation is None:
    return tf.random.stateless_normal(shape, seed)
  u = tf.random.stateless_uniform(shape, seed, -1., 1.)
  # u = −1 comes once in millions, and 1 − 2⁻²³ is the float before 1: erf⁻¹ of both must be finite.
  bound = min(math.erf(truncation / math.sqrt(2.)), 1. - 2.**-23)
  return tf.clip_by_value(math.sqrt(2.) * tf.math.erfinv(u * bound), -truncation, truncation)


def own_rows(batch: tf.Tensor) -> tf.Tensor:
  """Returns this replica's rows of a tensor whose rows are those of a global batch."""
  context = tf.distribute.get_replica_context()
  replicas = context.num_replicas_in_sync
  shares = tf.reshape(batch, [replicas, batch.shape[0] // replicas, *batch.shape[1:]])
  return tf.gather(shares, context.replica_id_in_sync_group)
