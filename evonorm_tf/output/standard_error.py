"""The process's standard error, which libraries in C++ write to without Python, and without heeding a log level."""

from collections.abc import Iterator
import contextlib
import os
import threading

_LOCK = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
  """A context in which the process's file of standard error swallows everything; of no effect if it is closed.

  What other threads print meanwhile is lost, too. One thread at a time is in the context; others wait.
  """
  with _LOCK:
    try:
      kept = os.dup(2)
    except OSError:
      yield
      return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
      os.dup2(null, 2)
      yield
    finally:
      os.dup2(kept, 2)
      os.close(kept)
      os.close(null)
