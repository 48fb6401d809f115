"""XLA's greeting: lines that it prints to standard error when it compiles first, whatever TensorFlow's log level."""

from collections.abc import Iterator
import contextlib
import functools
import os

import tensorflow as tf


@functools.cache
def greet_silently() -> None:
  """Lets XLA compile something small, once a process, while nothing that is printed to standard error is shown."""
  with tf.init_scope():
    if not tf.executing_eagerly():  # a graph of TensorFlow 1, whose session would have to run it
      return
    with tf.device('CPU:0'), _standard_error_silenced():
      tf.function(lambda x: x + x, jit_compile=True)(tf.zeros([]))


@contextlib.contextmanager
def _standard_error_silenced() -> Iterator[None]:
  """A context in which the process's file of standard error swallows everything; of no effect if it is closed."""
  try:
    kept = os.dup(2)
  except OSError:
    yield
    return
  null = os.open(os.devnull, os.O_WRONLY)
  try:
    os.dup2(null, 2)
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)
    os.close(null)
