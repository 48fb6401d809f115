"""`keras.ops` for tensors of JAX and PyTorch, and what it does not have; see `tensorflow_ops` for the meaning of names.

Shapes are known here, and engines differentiate functions themselves.
"""

import builtins
from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import Any

import keras
from keras import ops
from keras.ops import *  # noqa: F403  the operations by their own names

from evonorm_tf.engines.dispatch import Tensor

if keras.backend.backend() == 'jax':
  import jax.numpy as engine
else:
  import torch as engine

# The functions of `keras.ops` with the names of these and those to `divide_no_nan` compute float64 in float32, on one
# engine or both.
tanh, clip = engine.tanh, engine.clip


def maximum(x: Tensor | int, y: Tensor | float) -> Tensor | int:
  """Returns the elementwise maximum of tensors, or of a tensor and a number; of sizes, which are numbers, theirs."""
  if not ops.is_tensor(x):
    return builtins.max(x, y)
  return engine.maximum(x, y) if ops.is_tensor(y) else engine.clip(x, min=y)


def minimum(x: Tensor, y: Tensor | float) -> Tensor:
  """Returns the elementwise minimum of tensors, or of a tensor and a number."""
  return engine.minimum(x, y) if ops.is_tensor(y) else engine.clip(x, max=y)


def mean(x: Tensor, axis: int | Sequence[int], keepdims: bool = False) -> Tensor:
  """Returns the mean over axes."""
  axes = (axis,) if isinstance(axis, int) else axis
  count = 1
  for a in axes:  # `torch.compile` cannot trace a generator
    count = count * x.shape[a]
  return ops.sum(x, axis, keepdims=keepdims) / count


def divide_no_nan(x: Tensor, y: Tensor | float) -> Tensor:
  """Returns x / y, elementwise, and 0 where y is 0."""
  if not ops.is_tensor(y):
    return x / y if y else ops.zeros_like(x)
  is_zero = y == 0
  return zero_unless(~is_zero, x / ops.where(is_zero, ops.ones_like(y), y))


def custom_gradient(function: Callable) -> Callable:
  """Returns the function without the gradient that it returns beside its value: the engine finds that itself."""
  return lambda *args: function(*args)[0]


def dtype_name(x: Any) -> str:
  """Returns the name of the dtype of a tensor, such as 'float32'."""
  return keras.backend.standardize_dtype(x.dtype)


def rank(x: Tensor) -> int:
  """Returns the number of axes."""
  return len(x.shape)


def axes_size(x: Tensor, first: int, last: int) -> int:
  """Returns the product of the sizes of the axes from `first` to before `last`."""
  return math.prod(x.shape[first:last])


def sizes(x: Tensor) -> Sequence[int]:
  """Returns the size of each axis."""
  return x.shape


def as_divisor(number: Tensor | int, dtype: Any) -> Tensor | float:
  """Returns a number of elements as a divisor of tensors of this dtype; a size, which is known, stays a number."""
  return ops.cast(number, dtype) if ops.is_tensor(number) else number * 1.


def where(condition: Tensor | bool, x: Tensor, y: Tensor | float) -> Tensor:
  """Returns x where the condition holds and y elsewhere; for a condition that is known, one of them."""
  if isinstance(condition, bool):
    return x if condition else ops.zeros_like(x) + y
  return ops.where(condition, x, y)


def cond(condition: Tensor, in_case: Callable, otherwise: Callable) -> Any:
  """Returns in_case() if the condition, a boolean scalar, holds, otherwise(); JAX cannot trace it.

  A function that `jax.lax.cond` traces could change no variable.
  """
  return in_case() if condition else otherwise()


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
  """Returns (x − y)², elementwise."""
  return ops.square(x - y)


def sum_rows(x: Tensor) -> Tensor:
  """Returns the sums over the second axis: [N, rows, C] -> [N, 1, C]."""
  return ops.sum(x, 1, keepdims=True)


def sum_samples(x: Tensor) -> Tensor:
  """Returns the sums over the first axis: [N, ...] -> [1, ...]."""
  return ops.sum(x, 0, keepdims=True)


def mean_columns(x: Tensor, size: int) -> Tensor:
  """Returns the means of each `size` neighbouring columns of a matrix: [N, columns] -> [N, columns / size]."""
  return mean(ops.reshape(x, [-1, x.shape[-1] // size, size]), -1)


def repeat_columns(x: Tensor, times: int) -> Tensor:
  """Returns a matrix with each column repeated: [N, columns] -> [N, columns · times]."""
  return ops.repeat(x, times, axis=-1)


def sum_over_replicas(tensors: list[Tensor], synchronized: bool) -> list[Tensor]:
  """Returns the tensors: on JAX a sharded batch is one tensor, whose sums are those of all devices, and on PyTorch each
  process has a batch of its own.
  """
  del synchronized
  return tensors


select = ops.where  # of tensors of one shape


def zero_unless(condition: Tensor, x: Tensor) -> Tensor:
  """Returns x where the condition holds and 0 elsewhere."""
  return ops.where(condition, x, ops.zeros_like(x))


def first_maximum(x: Tensor, y: Tensor) -> Tensor:
  """Returns max(x, y), elementwise; where the two are equal, the gradient goes to x. A NaN in either stays."""
  return ops.where(ops.logical_or(x >= y, ops.isnan(x)), x, y)


def standardize(x: Tensor, mean: Tensor, variance: Tensor, beta: Tensor | None, gamma: Tensor | None, epsilon: float
                ) -> Tensor:
  """Returns (x − mean) / √(variance + ε) · γ + β; None for γ or β leaves it out."""
  y = (x - mean) * ops.rsqrt(variance + epsilon)
  y = y if gamma is None else y * gamma
  return y if beta is None else y + beta


def traced_once(function: Callable) -> Callable:
  """Returns the function: JAX and PyTorch trace each call."""
  return function


def num_replicas() -> int:
  """Returns 1: see `sum_over_replicas`."""
  return 1
