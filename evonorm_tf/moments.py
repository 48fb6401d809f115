"""Moments over the paper's index sets: the sample alone, its channel groups, or the batch (paper section 2).

Callers pass float32 (or float64): float16 and bfloat16 lose the sums that statistics are made of.
Every moment keeps its averaged axes, so that it broadcasts against x of shape [N, ..., C]. All axes of x may have
size 1 (a constant of the layer, or another moment): averaging over such an axis leaves the value as it is.
"""

import tensorflow as tf

from evonorm_tf import primitives


def average(x: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False) -> tf.Tensor:
  """Returns the mean of x over an index set.

  Args:
    x: [N, ..., C], float32 or float64.
    axes: one of `primitives.INDEX_SETS`.
    groups: the number of channel groups of `primitives.GROUP`; where it does not divide C, the largest divisor below.
    synchronized: whether the batch is the global one, over all replicas of the tf.distribute strategy.

  Returns:
    [N, 1, ..., 1, C] over `INSTANCE` and `GROUP` (each channel holding its group's mean), [N, 1, ..., 1] over `LAYER`,
    [1, ..., 1, C] over `BATCH`.
  """
  spatial_mean = _spatial_mean(x)
  if axes == primitives.INSTANCE:
    return spatial_mean
  if axes == primitives.LAYER:
    return tf.reduce_mean(spatial_mean, -1, keepdims=True)
  if axes == primitives.GROUP:
    return _group_mean(spatial_mean, groups)
  return _batch_mean(spatial_mean, synchronized)


def variance(x: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False) -> tf.Tensor:
  """Returns s², the biased variance of x over an index set; arguments and shape as `average`.

  In two passes: E[x²] − E[x]² loses all digits where the mean is large against the deviation.
  """
  mean = average(x, axes, groups, synchronized)
  return average(tf.square(x - mean), axes, groups, synchronized)


def mean_of_squares(x: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False) -> tf.Tensor:
  """Returns μ(x²) over an index set; arguments and shape as `average`."""
  return average(tf.square(x), axes, groups, synchronized)


def _spatial_mean(x: tf.Tensor) -> tf.Tensor:
  """[N, ..., C] -> [N, 1, ..., 1, C]."""
  return x if x.shape.rank == 2 else tf.reduce_mean(x, range(1, x.shape.rank - 1), keepdims=True)


def _group_mean(spatial_mean: tf.Tensor, groups: int) -> tf.Tensor:
  """[N, 1, ..., 1, C] -> the same shape, each channel holding the mean over its group."""
  channels = spatial_mean.shape[-1]
  groups = primitives.largest_divisor(channels, groups)
  grouped = tf.reshape(spatial_mean, [-1, groups, channels // groups])
  mean = tf.reduce_mean(grouped, -1, keepdims=True)
  return tf.reshape(tf.broadcast_to(mean, tf.shape(grouped)), tf.shape(spatial_mean))


def _batch_mean(spatial_mean: tf.Tensor, synchronized: bool) -> tf.Tensor:
  """[N, 1, ..., 1, C] -> [1, ..., 1, C], over the global batch if `synchronized`; 0 of an empty batch."""
  # Sums and counts, not means: the replicas' shares of a last batch can differ, and be empty.
  total = tf.reduce_sum(spatial_mean, 0, keepdims=True)
  count = tf.cast(tf.shape(spatial_mean)[0], total.dtype)
  replica_context = tf.distribute.get_replica_context()
  if synchronized and replica_context is not None and replica_context.num_replicas_in_sync > 1:
    total, count = replica_context.all_reduce(tf.distribute.ReduceOp.SUM, [total, count])
  return tf.math.divide_no_nan(total, count)
