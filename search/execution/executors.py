"""Executors, which run the evaluations of a search: in its own process, or in worker processes of this machine.

(The one for clusters is in `search.execution.ray_executor`.) The outcome of an evaluation depends on the candidate and
the task, not on the executor, except for the last digits, because TensorFlow's sums depend on the number of its
threads. With several workers the order of completion is random, and so is the population that a proposal is drawn from:
two runs of such a search differ from its first mutations on.
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
from search.execution.deferred_interrupts import interrupted_at_once


class WorkerDied(RuntimeError):
  """A worker process ended in the middle of a task: it was killed, ran out of memory, or crashed.

  Args:
    message: the error's text.
  """

  def __init__(self, message: str = 'the worker process died (killed, out of memory, or crashed)'):
    super().__init__(message)


class Executor(Protocol):
  """Runs each of its tasks once; a task that kills its worker does no harm to the other tasks.

  Attributes:
    in_process: whether tasks run in this process, so that one that crashes ends it.
  """
  in_process: bool

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now."""

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    """Accepts the task function(*args); its result comes under `key`. Must be picklable unless it runs in process."""

  def next_result(self) -> tuple[Hashable, Any]:
    """Waits for a task to end; returns its key and result, which is a `WorkerDied` if its worker died.

    An exception of the task is raised.
    """

  def probe(self) -> None:
    """Runs an empty task and waits for it; needs a free place.

    Raises:
      WorkerDied: if the worker ends at its start.
    """

  def close(self) -> None:
    """Ends the workers, whatever they are doing."""


class InProcess:
  """Runs one task at a time in this process, when its result is asked for."""
  in_process = True

  def __init__(self):
    self._task = None

  @property
  def free(self) -> int:
    return int(self._task is None)

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    self._task = (key, function, args)

  def next_result(self) -> tuple[Hashable, Any]:
    (key, function, args), self._task = self._task, None
    return key, function(*args)

  def probe(self) -> None:
    """Does nothing: there is no worker."""

  def close(self) -> None:
    """Does nothing: no task runs between two calls."""


class WorkerProcesses:
  """Runs tasks in worker processes of this machine, each with its share of the cores.

  Every worker is a pool of its own, so that only its own task is lost when it dies; another one replaces it.

  Args:
    workers: the number of processes.
    candidates_per_process: the number of tasks after which a process is replaced, to free what TensorFlow keeps of
      them; None for no limit (default). A new process takes 3 to 5 seconds to start, as long as a candidate of the
      quickstart.

  Raises:
    ValueError: if an argument is below 1.
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
    return len(self._idle)

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    worker = self._idle[-1]
    try:
      future = _submit(worker, function, args)
    except BrokenProcessPool:  # it died while it was idle
      worker = self._idle[-1] = self._replace(worker)
      future = _submit(worker, function, args)
    self._running[future] = key, worker
    self._idle.pop()  # last, so that `close` finds the worker whenever a Ctrl-C comes

  def next_result(self) -> tuple[Hashable, Any]:
    with interrupted_at_once():
      done, _ = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED)
    future = next(f for f in self._running if f in done)
    key, worker = self._running.pop(future)
    self._tasks_done[worker] += 1
    is_worn = self._tasks_done[worker] == self._candidates_per_process
    try:
      result = future.result()
    except BrokenProcessPool:
      logging.warning('A worker process died during %s; another one takes its place.', key)
      is_worn, result = True, WorkerDied()
    finally:
      self._idle.append(self._replace(worker) if is_worn else worker)
    return key, result

  def probe(self) -> None:
    worker = self._idle[-1]
    try:
      with interrupted_at_once():
        _submit(worker, os.getpid, ()).result()
    except BrokenProcessPool as e:
      self._idle[-1] = self._replace(worker)
      raise WorkerDied() from e

  def close(self) -> None:
    workers = [*self._idle, *(worker for _, worker in self._running.values())]
    for worker in workers:  # all, before anything waits: a second Ctrl-C then leaves nothing to wait for
      for process in list((worker._processes or {}).values()):  # noqa: SLF001  nothing public gives them
        process.kill()  # a shutdown would wait for the task in progress
    for worker in workers:
      worker.shutdown(wait=True, cancel_futures=True)

  def _start(self) -> concurrent.futures.ProcessPoolExecutor:
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    return concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn'), _initialize_worker, (prepare_tensorflow, self._threads))

  def _replace(self, worker) -> concurrent.futures.ProcessPoolExecutor:
    """Ends a worker that has no task; returns a new one, whose process starts with its first task."""
    worker.shutdown(wait=False)
    self._tasks_done.pop(worker, None)
    return self._start()


def make_executor(workers: int) -> InProcess | WorkerProcesses:
  """Returns the executor for a number of workers: this process for one, worker processes for more.

  Args:
    workers: the number of tasks at a time.

  Raises:
    ValueError: if `workers` is below 1.
  """
  return InProcess() if workers == 1 else WorkerProcesses(workers)


def _submit(worker: concurrent.futures.ProcessPoolExecutor, function: Callable, args) -> concurrent.futures.Future:
  """Submits a task, with SIGINT blocked, which a process that starts for it inherits: the driver handles Ctrl-C."""
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    return worker.submit(function, *args)
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def check_at_least_one(**arguments: float | None) -> None:
  """Raises ValueError unless every argument, named by its keyword, is None or at least 1."""
  for name, value in arguments.items():
    if value is not None and value < 1:
      raise ArgumentError(f'`{name}` must be at least 1, received {value}.')


def _initialize_worker(prepare: Callable[[int], object], threads: int) -> None:
  """Prepares a worker process: it has its share of the cores, ignores Ctrl-C, and ends with its parent."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  prepare(threads)


def prepare_tensorflow(threads: int) -> None:
  """Configures TensorFlow in a worker process before its first use: no warnings, GPU memory allocated as needed.

  Args:
    threads: the number of threads of an operation, and of operations at a time.
  """
  import tensorflow as tf  # here, so that a driver that trains nothing need not load it
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, which every candidate needs
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)
