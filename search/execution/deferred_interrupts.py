"""Ctrl-C that waits: it is noted when it comes, and raised as KeyboardInterrupt at the points where a search allows it.

A KeyboardInterrupt that is raised wherever the main thread happens to be is not reliable. In a finalizer or a weakref's
callback Python drops it. Below TensorFlow's C++ it may be dropped, crash the process, or turn into a RuntimeError or
SystemError that would pass for a candidate's failure. About one in twenty interrupts of a short evaluation was lost or
misreported in one of these ways. So the first Ctrl-C is only noted here, and `raise_if_interrupted` raises it later.

(`evonorm_tf.cli.interrupt_watch` does the opposite: it ends a command at once, without cleaning up.)
"""

from collections.abc import Iterator
import contextlib
import signal
import threading

_interrupted = False
_at_once = False


@contextlib.contextmanager
def interrupts_noted() -> Iterator[None]:
  """Inside, the first Ctrl-C is only noted; further ones raise KeyboardInterrupt wherever they come, as usual.

  An error that leaves the context after a Ctrl-C becomes a KeyboardInterrupt, because the Ctrl-C may have caused it. On
  leaving, the handler is restored. Outside the main thread nothing changes, because other threads cannot handle
  signals, nor where SIGINT has another handler than Python's own: a script's background jobs ignore it, and a handler
  that a program has set is respected.
  """
  global _interrupted
  if (threading.current_thread() is not threading.main_thread()
      or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
    yield
    return
  _interrupted = False
  try:
    signal.signal(signal.SIGINT, _note)
    yield
  except Exception as e:
    raise_if_interrupted(e)
    raise
  finally:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _interrupted = False


@contextlib.contextmanager
def interrupted_at_once() -> Iterator[None]:
  """Inside, the first Ctrl-C too raises KeyboardInterrupt wherever it comes; for calls that wait long."""
  global _at_once
  try:
    _at_once = True
    raise_if_interrupted()
    yield
  finally:
    _at_once = False


def raise_if_interrupted(cause: Exception | None = None) -> None:
  """Raises KeyboardInterrupt if a Ctrl-C has been noted."""
  if _interrupted:
    raise KeyboardInterrupt from cause


def _note(number, frame):
  global _interrupted
  is_first, _interrupted = not _interrupted, True
  if _at_once or not is_first:
    signal.default_int_handler(number, frame)
