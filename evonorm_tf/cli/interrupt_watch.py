"""A context that ends a command at once on Ctrl-C, whatever its main thread is doing.

Python handles signals between two bytecode instructions of the main thread, and inside TensorFlow the next one may be a
minute away. Here a second thread reads the byte that Python's C-level signal handler writes into a pipe, which does not
depend on the main thread.
"""

import contextlib
import os
import signal
import threading
import types
from typing import Self

INTERRUPTED = 'Interrupted. The same command goes on where it stopped.'  # the message of commands that can resume
EXIT_CODE = 130  # the code with which shells report a command that SIGINT has ended
_SHOW_CURSOR = '\x1b[?25h'  # a progress bar may have hidden it


class InterruptWatch(contextlib.AbstractContextManager):
  """A context in which Ctrl-C prints a message and ends the process with exit code 130, without any clean-up.

  It is meant for programs that may be killed at any time; a program that must clean up sets `first_raises`. If SIGINT
  is ignored, as in background jobs of a script, it stays ignored. The context must be entered in the main thread, since
  only that can set signal handlers.

  Args:
    message: the message for standard error.
    first_raises: whether the first Ctrl-C is left to the previous handler, usually Python's, which raises
      KeyboardInterrupt; only the second one then ends the process. Default: False.
  """

  def __init__(self, message: str, first_raises: bool = False):
    self._message = message
    self._raises = 1 if first_raises else 0

  def __enter__(self) -> Self:
    self._handler = signal.getsignal(signal.SIGINT)
    if not self._raises and self._handler is signal.default_int_handler:
      signal.signal(signal.SIGINT, lambda *_: None)  # the byte is written only if there is a handler; it does nothing
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
    """Reads signal numbers until the pipe is closed."""
    while number := os.read(self._read, 1):
      if number[0] == signal.SIGINT:
        self._raises -= 1
        if self._raises < 0:
          self._end()

  def _end(self) -> None:
    text = f'{_SHOW_CURSOR}\n{self._message}\n' if os.isatty(2) else f'{self._message}\n'
    os.write(2, text.encode())  # not sys.stderr, which the main thread may be using
    os._exit(EXIT_CODE)
