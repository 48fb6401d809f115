"""XLA compiles ahead what a traced step is going to call, in threads of its own while TensorFlow goes on tracing.

Otherwise it would compile at the first call, in the middle of the first step, one function after the other.
"""

from collections.abc import Callable
import concurrent.futures
import functools
import os
import threading

from absl import logging
import tensorflow as tf


def compile_ahead(function: Callable, tensors: tuple) -> None:
  """Has a function compiled for the shapes of its arguments, if it is being called in a traced step of known sizes.

  It is called with zeros: TensorFlow has no way to compile without a call.

  Args:
    function: a TensorFlow function that XLA compiles; it changes no variable.
    tensors: its arguments, a nested structure of tensors.
  """
  if not tf.executing_eagerly() and all(t.shape.is_fully_defined() for t in tf.nest.flatten(tensors)):
    _submit_once(function, tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), tensors))


@functools.cache
def _submit_once(function, specifications):
  _threads().submit(_call_with_zeros, function, specifications)


def _call_with_zeros(function, specifications):
  try:
    with tf.init_scope():
      zeros = tf.nest.map_structure(lambda s: tf.zeros(s.shape, s.dtype), specifications)
      _within_a_function(function)(*zeros)
  except Exception:  # the step itself will say what is wrong, if anything is
    logging.exception('Compiling ahead failed.')


@functools.cache
def _within_a_function(function):
  """Returns the function as a part of another one: only so does XLA find it again when a step calls it."""
  return tf.function(lambda *tensors: function(*tensors), autograph=False, reduce_retracing=True)


@functools.cache
def _threads():
  pool = concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), 'compile_ahead')
  threading._register_atexit(functools.partial(pool.shutdown, wait=False, cancel_futures=True))
  return pool
