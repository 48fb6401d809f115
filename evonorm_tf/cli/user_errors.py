"""The end of a command for whose failure the program is not to blame: a message, and no traceback."""

from collections.abc import Iterator
import contextlib
import sys

from absl import logging

from evonorm_tf.errors import EvoNormError


@contextlib.contextmanager
def errors_as_messages() -> Iterator[None]:
  """Ends the process with the message of an `EvoNormError` that is raised within, and with exit code 1.

  --verbosity=1 shows the traceback as well. Every other error is a bug and keeps its traceback.
  """
  try:
    yield
  except EvoNormError as e:
    logging.debug('The error came from here:', exc_info=True)
    sys.exit(f'error: {_without_gin(str(e))}')


def _without_gin(text: str) -> str:
  """The text of an error without the lines in which gin says what it was calling."""
  return text.partition("\n  In call to configurable '")[0]
