"""Error messages without a traceback, for failures of a command that are not bugs of the program."""

from collections.abc import Iterator
import contextlib
import sys

from absl import logging

from evonorm_tf.errors import EvoNormError


@contextlib.contextmanager
def errors_as_messages() -> Iterator[None]:
  """A context in which an `EvoNormError` ends the process with its message and exit code 1.

  The flag --verbosity=1 shows the traceback as well. Every other error is a bug and passes with its traceback.

  Raises:
    SystemExit: in place of an `EvoNormError`.
  """
  try:
    yield
  except EvoNormError as e:
    logging.debug('The error came from here:', exc_info=True)
    sys.exit(f'error: {_without_gin(str(e))}')


def _without_gin(text: str) -> str:
  """Returns the text of an error without the lines in which gin names the function that it was calling."""
  return text.partition("\n  In call to configurable '")[0]
