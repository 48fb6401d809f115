"""A watch that ends a command at once on Ctrl-C, whatever its main thread is doing.

Python handles signals between two bytecodes of the main thread, and in TensorFlow the next one may be a minute away. A
thread that waits for the byte which Python's C handler writes into a pipe does not depend on the main thread.
"""

import contextlib
import os
import signal
import threading
import types
from typing import Self

INTERRUPTED = 'Interrupted. The same command goes on where it stopped.'  # of commands that resume
EXIT_CODE = 130  # as shells report a command that SIGINT has ended
_SHOW_CURSOR = '\x1b[?25h'  # a progress bar may have hidden it


class InterruptWatch(contextlib.AbstractContextManager):
  """A context in which a Ctrl-C prints a message and ends the process, without any cleaning up.

  It is for programs that may be killed at any time; a program that has to clean up sets `first_raises`. Where SIGINT is
  ignored, as in a script's background jobs, it stays ignored. Enter the context in the main thread, since only that may
  set signal handlers.

  Args:
    message: is written to standard error.
    first_raises: whether the first Ctrl-C is left to the handler that was there before, by default Python's, which
      raises KeyboardInterrupt; the second one ends the process.
  """

  def __init__(self, message: str, first_raises: bool = False):
    self._message = message
    self._raises = 1 if first_raises else 0

  def __enter__(self) -> Self:
    self._handler = signal.getsignal(signal.SIGINT)
    if not self._raises and self._handler is signal.default_int_handler:
      signal.signal(signal.SIGINT, lambda *_: None)  # with a handler the byte is written; there is nothing to raise
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    self._previous = signal.set_wakeup_fd(self._write)
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
               traceback: types.TracebackType | None) -> None:
    signal.set_wakeup_fd(self._previous)
    signal.signal(signal.SIGINT, self._handler)
    os.close(self._write)
    self._thread.join()
    os.close(self._read)

  def _watch(self) -> None:
    """Reads the numbers of signals until the pipe is closed."""
    while number := os.read(self._read, 1):
      if number[0] == signal.SIGINT:
        self._raises -= 1
        if self._raises < 0:
          self._end()

  def _end(self) -> None:
    text = f'{_SHOW_CURSOR}\n{self._message}\n' if os.isatty(2) else f'{self._message}\n'
    os.write(2, text.encode())  # sys.stderr may be in use
    os._exit(EXIT_CODE)
