"""A check that the TensorFlow forms of what users have registered compute what the NumPy forms do."""

import numpy as np
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.registration import registered
from evonorm_tf.graph.registration import RegisteredPrimitive
from search.graphs.random_graph import SearchSpace

_TOLERANCE = 1e-4  # relative to 1 + |value|, for float32


def check_forms(space: SearchSpace) -> None:
  """Checks the primitives and index sets of a search space that users have registered, on random values.

  Args:
    space: the search space.

  Raises:
    ArgumentError: if one has another value in TensorFlow than in NumPy, or fails there; the message names it.
  """
  rng = np.random.default_rng(2)
  for name, entry in registered((*(space.primitives or ()), *space.index_sets)).items():
    if isinstance(entry, RegisteredPrimitive):
      arguments = [2. * rng.normal(size=(2, 3, 4, 8)) for _ in range(entry.arity)]
      expected, function = entry.numpy_form(*arguments), entry.tensorflow_form
    else:
      arguments = [rng.normal(size=(2, 3, 4, 8)), 4]
      expected, function = entry.numpy_average(*arguments), entry.tensorflow_average
    _compare(name, expected, function, [a if isinstance(a, int) else tf.constant(a, tf.float32) for a in arguments])


def _compare(name: str, expected: np.ndarray, function, arguments) -> None:
  try:
    found = function(*arguments).numpy()
  except Exception as e:
    raise ArgumentError(f'`tensorflow` of {name!r} fails: {type(e).__name__}: {e}') from e
  if found.shape != expected.shape:
    raise ArgumentError(f'`tensorflow` of {name!r} must return the shape {expected.shape} of `numpy`, received '
                        f'{found.shape}.')
  wrong = ~(np.abs(found - expected) <= _TOLERANCE * (1. + np.abs(expected)))
  if wrong.any():
    place = tuple(np.argwhere(wrong)[0])
    raise ArgumentError(f'`tensorflow` of {name!r} is {found[place]:.6g} where `numpy` is {expected[place]:.6g}.')
