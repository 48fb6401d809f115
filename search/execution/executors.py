"""Executors, which run the evaluations of a search in its own process or in worker processes on this machine.

The executor for clusters is in `search.execution.ray_executor`. The outcome of an evaluation does not depend on the
executor, except for rounding, because TensorFlow's sums depend on its number of threads. With several workers, however,
candidates finish in random order, and so the population that the next parent is drawn from is random: two runs of such
a search differ from their first mutations on.
"""

import collections
from collections.abc import Callable
from collections.abc import Hashable
import concurrent.futures
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
import os
import signal
import threading
from typing import Any
from typing import Protocol

from absl import logging

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import EvoNormError
from search.execution.deferred_interrupts import interrupted_at_once
from search.execution.packing import pack
from search.execution.packing import run_packed
from search.execution.packing import script_hidden
from search.execution.packing import unpack


class WorkerDied(EvoNormError, RuntimeError):
  """The error for a worker process that ended during a task: it was killed, ran out of memory, or crashed.

  Args:
    message: the text of the error (default: one that names these three causes).
  """

  def __init__(self, message: str = 'the worker process died (killed, out of memory, or crashed)'):
    super().__init__(message)


class MachineLost(WorkerDied):
  """The error for a worker that was lost with its machine, as one that a cluster takes back: no task is to blame."""

  def __init__(self) -> None:
    super().__init__('the machine of the worker was lost')


class Executor(Protocol):
  """The interface of an executor, which runs tasks, each a call of a function, in one or more workers.

  An executor runs each task once. A task that kills its worker must not affect the other tasks.

  Attributes:
    in_process: whether tasks run in this process, so that a task that crashes ends it.
  """
  in_process: bool

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now."""

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    """Accepts a task. Call it only if `free` is above 0.

    Args:
      key: identifies the task; `next_result` returns it with the result.
      function: the function to call. It and its arguments must be picklable, unless `in_process` is True.
      *args: the arguments of `function`.
    """

  def next_result(self) -> tuple[Hashable, Any]:
    """Waits until a task ends and returns its key and its result.

    Call it only while a task is running. Tasks may end in any order.

    Returns:
      The key given to `submit`, and the value that the function returned, or a `WorkerDied` if the task's worker died.

    Raises:
      Exception: the exception that the function raised.
    """

  def has_result(self) -> bool:
    """Returns whether a task has ended, so that `next_result` returns at once; an executor may do without it."""

  def probe(self) -> None:
    """Runs an empty task and waits for it, to test whether a worker can start. Call it only if `free` is above 0.

    Raises:
      WorkerDied: if the worker dies.
    """

  def close(self) -> None:
    """Ends the workers at once, without waiting for their tasks."""


class InProcess:
  """An executor that runs one task at a time in this process, during the call of `next_result`.

  Attributes:
    in_process: True.
  """
  in_process = True

  def __init__(self):
    self._task = None

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now, 0 or 1."""
    return int(self._task is None)

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    """Keeps the task function(*args) for `next_result`, which returns its result with `key`."""
    self._task = (key, function, args)

  def next_result(self) -> tuple[Hashable, Any]:
    """Runs the submitted task; returns its key and the value that it returned. Exceptions of the task are raised."""
    (key, function, args), self._task = self._task, None
    return key, function(*args)

  def has_result(self) -> bool:
    """Returns False: a task runs when its result is asked for."""
    return False

  def probe(self) -> None:
    """Does nothing: there is no worker."""

  def close(self) -> None:
    """Does nothing: no task runs between two calls."""


class WorkerProcesses:
  """An executor that runs tasks in worker processes on this machine, which share its cores equally.

  Each worker is a process pool of one process. A worker that dies loses only its own task, and a new one replaces it.

  Args:
    workers: the number of worker processes.
    candidates_per_process: the number of tasks after which a process is replaced, to free the memory that TensorFlow
      keeps; None (default) for no limit. A new process takes 3 to 5 seconds to start, as long as
      evaluating several random graphs of gin/search/quickstart.gin.

  Attributes:
    in_process: False.

  Raises:
    ArgumentError: if an argument is below 1.
  """
  in_process = False

  def __init__(self, workers: int, candidates_per_process: int | None = None):
    check_at_least_one(workers=workers, candidates_per_process=candidates_per_process)
    self._candidates_per_process = candidates_per_process
    self._threads = max(1, (os.cpu_count() or 1) // workers)
    self._idle = [self._start() for _ in range(workers)]
    self._running = {}  # future -> (key, worker)
    self._tasks_done = collections.Counter()  # by worker

  @property
  def free(self) -> int:
    """The number of idle workers."""
    return len(self._idle)

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    """Hands the task function(*args), which must be picklable, to an idle worker; `key` identifies its result.

    Raises:
      ArgumentError: if it cannot be pickled.
    """
    worker, task = self._idle[-1], pack(function, args, has_main=True)
    try:
      future = _submit(worker, run_packed, (task,))
    except BrokenProcessPool:  # it died while it was idle
      worker = self._idle[-1] = self._replace(worker)
      future = _submit(worker, run_packed, (task,))
    self._running[future] = key, worker
    self._idle.pop()  # last, so that `close` finds the worker even after Ctrl-C in this method

  def next_result(self) -> tuple[Hashable, Any]:
    """Waits until a task ends; returns its key and its value, a `WorkerDied` if the worker died.

    Raises:
      Exception: the exception that the task raised.
      KeyboardInterrupt: on Ctrl-C while it waits.
    """
    with interrupted_at_once():
      done, _ = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED)
    future = next(f for f in self._running if f in done)
    key, worker = self._running.pop(future)
    self._tasks_done[worker] += 1
    is_worn = self._tasks_done[worker] == self._candidates_per_process
    try:
      result = unpack(future.result())
    except BrokenProcessPool:
      logging.warning('A worker process died during %s; another one takes its place.', key)
      is_worn, result = True, WorkerDied()
    finally:
      self._idle.append(self._replace(worker) if is_worn else worker)
    return key, result

  def has_result(self) -> bool:
    """Returns whether a task has ended."""
    return any(future.done() for future in self._running)

  def probe(self) -> None:
    """Runs an empty task in an idle worker and waits for it; raises WorkerDied if the worker dies."""
    worker = self._idle[-1]
    try:
      with interrupted_at_once():
        _submit(worker, os.getpid, ()).result()
    except BrokenProcessPool as e:
      self._idle[-1] = self._replace(worker)
      raise WorkerDied() from e

  def close(self) -> None:
    """Kills the worker processes and their tasks."""
    workers = [*self._idle, *(worker for _, worker in self._running.values())]
    for worker in workers:  # kill all before the first wait, so that a second Ctrl-C leaves nothing to wait for
      for process in list((worker._processes or {}).values()):  # noqa: SLF001  there is no public access to them
        process.kill()  # a shutdown would wait for the task in progress
    for worker in workers:
      worker.shutdown(wait=True, cancel_futures=True)

  def _start(self) -> concurrent.futures.ProcessPoolExecutor:
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    return concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn'), _initialize_worker, (prepare_tensorflow, self._threads))

  def _replace(self, worker) -> concurrent.futures.ProcessPoolExecutor:
    """Ends a worker that has no task and returns a new one, whose process starts with its first task."""
    worker.shutdown(wait=False)
    self._tasks_done.pop(worker, None)
    return self._start()


def make_executor(workers: int) -> InProcess | WorkerProcesses:
  """Returns an executor on this machine: an `InProcess` for one worker, `WorkerProcesses` for more.

  Args:
    workers: the number of tasks to run at a time.

  Raises:
    ArgumentError: if `workers` is below 1.
  """
  return InProcess() if workers == 1 else WorkerProcesses(workers)


def _submit(worker: concurrent.futures.ProcessPoolExecutor, function: Callable, args) -> concurrent.futures.Future:
  """Submits a task with SIGINT blocked; a worker process that starts for it inherits this and never sees Ctrl-C."""
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    with script_hidden():
      return worker.submit(function, *args)
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def check_at_least_one(**arguments: float | None) -> None:
  """Checks that every argument is None or at least 1.

  Args:
    **arguments: the values to check, under their names for the message.

  Raises:
    ArgumentError: for the first argument below 1.
  """
  for name, value in arguments.items():
    if value is not None and value < 1:
      raise ArgumentError(f'`{name}` must be at least 1, received {value}.')


def _initialize_worker(prepare: Callable[[int], object], threads: int) -> None:
  """Prepares a new worker process, which ignores Ctrl-C, ends with its parent and uses a number of threads."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  prepare(threads)


def prepare_tensorflow(threads: int) -> None:
  """Configures TensorFlow in a worker process: number of threads, no warnings, GPU memory allocated as needed.

  Call it before TensorFlow is used for the first time in the process.

  Args:
    threads: the number of threads inside one operation, and also the number of operations that run at a time.
  """
  import tensorflow as tf  # here, so that a main process that trains nothing need not load it
  tf.get_logger().setLevel('ERROR')  # no warnings of retracing, which every candidate needs
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)
