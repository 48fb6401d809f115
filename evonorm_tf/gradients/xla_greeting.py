"""XLA's greeting: lines that it prints to standard error when it compiles first, whatever TensorFlow's log level."""

import functools

import tensorflow as tf

from evonorm_tf.output import standard_error


@functools.cache
def greet_silently() -> None:
  """Lets XLA compile something small, once a process, while nothing that is printed to standard error is shown."""
  with tf.init_scope():
    if not tf.executing_eagerly():  # a graph of TensorFlow 1, whose session would have to run it
      return
    with tf.device('CPU:0'), standard_error.silenced():
      tf.function(lambda x: x + x, jit_compile=True)(tf.zeros([]))
