"""The gradient of EvoNorms and layer graphs that keeps little (`equations.passes`), for TensorFlow; compiled on demand.

A compiled pass is one traced function, which all layers with equal equations share whatever their inputs' sizes (those
of the S series and of layer graphs, if their numbers of channels are equal): tracing one anew for each layer or shape
would take most of the time before the first step.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any

import tensorflow as tf

from evonorm_tf.engines.tensorflow_ops import num_replicas
from evonorm_tf.engines.tensorflow_ops import on_cpu
from evonorm_tf.equations import moments
from evonorm_tf.equations import passes
from evonorm_tf.gradients import compiling_ahead
from evonorm_tf.gradients import recomputation
from evonorm_tf.gradients.xla_greeting import greet_silently
from evonorm_tf.graph import primitives

try:
  from tensorflow.python.framework import op_callbacks
except ImportError:  # it is private; without it the core is compiled while a debugger watches, too
  op_callbacks = None
try:
  from tensorflow.python.eager.record import could_possibly_record
  from tensorflow.python.saved_model.save_context import in_save_context
except ImportError:  # they are private, too; without them every function has the custom gradient
  could_possibly_record, in_save_context = (lambda: True), (lambda: False)

# Functions that are remembered at a time; the EvoNorms take a few, and each layer graph as many again.
_MOST_FUNCTIONS = 1000


def evaluate(equation: passes.Equation, x: tf.Tensor, weights: Sequence[tf.Tensor],
             given_moment: tf.Tensor | None = None, jit_compile: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
  """Evaluates an equation, with a custom gradient with respect to x and the weights.

  Args:
    equation, x, weights, given_moment: as for `passes.evaluate`.
    jit_compile: whether XLA compiles the forward and the backward pass, each as a whole (default False). It must be
      False if `equation.synchronized` is true. Nothing is compiled while a debugger of TensorFlow watches all
      operations, such as `tf.debugging.enable_check_numerics`, since XLA takes none of the operations that it adds.

  Returns:
    The pair (y, moment), as from `passes.evaluate`.
  """
  flat = moments.flatten_positions(x)
  given = () if given_moment is None else (given_moment,)
  jit_compile = jit_compile and not (op_callbacks and op_callbacks.should_invoke_op_callbacks())
  forward, backward, output = _compiled_passes(equation, flat) if jit_compile else (
      functools.partial(_forward, equation, 1), functools.partial(_backward, equation, 1),
      functools.partial(_output, equation, 1))

  # Without stop_gradient, an enclosing tape would record the inside of `forward` as well.
  value, moment, *statistics = forward(tf.stop_gradient(flat), given, *map(tf.stop_gradient, weights))

  @tf.custom_gradient
  def with_gradient(x, *weights):
    def gradient(dy):
      dx, rows = backward(x, dy, given, tuple(statistics), *weights)
      by_weights = tf.unstack(rows)[:len(weights)]
      for weight, by_weight in zip(weights, by_weights):
        by_weight.set_shape(weight.shape)  # a traced function does not know it
      return dx, *by_weights
    return value, gradient

  y = tf.reshape(with_gradient(flat, *weights), tf.shape(x))
  recomputation.offer(y, lambda: tf.reshape(output(tf.stop_gradient(flat), tuple(statistics), *weights), tf.shape(x)))
  return y, moment


def is_compiled_by_default() -> bool:
  """Returns whether compiling was measured to be faster here, in training: on a CPU, with a single replica."""
  return on_cpu() and num_replicas() == 1


def is_needless(training: Any) -> bool:
  """Returns whether nothing asks for a gradient: in a function that is saved, or traced for inference without a tape.

  Without the custom gradient, such a function loads without a warning that it was not saved, and has those of its
  operations.

  Args:
    training: the layer's argument; a tensor or True counts as training.
  """
  if tf.executing_eagerly():
    return False
  return in_save_context() or (training is None or training is False) and not could_possibly_record()


def forget_traced() -> None:
  """Forgets the functions that have been traced, so that later layers trace them anew.

  It is for those who take gradients of `tf.custom_gradient` out of TensorFlow's registry: the functions have some.
  """
  _traced.cache_clear()
  compiling_ahead.forget()


def _forward(equation, slices, x, given, *weights):
  """`passes.forward`; `given` is () or a tuple of the given moment."""
  return passes.forward(equation, slices, x, given[0] if given else None, *weights)


def _output(equation, slices, x, statistics, *weights):
  """`passes.output`, which takes no sums over positions."""
  del slices
  return passes.output(equation, x, statistics, *weights)


def _backward(equation, slices, x, dy, given, statistics, *weights):
  """`passes.backward`, which is differentiated as the formula is: the statistics kept by `_forward` do not follow x.

  Nothing of it runs before dy is known: it would live from the forward pass to this one.
  """

  @tf.custom_gradient
  def with_gradient(x, dy, *weights):
    def gradient(*upstream):
      tensors = x, dy, *weights
      with tf.GradientTape() as tape:
        tape.watch(tensors)
        dx, *by_weights = _formula_gradients(equation, given, *tensors)
      return tape.gradient((dx, *by_weights), tensors, (upstream[0], *tf.unstack(upstream[1])[:len(weights)]),
                           tf.UnconnectedGradients.ZERO)
    return passes.backward(
        equation, slices, bool(given), *map(tf.stop_gradient, (x, dy)), statistics, *map(tf.stop_gradient, weights)
    ), gradient

  return with_gradient(recomputation.after(dy, x), dy, *weights)


def _formula_gradients(equation, given, x, dy, *weights):
  """Returns the gradients with respect to x and the weights, by TensorFlow from `passes.evaluate`."""
  with tf.GradientTape() as tape:
    tape.watch((x, *weights))
    y, _ = passes.evaluate(equation, x, weights, *given)
  return tape.gradient(y, (x, *weights), dy, tf.UnconnectedGradients.ZERO)


def _compiled_passes(equation, x):
  """Returns `_forward`, `_backward` and `_output`, compiled, for inputs like x, [N, positions, C]."""
  equation = equation.specialized(x.shape[-1], on_cpu())
  most = {_forward: moments.FORWARD_SLICES, _backward: moments.BACKWARD_SLICES, _output: 1}
  return (functools.partial(_call_compiled, function, equation, _slices(x.shape[1], number))
          for function, number in most.items())


def _slices(positions, most):
  return primitives.largest_divisor(positions, most) if positions and on_cpu() else 1


def _call_compiled(function, equation, slices, *tensors):
  """Calls function(equation, slices, *tensors), compiled by XLA, which compiles for each shape anew."""
  signature = tf.nest.map_structure(functools.partial(_any_size, keep_channels=equation.keeps_channels), tensors)
  greet_silently()
  traced = _traced(function, equation, slices, signature)
  compiling_ahead.compile_ahead(traced, tensors)
  return traced(*tensors)


@functools.lru_cache(_MOST_FUNCTIONS)
def _traced(function: Callable, equation: passes.Equation, slices: int, signature: tuple) -> Callable:
  """Returns function(equation, slices, *tensors) as a TensorFlow function, which XLA compiles."""
  return tf.function(functools.partial(function, equation, slices), signature, autograph=False, jit_compile=True)


def _any_size(tensor: tf.Tensor, keep_channels: bool) -> tf.TensorSpec:
  """Returns a specification without sizes of [N, positions, C], but for 1 position, or of a vector over channels."""
  *others, channels = tensor.shape
  sizes = [None, 1 if others[1] == 1 else None] if others else []
  return tf.TensorSpec([*sizes, channels if keep_channels else None], tensor.dtype)
