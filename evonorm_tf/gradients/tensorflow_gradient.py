"""The gradient of the EvoNorms that keeps little (`equations.series`), for TensorFlow; compiled on request."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools

import tensorflow as tf

from evonorm_tf.engines.tensorflow_ops import num_replicas
from evonorm_tf.engines.tensorflow_ops import on_cpu
from evonorm_tf.equations import moments
from evonorm_tf.equations import series

try:
  from tensorflow.python.framework import op_callbacks
except ImportError:  # it is private; without it the core is compiled while a debugger watches, too
  op_callbacks = None


def evaluate(equation: series.Equation, x: tf.Tensor, weights: Sequence[tf.Tensor],
             given_moment: tf.Tensor | None = None, jit_compile: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
  """Evaluates an EvoNorm, with a custom gradient with respect to x and the weights.

  Args:
    equation, x, weights, given_moment: as for `series.evaluate`.
    jit_compile: whether XLA compiles the forward and the backward pass, each as a whole (default False). It must be
      False if `equation.synchronized` is true. Nothing is compiled while a debugger of TensorFlow watches all
      operations, such as `tf.debugging.enable_check_numerics`, since XLA takes none of the operations that it adds.

  Returns:
    The pair (y, moment), as from `series.evaluate`.
  """
  flat = moments.flatten_positions(x)
  jit_compile = jit_compile and not (op_callbacks and op_callbacks.should_invoke_op_callbacks())
  forward, backward = (
      _compiled(function, equation, tuple(flat.shape), flat.dtype) if jit_compile
      else functools.partial(function, equation, 1) for function in (series.forward, series.backward))

  @tf.custom_gradient
  def with_gradient(x, *weights):
    # Without stop_gradient, an enclosing tape would record the inside of `forward` as well.
    y, mean, variance, moment = forward(tf.stop_gradient(x), given_moment, *map(tf.stop_gradient, weights))

    def gradient(dy, *_):
      return backward(x, dy, *_as_position_moments(x, mean, variance), given_moment, *weights)
    return (y, moment), gradient

  y, moment = with_gradient(flat, *weights)
  return tf.reshape(y, tf.shape(x)), tf.stop_gradient(moment)


def is_compiled_by_default() -> bool:
  """Returns whether compiling was measured to be faster here, in training: on a CPU, with a single replica."""
  return on_cpu() and num_replicas() == 1


@functools.cache
def _compiled(function: Callable, equation: series.Equation, shape: tuple[int | None, ...], dtype: tf.DType
              ) -> Callable[..., tuple[tf.Tensor, ...]]:
  """Returns `series.forward` or `series.backward` compiled by XLA, which layers with equal equations and inputs share.

  `shape` and `dtype` are x's: TensorFlow would warn of a single function that is traced for five shapes.
  """
  del shape, dtype
  if isinstance(equation, series.SampleEquation) and on_cpu():
    equation = dataclasses.replace(equation, rational=True)
  return tf.function(functools.partial(function, equation, moments.SLICES), jit_compile=True, autograph=False)


def _as_position_moments(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns `mean` and `variance` unchanged, with the gradient with respect to x that they have as its moments.

  Args:
    x: a tensor [N, positions, C].
    mean, variance: the mean and the biased variance of x over positions, [N, 1, C] each.
  """

  @tf.custom_gradient
  def with_gradient(x):
    return (tf.identity(mean), tf.identity(variance)), lambda *gradients: tf.cast(moments.position_moments_gradient(
        tf.cast(x, mean.dtype), _as_position_moments(x, mean, variance)[0], *gradients), x.dtype)

  return with_gradient(x)
