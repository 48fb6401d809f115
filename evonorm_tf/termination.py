"""A request to end within seconds, which a command passes on to the work that it runs.

Clusters send SIGTERM before they take a machine away. `evonorm_tf.cli.interrupt_watch` makes a request of it, and a
training loop, which cannot be interrupted between two steps of a compiled loop, looks at it where it can save.
"""

from collections.abc import Iterator
import contextlib

_is_heeded = False
_is_requested = False


@contextlib.contextmanager
def heeded() -> Iterator[None]:
  """A context in which the main thread looks at `requested` often, and then saves and raises KeyboardInterrupt."""
  global _is_heeded, _is_requested
  _is_heeded, _is_requested = True, False
  try:
    yield
  finally:
    _is_heeded = _is_requested = False


def request() -> bool:
  """Makes a request; returns False, and makes none, if nothing heeds it. It may be called in any thread."""
  global _is_requested
  _is_requested = _is_heeded
  return _is_requested


def requested() -> bool:
  """Returns whether the current context `heeded` has received a request."""
  return _is_requested
