"""Ctrl-C that ends a command at once, whatever its main thread does.

Python handles signals between two bytecodes of the main thread, which may be a minute of TensorFlow away. A thread of
its own, woken by the byte that C's handler writes into a pipe, does not wait for that.
"""

import contextlib
import os
import signal
import threading

INTERRUPTED = 'Interrupted. The same command goes on where it stopped.'  # of commands that resume
EXIT_CODE = 130  # what shells give a command that SIGINT ends
_SHOW_CURSOR = '\x1b[?25h'  # a progress bar may have hidden it


class InterruptWatch(contextlib.AbstractContextManager):
  """While it is entered, a Ctrl-C prints a message and ends the process, without any cleaning up.

  For programs that may be killed at any time. Who has to clean up asks for `first_raises`. Where SIGINT is ignored, as
  in a script's background jobs, it stays so. Enter it in the main thread, the only one that may set handlers.

  Args:
    message: for standard error.
    first_raises: whether the first Ctrl-C is handled as before, by Python a KeyboardInterrupt; from the second on the
      process ends.
  """

  def __init__(self, message: str, first_raises: bool = False):
    self._message = message
    self._raises = 1 if first_raises else 0

  def __enter__(self):
    self._handler = signal.getsignal(signal.SIGINT)
    if not self._raises and self._handler is signal.default_int_handler:
      signal.signal(signal.SIGINT, lambda *_: None)  # with a handler the byte is written; there is nothing to raise
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    self._previous = signal.set_wakeup_fd(self._write)
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *exception):
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
