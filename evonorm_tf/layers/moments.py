"""Moments over the paper's index sets in TensorFlow: b,w,h; w,h,c; w,h; and w,h,c/g (paper sections 2 and 3).

Inputs are float32 or float64, because sums in float16 or bfloat16 lose most of their digits. Every moment keeps its
averaged axes with size 1, so that it broadcasts against x of shape [N, ..., C]. All axes of x may have size 1 (a
constant of the layer, or another moment): averaging over such an axis leaves the value as it is.

A position is one place of the spatial axes. The functions on positions take tensors of shape [N, positions, C].

A mask is boolean, [N, ..., 1] with all positions of the layer's input, and True where a position counts. With a mask,
moments are over the positions that it keeps; a tensor that is constant over positions counts once for each of them. The
mean of nothing is 0.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math

import numpy as np
import tensorflow as tf

from evonorm_tf.graph import primitives


def average(x: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False, mask: tf.Tensor | None = None
            ) -> tf.Tensor:
  """Returns μ(x), the mean of x over an index set.

  Args:
    x: a tensor [N, ..., C], float32 or float64.
    axes: the index set, one of `primitives.INDEX_SETS`.
    groups: the number of channel groups, used with `primitives.GROUP` (default 1). If it does not divide C, the largest
      smaller number that does is used.
    synchronized: whether to average over the global batch, of all replicas of the tf.distribute strategy, with
      `primitives.BATCH` (default False: each replica's own part).
    mask: the positions to average over, boolean [N, ..., 1]; None (default) for all.

  Returns:
    [N, 1, ..., 1, C] over `INSTANCE` and `GROUP` (each channel holds its group's value), [N, 1, ..., 1] over `LAYER`,
    [1, ..., 1, C] over `BATCH`.
  """
  if mask is None:
    spatial_mean = mean_over_positions(x)
  else:
    sums, counts = _kept_sums(x, mask)
    if axes == primitives.BATCH:
      totals = [tf.reduce_sum(t, 0, keepdims=True) for t in (sums, counts)]
      return tf.math.divide_no_nan(*sum_over_replicas(totals, synchronized))
    spatial_mean = tf.math.divide_no_nan(sums, counts)
  if axes == primitives.INSTANCE:
    return spatial_mean
  if axes == primitives.LAYER:
    return tf.reduce_mean(spatial_mean, -1, keepdims=True)
  if axes == primitives.GROUP:
    return _group_mean(spatial_mean, groups)
  return mean_over_samples(spatial_mean, synchronized)


def variance(x: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False, mask: tf.Tensor | None = None
             ) -> tf.Tensor:
  """Returns s²(x), the biased variance of x over an index set; its gradient keeps only x and statistics.

  Args:
    x: a tensor [N, ..., C], float32 or float64.
    axes: the index set, one of `primitives.INDEX_SETS`.
    groups: the number of channel groups, used with `primitives.GROUP` (default 1).
    synchronized: whether the batch is the global one, over all replicas, with `primitives.BATCH` (default False).
    mask: the positions to average over, boolean [N, ..., 1]; None (default) for all.

  Returns:
    A tensor of the shape that `average` returns for this index set.
  """
  if mask is None:
    return total_variance(*_spatial_moments(x), axes, groups, synchronized)
  kept = tf.where(mask, x, 0.)
  return average(tf.square(kept - average(kept, axes, groups, synchronized, mask)), axes, groups, synchronized, mask)


def total_variance(mean: tf.Tensor, variance: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False,
                   mask: tf.Tensor | None = None) -> tf.Tensor:
  """Returns s² over an index set, from the mean and the biased variance over positions.

  It is the mean of the variances plus the variance of the means (law of total variance).

  Args:
    mean, variance: the moments over the spatial axes, [N, 1, ..., 1, C] each.
    axes: the index set, one of `primitives.INDEX_SETS`.
    groups: the number of channel groups, used with `primitives.GROUP` (default 1).
    synchronized: whether the batch is the global one, over all replicas, with `primitives.BATCH` (default False).
    mask: the positions to average over, boolean [N, ..., 1]; it weights each sample by the positions that it keeps.
      None (default) for all.

  Returns:
    A tensor of the shape that `average` returns for this index set.
  """
  if axes == primitives.INSTANCE or axes == primitives.GROUP and groups >= mean.shape[-1]:
    return variance  # the means differ from themselves by 0, for which TFLite's int8 kernels have no scale: they abort
  total_mean = average(mean, axes, groups, synchronized, mask)
  return average(variance + tf.square(mean - total_mean), axes, groups, synchronized, mask)


def mean_of_squares(x: tf.Tensor, axes: str, groups: int = 1, synchronized: bool = False, mask: tf.Tensor | None = None
                    ) -> tf.Tensor:
  """Returns μ(x²), the mean of x² over an index set.

  Args:
    x: a tensor [N, ..., C], float32 or float64.
    axes: the index set, one of `primitives.INDEX_SETS`.
    groups: the number of channel groups, used with `primitives.GROUP` (default 1).
    synchronized: whether the batch is the global one, over all replicas, with `primitives.BATCH` (default False).
    mask: the positions to average over, boolean [N, ..., 1]; None (default) for all.

  Returns:
    A tensor of the shape that `average` returns for this index set.
  """
  x = x if mask is None else tf.where(mask, x, 0.)
  return average(tf.square(x), axes, groups, synchronized, mask)


def mean_over_positions(x: tf.Tensor) -> tf.Tensor:
  """Returns the mean over the spatial axes, 0 if there are no positions: [N, ..., C] -> [N, 1, ..., 1, C].

  Args:
    x: a floating tensor [N, ..., C] of rank 2 or more; at rank 2, which has no spatial axes, it is returned as it is.
  """
  if x.shape.rank == 2:
    return x
  mean = tf.reduce_mean(x, range(1, x.shape.rank - 1), keepdims=True)
  if all(x.shape[1:-1]):  # sizes that are known and not 0
    return mean
  return tf.where(tf.reduce_prod(tf.shape(x)[1:-1]) > 0, mean, 0.)


def mean_over_samples(spatial_mean: tf.Tensor, synchronized: bool) -> tf.Tensor:
  """Returns the mean over the samples, 0 if there are none: [N, 1, ..., 1, C] -> [1, ..., 1, C].

  Args:
    spatial_mean: one value for each sample and channel, such as those of `mean_over_positions`.
    synchronized: whether the samples are those of all replicas of the tf.distribute strategy, or this replica's alone.
  """
  # Sums and counts, not means: the replicas' shares of the last batch can differ, and some can be empty.
  total = tf.reduce_sum(spatial_mean, 0, keepdims=True)
  count = tf.cast(tf.shape(spatial_mean)[0], total.dtype)
  return tf.math.divide_no_nan(*sum_over_replicas([total, count], synchronized))


def is_observed(x: tf.Tensor, synchronized: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
  """Returns whether a batch holds any position, a boolean scalar; if not, no moving average may move.

  Args:
    x: the batch, [N, ..., C].
    synchronized: whether the batch is that of all replicas of the tf.distribute strategy, or this replica's alone.
    mask: the positions that count, boolean [N, ..., 1]; None (default) for all.
  """
  observed = tf.reduce_prod(tf.shape(x)[:-1]) > 0 if mask is None else tf.reduce_any(mask)
  return sum_over_replicas([tf.cast(observed, tf.float32)], synchronized)[0] > 0.


def sum_over_replicas(tensors: list[tf.Tensor], synchronized: bool) -> list[tf.Tensor]:
  """Returns the sum of each tensor over all replicas of the tf.distribute strategy; the tensors if not synchronized."""
  context = tf.distribute.get_replica_context()
  if not synchronized or context is None or context.num_replicas_in_sync == 1:
    return tensors
  return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def flatten_positions(x: tf.Tensor) -> tf.Tensor:
  """Returns x with all spatial axes joined to one, [N, positions, C]; static sizes are kept where they are known.

  Args:
    x: a tensor [N, ..., C].
  """
  positions = x.shape[1:-1]
  count = math.prod(positions) if positions.is_fully_defined() else tf.reduce_prod(tf.shape(x)[1:-1])
  return tf.reshape(x, [tf.shape(x)[0] if x.shape[0] is None else x.shape[0], count, x.shape[-1]])


def position_sums(terms: Callable[..., list[tf.Tensor]], tensors: Sequence[tf.Tensor], slices: int = 1
                  ) -> list[tf.Tensor]:
  """Returns the sums over positions of each tensor that `terms(*tensors)` returns.

  Args:
    terms: a function of the tensors that works elementwise, for any number of positions, and returns a list of tensors
      of their shape.
    tensors: the arguments of `terms`, [N, positions, C] each.
    slices: the number of slices into which the positions are cut (default 1: no slices). If it does not divide the
      number of positions, the largest smaller number that does is used. The slices of all terms are first added up
      elementwise. On a CPU, XLA makes a single loop of that, in which a sample's data stay in the cache; sums over an
      axis would become one slower loop each.

  Returns:
    One tensor of [N, 1, C] for each term.
  """
  count, channels = tensors[0].shape[1:]
  slices = primitives.largest_divisor(count, slices) if count else 1  # the count can be unknown, or 0
  if slices == 1:
    return [_sum_rows(term) for term in terms(*tensors)]
  sliced = (tf.unstack(tf.reshape(t, [-1, slices, count // slices, channels]), axis=1) for t in tensors)
  totals = [functools.reduce(tf.add, parts) for parts in zip(*(terms(*parts) for parts in zip(*sliced)))]
  rows = tf.reshape(tf.concat(totals, 1), [-1, count // slices, channels])
  return tf.unstack(tf.reshape(_sum_rows(rows), [-1, len(totals), 1, channels]), axis=1)


def sum_position_moments(x: tf.Tensor, slices: int = 1) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the mean and the biased variance of x over positions, [N, 1, C] each.

  Args:
    x: a tensor [N, positions, C].
    slices: the number of slices into which the positions are cut (default 1); see `position_sums`.
  """
  if x.shape[1] == 1:
    return x, tf.zeros_like(x)
  count = tf.cast(tf.maximum(tf.shape(x)[1], 1), x.dtype)  # the moments of no positions are 0, not NaN
  slices = primitives.largest_divisor(x.shape[1], slices) if x.shape[1] else 1
  if slices == 1:
    # In two passes: E[x²] − E[x]² loses all digits where the mean is large against the deviation.
    mean = _sum_rows(x) / count
    return mean, _sum_rows(tf.math.squared_difference(x, mean)) / count
  # In one pass, as deviations from the mean of the first slice. That is a part of the data, and so at most
  # √(slices − 1) standard deviations from the mean, and E[d²] − E[d]² stays exact but for a factor of `slices`.
  part = x.shape[1] // slices
  pilot = _sum_rows(x[:, :part]) / part
  deviation, square = position_sums(lambda x: [x - pilot, tf.math.squared_difference(x, pilot)], [x], slices)
  deviation /= count
  return pilot + deviation, tf.maximum(square / count - tf.square(deviation), 0.)


def as_position_moments(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns `mean` and `variance` unchanged, with the gradient with respect to x that they have as its moments.

  Args:
    x: a tensor [N, positions, C].
    mean, variance: the mean and the biased variance of x over positions, [N, 1, C] each.
  """

  @tf.custom_gradient
  def with_gradient(x):
    return (tf.identity(mean), tf.identity(variance)), lambda *gradients: tf.cast(position_moments_gradient(
        tf.cast(x, mean.dtype), as_position_moments(x, mean, variance)[0], *gradients), x.dtype)

  return with_gradient(x)


def position_moments_gradient(x: tf.Tensor, mean: tf.Tensor, mean_gradient: tf.Tensor, variance_gradient: tf.Tensor
                              ) -> tf.Tensor:
  """Returns the gradient with respect to x, given the gradients with respect to x's mean and variance over positions.

  Args:
    x: a tensor [N, ..., C].
    mean: its mean over positions, [N, 1, ..., 1, C].
    mean_gradient, variance_gradient: the gradients with respect to the mean and the biased variance, of the mean's
      shape.
  """
  count = tf.cast(tf.maximum(tf.reduce_prod(tf.shape(x)[1:-1]), 1), x.dtype)
  return (x - mean) * (variance_gradient * (2. / count)) + mean_gradient / count


def _sum_rows(x: tf.Tensor) -> tf.Tensor:
  """Returns the sums over the second axis: [N, rows, C] -> [N, 1, C]."""
  if not on_cpu():
    return tf.reduce_sum(x, 1, keepdims=True)
  return tf.matmul(tf.ones([tf.shape(x)[0], 1, tf.shape(x)[1]], x.dtype), x)


def on_cpu() -> bool:
  """Returns whether TensorFlow sees neither a GPU nor a TPU.

  On a CPU, some sums are computed as matrix products, which are faster there; accelerators may round such products
  coarsely.
  """
  return not (tf.config.list_physical_devices('GPU') or tf.config.list_physical_devices('TPU'))


@tf.custom_gradient
def _spatial_moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns mean and variance over the spatial axes, [N, 1, ..., 1, C]; the gradient keeps only x."""
  mean = mean_over_positions(x)
  # The gradient computes the mean again, as a function of x, so that it can be differentiated in turn.
  return (mean, mean_over_positions(tf.math.squared_difference(x, mean))), lambda *gradients: position_moments_gradient(
      x, mean_over_positions(x), *gradients)


def _kept_sums(x: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the sum of x over the positions that are kept, [N, 1, ..., 1, C], and their number, [N, 1, ..., 1]."""
  spatial = range(1, mask.shape.rank - 1)
  return (tf.reduce_sum(tf.where(mask, x, 0.), spatial, keepdims=True),
          tf.reduce_sum(tf.cast(mask, x.dtype), spatial, keepdims=True))


def _group_mean(spatial_mean: tf.Tensor, groups: int) -> tf.Tensor:
  """Returns the mean over each channel's group: [N, 1, ..., 1, C] -> [N, 1, ..., 1, C]."""
  channels = spatial_mean.shape[-1]
  groups = primitives.largest_divisor(channels, groups)
  if groups == channels:
    return spatial_mean
  mean = tf.reduce_mean(tf.reshape(spatial_mean, [-1, groups, channels // groups]), -1)
  if on_cpu():  # XLA would repeat an indexing of channels wherever it is needed; it computes a product once
    members = np.repeat(np.eye(groups), channels // groups, axis=1)
    mean = tf.matmul(mean, tf.constant(members, mean.dtype))
  else:
    mean = tf.repeat(mean, channels // groups, axis=-1)
  return tf.reshape(mean, tf.shape(spatial_mean))
