"""XLA compiles ahead what a traced step is going to call, in threads of its own while TensorFlow goes on tracing.

Otherwise it would compile in the middle of the first step, one function after the other, at the first call of each.
"""

from collections.abc import Callable
import concurrent.futures
import functools
import os
import threading
from typing import Any

from absl import logging
import tensorflow as tf

from evonorm_tf.engines.tensorflow_ops import num_replicas
from evonorm_tf.engines.tensorflow_ops import on_cpu

_MOST_THREADS = 4  # each has the arguments and results of one function in memory
_MOST_FUNCTIONS = 1000  # that are remembered; see `tensorflow_gradient`


def compile_ahead(function: Callable, tensors: Any) -> None:
  """Has a function compiled for the shapes of its arguments, on a CPU, where it is traced as part of a larger one.

  TensorFlow compiles at a call, and so the function is called, with zeros. Nothing is done where a size is not known
  yet, as the batch's in a data set of batches without `drop_remainder`.

  Args:
    function: a TensorFlow function with an input signature, which XLA compiles. It changes no variable.
    tensors: its arguments, a nested structure of tensors.
  """
  if tf.executing_eagerly() or not on_cpu() or num_replicas() > 1:
    return
  if all(t.shape.is_fully_defined() for t in tf.nest.flatten(tensors)):
    _submit_once(function, tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), tensors))


def forget() -> None:
  """Forgets which functions have been compiled, and lets go of them."""
  _submit_once.cache_clear()
  _within_a_function.cache_clear()


@functools.lru_cache(_MOST_FUNCTIONS)
def _submit_once(function, specifications):
  _threads().submit(_call_with_zeros, function, specifications)


def _call_with_zeros(function, specifications):
  try:
    _within_a_function(function)(*tf.nest.map_structure(lambda s: tf.zeros(s.shape, s.dtype), specifications))
  except Exception:  # whatever it is, the step itself will raise it, or do without
    logging.debug('Compiling ahead of the first step failed.', exc_info=True)


@functools.lru_cache(_MOST_FUNCTIONS)
def _within_a_function(function):
  """Returns a function that calls the given one: XLA takes calls from Python for those of another function.

  It is concrete, since TensorFlow takes functions of the same code for one, and would warn of its many traces.
  """
  within = tf.function(lambda *tensors: function(*tensors), function.input_signature, autograph=False)
  return within.get_concrete_function()


@functools.cache
def _threads():
  pool = concurrent.futures.ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), 'compile_ahead')
  # Python would wait at its end until all is compiled that has been submitted.
  before_the_end = getattr(threading, '_register_atexit', lambda _: None)
  before_the_end(functools.partial(pool.shutdown, wait=False, cancel_futures=True))
  return pool
