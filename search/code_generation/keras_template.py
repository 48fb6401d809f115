"""The template of compiled layers for Keras 3 on any backend: `layer_template`, and what only Keras 3 has or needs."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from search.code_generation.layer_template import LayerTemplate


def axes_size(x: Any, first: int, last: int) -> Any:
  """Returns the product of the sizes of the axes from `first` to before `last`."""
  size = 1
  for axis_size in ops.shape(x)[first:last]:
    size = size * axis_size
  return size


def sum_samples(x: Any) -> Any:
  """Returns the sums over the first axis: [N, ...] -> [1, ...]."""
  return ops.sum(x, 0, keepdims=True)


def sum_over_replicas(tensors: list, synchronized: bool) -> list:
  """Returns the sum of each tensor over all replicas of TensorFlow's strategy; the tensors if not synchronized."""
  if not synchronized or keras.backend.backend() != 'tensorflow':
    return tensors
  from tensorflow import distribute
  context = distribute.get_replica_context()
  return context.all_reduce(distribute.ReduceOp.SUM, tensors) if context else tensors


def as_divisor(number: Any, dtype: Any) -> Any:
  """Returns a number of elements as a tensor of this dtype."""
  return ops.cast(number, dtype)


def cond(condition: Any, in_case: Callable, otherwise: Callable) -> Any:
  """Returns in_case() if the condition, a boolean scalar, holds, otherwise(); JAX cannot trace it."""
  if keras.backend.backend() == 'tensorflow':
    return ops.cond(condition, in_case, otherwise)
  return in_case() if condition else otherwise()


def first_maximum(x: Any, y: Any) -> Any:
  """Returns max(x, y); where the two are equal, the gradient goes to x. `ops.maximum` shares it on some backends."""
  return ops.where(ops.logical_or(x >= y, ops.isnan(x)), x, y)


class Template(LayerTemplate, keras.layers.Layer):
  """The template of a layer of Keras 3, itself a layer on TensorFlow: y = x·γ + β."""

  _keras = keras

  def compute_output_shape(self, input_shape: tuple) -> tuple:
    """Returns the output's shape, which equals `input_shape`."""
    return tuple(input_shape)

  def _add_vector(self, name: str, size: int, initializer: str, **options):
    """Adds a weight of shape [size]."""
    return self.add_weight(name=name, shape=[size], dtype=self._weight_dtype, initializer=initializer,
                           autocast=False, **options)

  def _add_moving_average(self, name: str, size: int, initializer: str):
    """Adds a moving average of shape [size]."""
    return self._add_vector(name, size, initializer, trainable=False, aggregation='mean')
