"""Moments over the paper's index sets: b,w,h; w,h,c; w,h; and w,h,c/g.

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
import operator

from evonorm_tf.engines.dispatch import form_for
from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives

# The numbers of slices of the positions in sums that XLA compiles for a CPU, in the forward and in the backward pass,
# whose terms take longer to compile; see `position_sums`.
FORWARD_SLICES, BACKWARD_SLICES = 16, 8


def average(x: Tensor, axes: str, groups: int = 1, synchronized: bool = False, mask: Tensor | None = None
            ) -> Tensor:
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
  if axes in primitives.REGISTERED_INDEX_SETS:
    return _users_average(x, primitives.REGISTERED_INDEX_SETS[axes], groups, mask)
  if mask is None:
    spatial_mean = mean_over_positions(x)
  else:
    ops = ops_of(x)
    sums, counts = _kept_sums(x, mask)
    if axes == primitives.BATCH:
      totals = [ops.sum(t, 0, keepdims=True) for t in (sums, counts)]
      return ops.divide_no_nan(*ops.sum_over_replicas(totals, synchronized))
    spatial_mean = ops.divide_no_nan(sums, counts)
  if axes == primitives.INSTANCE:
    return spatial_mean
  if axes == primitives.LAYER:
    return ops_of(x).mean(spatial_mean, -1, keepdims=True)
  if axes == primitives.GROUP:
    return _group_mean(spatial_mean, groups)
  return mean_over_samples(spatial_mean, synchronized)


def variance(x: Tensor, axes: str, groups: int = 1, synchronized: bool = False, mask: Tensor | None = None
             ) -> Tensor:
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
  if mask is None and axes in primitives.INDEX_SETS:
    return total_variance(*_spatial_moments(x), axes, groups, synchronized)
  if mask is None:
    return average(ops_of(x).square(x - average(x, axes, groups)), axes, groups)
  ops = ops_of(x)
  kept = ops.where(mask, x, 0.)
  return average(ops.square(kept - average(kept, axes, groups, synchronized, mask)), axes, groups, synchronized, mask)


def total_variance(mean: Tensor, variance: Tensor, axes: str, groups: int = 1, synchronized: bool = False,
                   mask: Tensor | None = None) -> Tensor:
  """Returns s² over an index set, from the mean and the biased variance over positions; see `total_moments`."""
  return total_moments(mean, variance, axes, groups, synchronized, mask)[0]


def total_moments(mean: Tensor, variance: Tensor, axes: str, groups: int = 1, synchronized: bool = False,
                  mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
  """Returns s² and μ over an index set, from the mean and the biased variance over positions.

  s² is the mean of the variances plus the variance of the means (law of total variance).

  Args:
    mean, variance: the moments over the spatial axes, [N, 1, ..., 1, C] each.
    axes: the index set, one of `primitives.INDEX_SETS`.
    groups: the number of channel groups, used with `primitives.GROUP` (default 1).
    synchronized: whether the batch is the global one, over all replicas, with `primitives.BATCH` (default False).
    mask: the positions to average over, boolean [N, ..., 1]; it weights each sample by the positions that it keeps.
      None (default) for all.

  Returns:
    Two tensors of the shape that `average` returns for this index set.
  """
  if axes == primitives.INSTANCE or axes == primitives.GROUP and groups >= mean.shape[-1]:
    # The means differ from themselves by 0, for which TFLite's int8 kernels have no scale: they abort.
    return variance, mean
  total_mean = average(mean, axes, groups, synchronized, mask)
  squares = variance + ops_of(mean).square(mean - total_mean)
  return average(squares, axes, groups, synchronized, mask), total_mean


def mean_of_squares(x: Tensor, axes: str, groups: int = 1, synchronized: bool = False, mask: Tensor | None = None
                    ) -> Tensor:
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
  ops = ops_of(x)
  x = x if mask is None else ops.where(mask, x, 0.)
  return average(ops.square(x), axes, groups, synchronized, mask)


def _users_average(x: Tensor, index_set: primitives.IndexSet, groups: int, mask: Tensor | None) -> Tensor:
  """Returns the mean over an index set that a user has added."""
  if mask is not None:
    raise ArgumentError(f'a mask: the index set {index_set.name!r} of your own does not take one.')
  mean = form_for(x, index_set.name, index_set.tensorflow_average, index_set.keras_average)
  return mean(x, groups)


def mean_over_positions(x: Tensor) -> Tensor:
  """Returns the mean over the spatial axes, 0 if there are no positions: [N, ..., C] -> [N, 1, ..., 1, C].

  Args:
    x: a floating tensor [N, ..., C] of rank 2 or more; with one position or none, at rank 2, it is returned as it is.
  """
  ops = ops_of(x)
  if len(x.shape) == 2 or all(size == 1 for size in x.shape[1:-1]):
    return x
  mean = ops.mean(x, tuple(range(1, len(x.shape) - 1)), keepdims=True)
  if all(x.shape[1:-1]):  # sizes that are known and not 0
    return mean
  return ops.where(ops.axes_size(x, 1, -1) > 0, mean, 0.)


def mean_over_samples(spatial_mean: Tensor, synchronized: bool) -> Tensor:
  """Returns the mean over the samples, 0 if there are none: [N, 1, ..., 1, C] -> [1, ..., 1, C].

  Args:
    spatial_mean: one value for each sample and channel, such as those of `mean_over_positions`.
    synchronized: whether the samples are those of all replicas of the tf.distribute strategy, or this replica's alone.
  """
  # Sums and counts, not means: the replicas' shares of the last batch can differ, and some can be empty.
  ops = ops_of(spatial_mean)
  total = ops.sum_samples(spatial_mean)
  count = ops.as_divisor(ops.axes_size(spatial_mean, 0, 1), total.dtype)
  return ops.divide_no_nan(*ops.sum_over_replicas([total, count], synchronized))


def count_positions(x: Tensor) -> Tensor | float:
  """Returns the number of positions of each sample as a divisor: of no positions 1, and sums of nothing stay 0.

  Args:
    x: a tensor [N, ..., C].
  """
  ops, count = ops_of(x), _product(ops_of(x).sizes(x)[1:-1])
  return max(count, 1) * 1. if isinstance(count, int) else ops.as_divisor(ops.maximum(count, 1), x.dtype)


def is_observed(x: Tensor, synchronized: bool, mask: Tensor | None = None) -> Tensor | bool:
  """Returns whether a batch holds any position, a boolean scalar, or True if that is known; if not, no moving average
  may move.

  Args:
    x: the batch, [N, ..., C].
    synchronized: whether the batch is that of all replicas of the tf.distribute strategy, or this replica's alone.
    mask: the positions that count, boolean [N, ..., 1]; None (default) for all.
  """
  if mask is None and not synchronized and all(x.shape[:-1]):  # sizes that are known and not 0
    return True
  ops = ops_of(x)
  observed = ops.axes_size(x, 0, -1) > 0 if mask is None else ops.any(mask)
  return ops.sum_over_replicas([ops.as_divisor(observed, 'float32')], synchronized)[0] > 0.


def flatten_positions(x: Tensor) -> Tensor:
  """Returns x with all spatial axes joined to one, [N, positions, C]; static sizes are kept where they are known.

  Args:
    x: a tensor [N, ..., C].
  """
  if len(x.shape) == 3:
    return x
  ops = ops_of(x)
  sizes = ops.sizes(x)
  return ops.reshape(x, [sizes[0], _product(sizes[1:-1]), sizes[-1]])


def position_sums(terms: Callable[..., list[Tensor]], tensors: Sequence[Tensor], slices: int = 1
                  ) -> list[Tensor]:
  """Returns the sums over positions of each tensor that `terms(*tensors)` returns.

  Args:
    terms: a function of the tensors that works elementwise, for any number of positions, and returns a list of tensors
      of their shape.
    tensors: the arguments of `terms`, [N, positions, C] each.
    slices: the number of slices into which the positions are cut (default 1: no slices). If it does not divide the
      number of positions, the largest smaller number that does is used; where that number is not known yet, as in
      a traced function of TensorFlow, `slices` must divide it. The slices of all terms are first added up
      elementwise. On a CPU, XLA makes a single loop of that, in which a sample's data stay in the cache; sums over an
      axis would become one slower loop each.

  Returns:
    One tensor of [N, 1, C] for each term.
  """
  ops, slices = ops_of(tensors[0]), _divisor(tensors[0], slices)
  if slices == 1:
    return [ops.sum_rows(term) for term in terms(*tensors)]
  sliced, terms = (ops.unstack(_cut(t, slices), axis=1) for t in tensors), ops.traced_once(terms)
  totals = [functools.reduce(operator.add, parts) for parts in zip(*(terms(*parts) for parts in zip(*sliced)))]
  samples, part, channels = ops.sizes(totals[0])
  rows = ops.reshape(ops.concatenate(totals, 1), [samples * len(totals), part, channels])
  return ops.unstack(ops.reshape(ops.sum_rows(rows), [samples, len(totals), 1, channels]), axis=1)


def sum_position_moments(x: Tensor, slices: int = 1) -> tuple[Tensor, Tensor]:
  """Returns the mean and the biased variance of x over positions, [N, 1, C] each.

  Args:
    x: a tensor [N, positions, C].
    slices: the number of slices into which the positions are cut (default 1); see `position_sums`.
  """
  ops = ops_of(x)
  if x.shape[1] == 1:
    return x, ops.zeros_like(x)
  count = count_positions(x)
  slices = _divisor(x, slices)
  if slices == 1:
    # In two passes: E[x²] − E[x]² loses all digits where the mean is large against the deviation.
    mean = ops.sum_rows(x) / count
    return mean, ops.sum_rows(ops.squared_difference(x, mean)) / count
  # In one pass, as deviations from the mean of the first slice. That is a part of the data, and so at most
  # √(slices − 1) standard deviations from the mean, and E[d²] − E[d]² stays exact but for a factor of `slices`.
  pilot = ops.sum(_cut(x, slices)[:, 0], 1, keepdims=True) / (count / slices)
  deviation, square = position_sums(lambda x: [x - pilot, ops.squared_difference(x, pilot)], [x], slices)
  deviation /= count
  return pilot + deviation, ops.maximum(square / count - ops.square(deviation), 0.)


def position_moments_gradient(x: Tensor, mean: Tensor, mean_gradient: Tensor, variance_gradient: Tensor
                              ) -> Tensor:
  """Returns the gradient with respect to x, given the gradients with respect to x's mean and variance over positions.

  Args:
    x: a tensor [N, ..., C].
    mean: its mean over positions, [N, 1, ..., 1, C].
    mean_gradient, variance_gradient: the gradients with respect to the mean and the biased variance, of the mean's
      shape.
  """
  count = count_positions(x)
  return (x - mean) * (variance_gradient * (2. / count)) + mean_gradient / count


def _product(sizes):
  return functools.reduce(operator.mul, sizes, 1)


def _divisor(x: Tensor, slices: int) -> int:
  """Returns the number of slices into which the positions of x, [N, positions, C], are cut; see `position_sums`."""
  count = x.shape[1]
  if count is None or slices == 1:
    return slices
  return primitives.largest_divisor(count, slices) if count else 1


def _cut(x: Tensor, slices: int) -> Tensor:
  """Returns x with its positions cut into slices: [N, positions, C] -> [N, slices, positions / slices, C]."""
  ops = ops_of(x)
  samples, count, channels = ops.sizes(x)
  return ops.reshape(x, [samples, slices, count // slices, channels])


def _spatial_moments(x: Tensor) -> tuple[Tensor, Tensor]:
  """Returns mean and variance over the spatial axes, [N, 1, ..., 1, C]; in TensorFlow the gradient keeps only x."""
  ops = ops_of(x)

  @ops.custom_gradient
  def with_gradient(x):
    mean = mean_over_positions(x)
    # The gradient computes the mean again, as a function of x, so that it can be differentiated in turn.
    return (mean, mean_over_positions(ops.squared_difference(x, mean))), lambda *gradients: position_moments_gradient(
        x, mean_over_positions(x), *gradients)

  return with_gradient(x)


def _kept_sums(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
  """Returns the sum of x over the positions that are kept, [N, 1, ..., 1, C], and their number, [N, 1, ..., 1]."""
  ops = ops_of(x)
  spatial = tuple(range(1, len(mask.shape) - 1))
  return (ops.sum(ops.where(mask, x, 0.), spatial, keepdims=True),
          ops.sum(ops.cast(mask, x.dtype), spatial, keepdims=True))


def _group_mean(spatial_mean: Tensor, groups: int) -> Tensor:
  """Returns the mean over each channel's group: [N, 1, ..., 1, C] -> [N, 1, ..., 1, C]."""
  ops = ops_of(spatial_mean)
  channels = spatial_mean.shape[-1]
  groups = primitives.largest_divisor(channels, groups)
  if groups == channels:
    return spatial_mean
  columns = ops.reshape(spatial_mean, [-1, channels])
  mean = ops.mean_columns(columns, channels // groups)
  return ops.reshape(ops.repeat_columns(mean, channels // groups), ops.shape(spatial_mean))
