"""Requests to end within seconds, which a command passes on to its work, and functions to call before it ends.

Clusters send SIGTERM before they take a machine away. `evonorm_tf.cli.interrupt_watch` turns it into a request. A
training loop cannot stop between the steps of a compiled loop, so it checks for a request where it can save.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib

_last_actions: list[Callable[[], object]] = []
_is_heeded = False
_is_requested = False


@contextlib.contextmanager
def heeded() -> Iterator[None]:
  """A context whose work calls `requested` often and, after a request, saves and raises KeyboardInterrupt."""
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


@contextlib.contextmanager
def before_end(action: Callable[[], object]) -> Iterator[None]:
  """A context in which a command that is ended without clean-up calls a function first.

  Args:
    action: the function. It is called in another thread than the work, whatever that is doing, and has a second.
  """
  _last_actions.append(action)
  try:
    yield
  finally:
    _last_actions.remove(action)


def do_last_actions() -> None:
  """Calls the functions of all contexts `before_end`, the innermost first."""
  for action in reversed(_last_actions):
    action()
