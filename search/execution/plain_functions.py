"""Functions of users without what gin adds to them, so that they can be sent to workers and identify a search."""

import sys
from typing import Any


def plain_function(value: Any) -> Any:
  """Returns a function that a gin file names, such as `@my_module.network`, as it is without gin.

  gin hands over a wrapper, which no other process can receive. If the file binds arguments of the function, the result
  is a `functools.partial` with their values.

  Args:
    value: the function; anything else is returned as it is.
  """
  if not hasattr(value, '__wrapped__') or 'gin' not in sys.modules:
    return value
  from evonorm_tf.cli.gin_configuration import without_gin
  return without_gin(value)
