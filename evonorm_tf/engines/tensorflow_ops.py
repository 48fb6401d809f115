"""TensorFlow's operations under the names of `keras.ops`, and those that `keras.ops` does not have."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import operator
from typing import Any

import numpy as np
import tensorflow as tf

# As in `keras.ops`.
abs = tf.abs
any = tf.reduce_any
broadcast_to = tf.broadcast_to
cast = tf.cast
clip = tf.clip_by_value
concatenate = tf.concat
cond = tf.cond
convert_to_tensor = tf.convert_to_tensor
divide_no_nan = tf.math.divide_no_nan
exp = tf.exp
isfinite = tf.math.is_finite
log = tf.math.log
logical_or = tf.logical_or
matmul = tf.matmul
maximum = tf.maximum
mean = tf.reduce_mean
minimum = tf.minimum
ones = tf.ones
ones_like = tf.ones_like
repeat = tf.repeat
reshape = tf.reshape
rsqrt = tf.math.rsqrt
shape = tf.shape
sigmoid = tf.sigmoid
sign = tf.sign
sqrt = tf.sqrt
square = tf.square
squared_difference = tf.math.squared_difference
stack = tf.stack
stop_gradient = tf.stop_gradient
sum = tf.reduce_sum
tanh = tf.tanh
unstack = tf.unstack
where = tf.where
zeros = tf.zeros
zeros_like = tf.zeros_like

# Not in `keras.ops`. A function with the decorator returns its value and the function that computes its gradient; the
# divisor is a number of elements, for tensors of a dtype.
custom_gradient = tf.custom_gradient
as_divisor = tf.cast


def convert_to_numpy(x: tf.Tensor) -> np.ndarray:
  """Returns the values of a tensor."""
  return x.numpy()


def dtype_name(x: Any) -> str:
  """Returns the name of the dtype of a tensor or array, such as 'float32'."""
  return tf.as_dtype(x.dtype).name


def rank(x: tf.Tensor) -> int | None:
  """Returns the number of axes, None if it is unknown."""
  return x.shape.rank


def axes_size(x: tf.Tensor, first: int, last: int) -> tf.Tensor:
  """Returns the product of the sizes of the axes from `first` to before `last`, a scalar."""
  return tf.reduce_prod(tf.shape(x)[first:last])


def sizes(x: tf.Tensor) -> list[tf.Tensor | int]:
  """Returns the size of each axis, a scalar; a number if it is known."""
  if x.shape.is_fully_defined():
    return x.shape.as_list()
  return [size if known is None else known for known, size in zip(x.shape, tf.unstack(tf.shape(x)))]


def on_cpu() -> bool:
  """Returns whether TensorFlow sees neither a GPU nor a TPU.

  On a CPU, some sums are computed as matrix products, which are faster there; accelerators may round such products
  coarsely.
  """
  return not (tf.config.list_physical_devices('GPU') or tf.config.list_physical_devices('TPU'))


def sum_rows(x: tf.Tensor) -> tf.Tensor:
  """Returns the sums over the second axis: [N, rows, C] -> [N, 1, C]."""
  if not on_cpu():
    return tf.reduce_sum(x, 1, keepdims=True)
  samples, rows, _ = sizes(x)
  return tf.matmul(tf.ones([samples, 1, rows], x.dtype), x)


def sum_samples(x: tf.Tensor) -> tf.Tensor:
  """Returns the sums over the first axis: [N, ...] -> [1, ...]."""
  if not on_cpu():
    return tf.reduce_sum(x, 0, keepdims=True)
  # For a product of two matrices, XLA has a routine; for a sum or one with a vector it would compile three loops.
  samples, *others = sizes(x)
  columns = functools.reduce(operator.mul, others)
  sums = tf.matmul(tf.ones([2, samples], x.dtype), tf.reshape(x, [samples, columns]))
  return tf.reshape(sums[:1], [1, *others])


def mean_columns(x: tf.Tensor, size: int) -> tf.Tensor:
  """Returns the means of each `size` neighbouring columns of a matrix: [N, columns] -> [N, columns / size]."""
  if not on_cpu():
    return tf.reduce_mean(tf.reshape(x, [-1, x.shape[-1] // size, size]), -1)
  return tf.matmul(x, _repetition(x.shape[-1] // size, size, x.dtype, 1 / size), transpose_b=True)


def repeat_columns(x: tf.Tensor, times: int) -> tf.Tensor:
  """Returns a matrix with each column repeated: [N, columns] -> [N, columns · times]."""
  if not on_cpu():
    return tf.repeat(x, times, axis=-1)
  # XLA would repeat an indexing of channels wherever it is needed; it computes a product once.
  return tf.matmul(x, _repetition(x.shape[-1], times, x.dtype))


def _repetition(columns: int, times: int, dtype: tf.DType, factor: float = 1.) -> tf.Tensor:
  """Returns the matrix with which a product repeats columns and scales them: [columns, columns · times]."""
  return tf.constant(factor * np.repeat(np.eye(columns), times, axis=1), dtype)


def sum_over_replicas(tensors: list[tf.Tensor], synchronized: bool) -> list[tf.Tensor]:
  """Returns the sum of each tensor over all replicas of the tf.distribute strategy; the tensors if not synchronized."""
  context = tf.distribute.get_replica_context()
  if not synchronized or context is None or context.num_replicas_in_sync == 1:
    return tensors
  return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def zero_unless(condition: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """Returns x where the condition holds and 0 elsewhere; both tensors have the same shape.

  On a CPU, the operation `Select` takes a quarter of the time of `SelectV2`, which `tf.where` and the gradient of
  `tf.maximum` use. That shortens the training step of a layer with a maximum by a fifth. Elsewhere its zeros would only
  take up memory, as a constant of the size of x.
  """
  if not on_cpu():
    return tf.where(condition, x, tf.zeros([], x.dtype))
  return tf.raw_ops.Select(condition=condition, x=x, y=tf.zeros_like(x))


def select(condition: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
  """Returns x where the condition holds and y elsewhere; all tensors have the same shape. See `zero_unless`."""
  return tf.raw_ops.Select(condition=condition, x=x, y=y)


@tf.custom_gradient
def first_maximum(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
  """Returns max(x, y), elementwise; where the two are equal, the gradient goes to x.

  Args:
    x, y: tensors of one dtype that broadcast against each other.
  """

  def gradient(dy: tf.Tensor) -> Sequence[tf.Tensor]:
    is_x = x >= y
    gradients = zero_unless(is_x, dy), zero_unless(tf.logical_not(is_x), dy)
    if x.shape == y.shape:
      return gradients
    shapes = tf.shape(x), tf.shape(y)
    broadcast_axes = tf.raw_ops.BroadcastGradientArgs(s0=shapes[0], s1=shapes[1])
    return [tf.reshape(tf.reduce_sum(g, axes), shape) for g, axes, shape in zip(gradients, broadcast_axes, shapes)]

  return tf.maximum(x, y), gradient


def standardize(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, beta: tf.Tensor | None, gamma: tf.Tensor | None,
                epsilon: float) -> tf.Tensor:
  """Returns (x − mean) / √(variance + ε) · γ + β; None for γ or β leaves it out."""
  return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)


def traced_once(function: Callable) -> Callable:
  """Returns the function with the same values, traced once for all calls with arguments of one shape."""
  return tf.function(function, autograph=False)


def num_replicas() -> int:
  """Returns the number of replicas of the tf.distribute strategy, each of which has its own part of a batch."""
  return tf.distribute.get_strategy().num_replicas_in_sync
