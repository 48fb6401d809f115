"""Tasks as bytes for worker processes, with the primitives and index sets that users have registered.

What an importable module defines goes by its name, so that the worker imports the module. What a notebook, an
interpreter or a script defines goes by value, through cloudpickle: a worker does not run the script again.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import pickle
import sys
from typing import Any

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.registration import registered
from evonorm_tf.graph.registration import restore


def pack(function: Callable[..., Any], args: tuple[Any, ...], has_main: bool = False,
         large: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
  """Returns the task function(*args) and what is registered here as bytes, for `run_packed` in another process.

  Args:
    function: the function, which must be picklable.
    args: its arguments, picklable likewise.
    has_main: whether the other process imports this one's main program, if that is a module (default False).
    large: is called with the memory of each array; False says that it keeps it, and that `run_packed` will get it. None
      (default) puts all into the bytes.

  Raises:
    ArgumentError: if something cannot be pickled.
  """
  try:
    added = registered()
    by_name = has_main and _main_is_a_module()
    return pickle.dumps((_pickled(added, by_name) if added else b'', _pickled((function, args), by_name, large)))
  except Exception as e:  # whatever an object's own methods raise
    owner = getattr(function, '__self__', function)
    raise ArgumentError(f'{type(owner).__name__} cannot be sent to worker processes: {type(e).__name__}: {e}. '
                        '`workers = 1` needs no other process.') from e


def _pickled(value: Any, by_name: bool, large: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
  """Returns a value as bytes; what has no name that the other process could import goes by value."""
  if by_name:
    with contextlib.suppress(Exception):
      return pickle.dumps(value, protocol=5, buffer_callback=large)
  import cloudpickle
  return cloudpickle.dumps(value, protocol=5, buffer_callback=large)


def run_packed(task: bytes, *buffers: Any) -> bytes:
  """Runs a task from `pack` and returns its result as bytes, for `unpack`.

  Args:
    task: the bytes.
    *buffers: the memory that `large` kept, in the same order.
  """
  added, call = pickle.loads(task)
  if added:
    restore(pickle.loads(added))
  function, args = pickle.loads(call, buffers=buffers)
  return _pickled(function(*args), by_name=False)


def unpack(result: Any) -> Any:
  """Returns the result of a task that `run_packed` ran; anything else, such as a `WorkerDied`, as it is.

  Args:
    result: the bytes.
  """
  return pickle.loads(result) if isinstance(result, bytes) else result


@contextlib.contextmanager
def script_hidden() -> Iterator[None]:
  """A context in which a process that is spawned does not run this process's script, whose objects go by value.

  A script without a block `if __name__ == '__main__':` would start a search in each worker.
  """
  main = sys.modules['__main__']
  if _main_is_a_module() or not hasattr(main, '__file__'):
    yield
    return
  path = main.__file__
  del main.__file__  # `multiprocessing.spawn` then leaves it out
  try:
    yield
  finally:
    main.__file__ = path


def _main_is_a_module() -> bool:
  """Returns whether the main program is `python -m module`, whose functions another process can import."""
  return getattr(sys.modules['__main__'], '__spec__', None) is not None
