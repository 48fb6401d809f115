"""Ctrl-C as a request that a search hears at points of its own.

Raised wherever the main thread happens to be, KeyboardInterrupt is not to be relied on. In a finalizer or a weakref's
callback Python drops it. Beneath TensorFlow's C++ it is dropped too, or becomes a RuntimeError or SystemError, which
would pass for a candidate's failure, or crashes the process. One in twenty that struck a short evaluation fared so.
Therefore the first one is noted here, and raised by whoever calls `raise_if_interrupted`.
"""

from collections.abc import Iterator
import contextlib
import signal
import threading

_interrupted = False
_at_once = False


@contextlib.contextmanager
def interrupts_noted() -> Iterator[None]:
  """Inside, the first Ctrl-C is noted; further ones raise KeyboardInterrupt wherever they come, as Python has it.

  An error that leaves after a Ctrl-C becomes a KeyboardInterrupt, for the one may have caused the other. On leaving,
  the handler is as it was. Nothing is noted outside the main thread, for other threads cannot handle signals, nor where
  SIGINT has another handler than Python's own: a script's background jobs ignore it, and who set a handler wants that.
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
  """Inside, the first Ctrl-C too raises KeyboardInterrupt wherever it comes; for what waits long."""
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
