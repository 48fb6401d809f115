"""Decoding of image files without the lines that the JPEG library prints about a damaged one."""

from collections.abc import Iterator
import contextlib
import ctypes
import functools
import os


@contextlib.contextmanager
def silent_jpeg_library() -> Iterator[None]:
  """A context in which C libraries that print to the stream `stderr` print nothing, in all threads.

  In addition to the error that TensorFlow raises, its JPEG library prints what is wrong with a file to that stream,
  whatever TensorFlow's log level. What Python prints to standard error is not affected. GNU's C library has a
  variable `stderr`; with one that does not, nothing is silenced.
  """
  try:
    library, null = _null_stream()
    stream = ctypes.c_void_p.in_dll(library, 'stderr')
  except (AttributeError, OSError, ValueError):
    yield
    return
  before, stream.value = stream.value, null
  try:
    yield
  finally:
    stream.value = before


@functools.cache
def _null_stream() -> tuple[ctypes.CDLL, int]:
  """Returns the C library, and a stream of it that swallows everything; the stream is never closed."""
  library = ctypes.CDLL(None)
  library.fopen.restype = ctypes.c_void_p
  stream = library.fopen(os.devnull.encode(), b'w')
  if not stream:
    raise OSError(f'{os.devnull} cannot be opened')
  return library, stream
