"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finalizer or a weakref's callback it is
printed and dropped. Beneath TensorFlow's C++ it is dropped too, or becomes a RuntimeError or SystemError, which would
pass for a candidate's failure. One in twenty that struck a short evaluation fared so. Therefore each is also noted, and
the loops of search and training ask for it.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

_interrupted = False


@contextlib.contextmanager
def interrupts_noted() -> Iterator[None]:
  """Notes each Ctrl-C that comes while this is entered, besides raising KeyboardInterrupt as ever.

  An error that leaves after a Ctrl-C becomes a KeyboardInterrupt, for the one may have caused the other. On leaving,
  the handler is as it was. Nothing is noted outside the main thread, for other threads cannot handle signals, nor where
  SIGINT has another handler than Python's own: a script's background jobs ignore it, and who set a handler wants that.
  """
  global _interrupted
  if (threading.current_thread() is not threading.main_thread()
      or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
    yield
    return
  print_unraisable = sys.unraisablehook
  _interrupted = False
  try:
    sys.unraisablehook = lambda dropped: dropped.exc_type is KeyboardInterrupt or print_unraisable(dropped)
    signal.signal(signal.SIGINT, _note_and_raise)
    yield
  except Exception as e:
    raise_if_interrupted(e)
    raise
  finally:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.unraisablehook = print_unraisable
    _interrupted = False


def raise_if_interrupted(cause: Exception | None = None) -> None:
  """Raises KeyboardInterrupt if a Ctrl-C has been noted, whatever has become of the one that it raised."""
  if _interrupted:
    raise KeyboardInterrupt from cause


def _note_and_raise(number, frame):
  global _interrupted
  _interrupted = True
  signal.default_int_handler(number, frame)
