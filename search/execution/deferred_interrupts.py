"""Deferred handling of Ctrl-C and SIGTERM: noted, and KeyboardInterrupt raised later, where a search can stop safely.

Raising KeyboardInterrupt wherever the main thread happens to be is not reliable. Python drops it in a finalizer or in
the callback of a weakref. In Python code that TensorFlow's C++ calls, it may be dropped, crash the process, or turn
into a RuntimeError or SystemError that looks like the failure of a candidate. About one in twenty interrupts of a short
evaluation was lost or misreported in one of these ways. Therefore the first Ctrl-C is only noted, and a call of
`raise_if_interrupted` raises KeyboardInterrupt.

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
  """Defers the first Ctrl-C inside the context; a second one raises KeyboardInterrupt at once, as usual.

  SIGTERM counts as a Ctrl-C if its handler is Python's own for that, `signal.default_int_handler`, which the commands
  set.

  `raise_if_interrupted` raises the deferred KeyboardInterrupt. An error that leaves the context after Ctrl-C becomes a
  KeyboardInterrupt as well, because the signal may have caused it. At the end Python's signal handler is restored.

  The context does nothing in two cases: outside the main thread, where Python handles no signals, and for a signal that
  has another handler than Python's own. Such a handler was set by the program, or ignores the signal, as it does SIGINT
  in the background jobs of a shell script.
  """
  global _interrupted
  numbers = [number for number in (signal.SIGINT, signal.SIGTERM)
             if signal.getsignal(number) is signal.default_int_handler]
  if threading.current_thread() is not threading.main_thread() or not numbers:
    yield
    return
  _interrupted = False
  try:
    for number in numbers:
      signal.signal(number, _note)
    yield
  except Exception as e:
    raise_if_interrupted(e)
    raise
  finally:
    for number in numbers:
      signal.signal(number, signal.default_int_handler)
    _interrupted = False


@contextlib.contextmanager
def interrupted_at_once() -> Iterator[None]:
  """Makes the first Ctrl-C, too, raise KeyboardInterrupt at once inside the context; meant for calls that wait long.

  A Ctrl-C that `interrupts_noted` has noted before is raised on entering.
  """
  global _at_once
  try:
    _at_once = True
    raise_if_interrupted()
    yield
  finally:
    _at_once = False


def is_interrupted() -> bool:
  """Returns whether `interrupts_noted` has noted a Ctrl-C."""
  return _interrupted


def raise_if_interrupted(cause: Exception | None = None) -> None:
  """Raises KeyboardInterrupt if `interrupts_noted` has noted a Ctrl-C; otherwise does nothing.

  Args:
    cause: the error to report as the cause of the KeyboardInterrupt; None (default) for none.
  """
  if _interrupted:
    raise KeyboardInterrupt from cause


def _note(number, frame):
  global _interrupted
  is_first, _interrupted = not _interrupted, True
  if _at_once or not is_first:
    signal.default_int_handler(number, frame)
