"""Outputs of norm-activation layers that can be computed once more, so that they need not be kept.

A layer offers how to compute its output y again, from what it keeps anyway: x, statistics and weights. A convolution
that reads y (`layers.recomputed`) takes the offer in its backward pass, where y is needed once more, and y dies after
the forward pass.
"""

from collections.abc import Callable

import tensorflow as tf

_ATTRIBUTE = '_evonorm_tf_compute_again'


def offer(y: tf.Tensor, compute: Callable[[], tf.Tensor]) -> None:
  """Offers to compute an output again, in a traced function; run eagerly, nothing is offered.

  Args:
    y: a layer's output.
    compute: returns its value, computed once more. The gradient does not flow through it.
  """
  if not tf.executing_eagerly():
    setattr(y, _ATTRIBUTE, compute)


def recomputed(y: tf.Tensor, dz: tf.Tensor) -> tf.Tensor:
  """Returns y, computed once more and not before dz is known. y must be on offer.

  Args:
    y: a layer's output.
    dz: the gradient with respect to the output of what has read y.
  """
  with tf.control_dependencies([dz]):
    return getattr(y, _ATTRIBUTE)()


def is_offered(y: tf.Tensor) -> bool:
  """Returns whether y can be computed again."""
  return hasattr(y, _ATTRIBUTE)


def after(dy: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """Returns x, in a traced function not before dy is known."""
  with tf.control_dependencies([] if tf.executing_eagerly() else [dy]):
    return tf.identity(x)
