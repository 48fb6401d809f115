"""What TensorFlow keeps of every traced graph for as long as the process lives, and how to let go of it."""

from collections.abc import Iterator
import contextlib

from tensorflow.python.framework import ops  # pylint: disable=g-direct-tensorflow-import


@contextlib.contextmanager
def released_gradients() -> Iterator[None]:
  """At its end forgets the gradients of `tf.custom_gradient` that were registered within, and with them their graphs.

  TensorFlow registers one for each call that it traces, and the gradient holds the whole graph: without this, one
  training after the other in a process takes more and more memory. Graphs traced within must not be differentiated
  after it.
  """
  gradients = ops.gradient_registry._registry  # pylint: disable=protected-access
  before = set(gradients)
  try:
    yield
  finally:
    for name in gradients.keys() - before:
      if name.startswith('CustomGradient-'):
        del gradients[name]
