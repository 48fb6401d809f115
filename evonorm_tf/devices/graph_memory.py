"""Release of the memory that TensorFlow would keep for every traced graph as long as the process lives."""

from collections.abc import Iterator
import contextlib

from tensorflow.python.framework import ops


@contextlib.contextmanager
def released_gradients() -> Iterator[None]:
  """A context; its end drops the gradients of `tf.custom_gradient` registered within it, and with them their graphs.

  TensorFlow registers a gradient for each call that it traces, and the gradient holds the whole graph: without this,
  each training in a process would add to its memory. Graphs traced within must not be differentiated afterwards.
  """
  gradients = ops.gradient_registry._registry  # noqa: SLF001 TensorFlow offers no way to unregister a gradient
  before = set(gradients)
  try:
    yield
  finally:
    for name in gradients.keys() - before:
      if name.startswith('CustomGradient-'):
        del gradients[name]
