"""Decoding of image files without the lines that the JPEG library prints about a damaged one."""

from collections.abc import Iterator
import contextlib
import ctypes
import functools
import os


@contextlib.contextmanager
def silent_jpeg_library() -> Iterator[None]:
  """A context in which C libraries that print to the stream `stderr` print nothing, in all threads.

  TensorFlow's JPEG library tells what is wrong with a file there, whatever the level of TensorFlow's log, beside the
  error that TensorFlow raises. What Python prints to standard error is printed as ever. Where the C library has no
  variable of that name, which GNU's has, nothing is silenced.
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
