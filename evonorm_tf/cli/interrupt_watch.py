"""A context that ends a command on Ctrl-C or SIGTERM, whatever its main thread is doing.

Ctrl-C is the signal SIGINT; SIGTERM is what clusters and the command `timeout` send. Python handles signals between two
bytecode instructions of the main thread, and inside TensorFlow the next one may be a minute away. Here a second thread
reads the byte that Python's C-level signal handler writes into a pipe, which does not depend on the main thread.
"""

import contextlib
import math
import os
import select
import signal
import threading
import time
import types
from typing import Self

from evonorm_tf import termination

INTERRUPTED = 'Interrupted. The same command goes on where it stopped.'  # the message of commands that can resume
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}  # with which shells report a command that the signal has ended
SECONDS_TO_CLEAN_UP = 8  # after SIGTERM; clusters that wait 10 seconds before they send SIGKILL are common
_SECONDS_FOR_LAST_ACTIONS = 1
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_SHOW_CURSOR = '\x1b[?25h'  # a progress bar may have hidden it


class InterruptWatch(contextlib.AbstractContextManager):
  """A context in which Ctrl-C or SIGTERM prints a message and ends the process without cleaning up.

  Only the functions given to `evonorm_tf.termination.before_end` are called first. The exit code is 130 for Ctrl-C and
  143 for SIGTERM.

  The context suits programs that may be killed at any time. A program that must clean up sets `first_raises`. Work
  inside the context `evonorm_tf.termination.heeded` receives the first SIGTERM as a request to end. In both cases the
  process ends at the latest `seconds` after SIGTERM, and at once on a second signal.

  A signal that the process already ignores stays ignored, as SIGINT does in a script's background jobs; the other one
  still works. SIGTERM goes to the program's own handler if it has one. The context must be entered in the main thread,
  because only that thread can set signal handlers.

  Args:
    message: the message for standard error.
    first_raises: whether the first signal raises KeyboardInterrupt in the main thread; for Ctrl-C, whether it is left
      to the previous handler, usually Python's, which does so. Default: False.
    seconds: the most seconds from the first SIGTERM to the end, for programs that clean up. Default: 8.
  """

  def __init__(self, message: str, first_raises: bool = False, seconds: float = SECONDS_TO_CLEAN_UP):
    self._message = message
    self._raises = first_raises
    self._seconds = seconds
    self._received: list[int] = []

  @property
  def exit_code(self) -> int:
    """The exit code for the last signal, or 130 if there was none; read it after leaving the context."""
    return EXIT_CODES[self._received[-1]] if self._received else EXIT_CODES[signal.SIGINT]

  def __enter__(self) -> Self:
    handler = signal.default_int_handler if self._raises else _do_nothing  # a byte is written only if there is one
    self._handlers = {number: default for number, default in _DEFAULTS.items() if signal.getsignal(number) is default}
    for number in self._handlers:
      signal.signal(number, handler)
    self._watched = {signal.SIGINT, *self._handlers}
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    self._previous = signal.set_wakeup_fd(self._write)
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
               traceback: types.TracebackType | None) -> None:
    signal.set_wakeup_fd(self._previous)
    for number, handler in self._handlers.items():
      signal.signal(number, handler)
    os.close(self._write)
    self._thread.join()
    os.close(self._read)

  def _watch(self) -> None:
    """Reads signal numbers until the pipe is closed, or the time after SIGTERM is over."""
    end = math.inf
    while True:
      seconds_left = None if end == math.inf else max(0, end - time.monotonic())
      if not select.select([self._read], [], [], seconds_left)[0]:
        self._end()
      number = os.read(self._read, 1)
      if not number:
        return
      if number[0] in self._watched:
        self._received.append(number[0])
        if not self._is_left_to_the_program():
          self._end()
        if number[0] == signal.SIGTERM:
          end = time.monotonic() + self._seconds

  def _is_left_to_the_program(self) -> bool:
    """Returns whether the program is left to end by itself after the last signal; passes SIGTERM on as a request."""
    if len(self._received) > 1:
      return False
    return self._raises or self._received[0] == signal.SIGTERM and termination.request()

  def _end(self) -> None:
    last = threading.Thread(target=termination.do_last_actions, daemon=True)
    last.start()
    last.join(_SECONDS_FOR_LAST_ACTIONS)
    text = f'{_SHOW_CURSOR}\n{self._message}\n' if os.isatty(2) else f'{self._message}\n'
    os.write(2, text.encode())  # not sys.stderr, which the main thread may be using
    os._exit(self.exit_code)


def _do_nothing(number: int, frame: types.FrameType | None) -> None:
  del number, frame
