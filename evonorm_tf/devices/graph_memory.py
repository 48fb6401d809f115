"""Release of the memory that TensorFlow would otherwise keep for every traced graph until the process ends."""

from collections.abc import Iterator
import contextlib

from tensorflow.python.framework import ops

from evonorm_tf.gradients.tensorflow_gradient import forget_traced


@contextlib.contextmanager
def released_gradients() -> Iterator[None]:
  """A context that, on exit, frees the gradients of `tf.custom_gradient` registered in it, and with them their graphs.

  TensorFlow registers a gradient for each traced call of a function with a custom gradient, and the gradient refers to
  the whole graph. Without this context, each training in a process would add to its memory. Graphs that were traced in
  the context must not be differentiated afterwards.
  """
  gradients = ops.gradient_registry._registry  # noqa: SLF001 TensorFlow offers no way to unregister a gradient
  before = set(gradients)
  try:
    yield
  finally:
    for name in gradients.keys() - before:
      if name.startswith('CustomGradient-'):
        del gradients[name]
    forget_traced()
