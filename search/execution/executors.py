"""Where candidates are evaluated: in this process, or in worker processes; on a cluster by `search.execution.ray_executor`.

What an evaluation finds follows from the candidate and the task, not from the executor, up to the last digits, for
TensorFlow's sums depend on the number of its threads. With several workers the order of completion is chance, and with
it the population that a proposal is drawn from: two runs of such a search differ from its first mutations on.
"""

import collections
from collections.abc import Callable
import concurrent.futures
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
import os
import signal
import threading
from typing import Protocol

from absl import logging

from evonorm_tf.errors import ArgumentError
from search.execution.interrupts import interrupted_at_once


class WorkerDied(RuntimeError):
  """A worker process ended in the midst of a task: killed, out of memory, or crashed."""

  def __init__(self, message: str = 'the worker process died (killed, out of memory, or crashed)'):
    super().__init__(message)


class Executor(Protocol):
  """Runs tasks, each once; a task that kills its worker takes no other with it.

  Attributes:
    in_process: whether a task that crashes takes this process with it.
  """
  in_process: bool

  @property
  def free(self) -> int:
    """How many tasks can be submitted now."""

  def submit(self, key, function: Callable, *args) -> None:
    """Accepts the task function(*args), picklable unless it runs in this process; its result comes under `key`."""

  def next_result(self) -> tuple:
    """Waits for a task to end; returns (key, result), where a dead worker's result is a `WorkerDied`.

    An exception of the task is raised.
    """

  def probe(self) -> None:
    """Waits for a worker that does nothing; raises WorkerDied if it ends at its start. Needs a free place."""

  def close(self) -> None:
    """Ends the workers, and what they are doing."""


class InProcess:
  """Runs one task at a time in this process, when its result is asked for."""
  in_process = True

  def __init__(self):
    self._task = None

  @property
  def free(self) -> int:
    return int(self._task is None)

  def submit(self, key, function: Callable, *args) -> None:
    self._task = (key, function, args)

  def next_result(self) -> tuple:
    (key, function, args), self._task = self._task, None
    return key, function(*args)

  def probe(self) -> None:
    """There is no worker."""

  def close(self) -> None:
    """There is nothing to end."""


class WorkerProcesses:
  """Runs tasks in worker processes of this machine, each with its share of the cores.

  Every worker is a pool of its own, so that one that dies takes only its own task with it; it is replaced.

  Args:
    workers: the number of processes.
    candidates_per_process: after how many tasks a process is replaced, and what TensorFlow keeps of them is gone; None
      for never. To start one takes 3 to 5 seconds, as long as a candidate of the quickstart.
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

  def submit(self, key, function: Callable, *args) -> None:
    worker = self._idle[-1]
    try:
      future = _submit(worker, function, args)
    except BrokenProcessPool:  # it died while it was idle
      worker = self._idle[-1] = self._replace(worker)
      future = _submit(worker, function, args)
    self._running[future] = key, worker
    self._idle.pop()  # the last thing, so that `close` knows of the worker whenever a Ctrl-C comes

  def next_result(self) -> tuple:
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
      for process in list((worker._processes or {}).values()):
        process.kill()  # a shutdown would wait for the task in progress
    for worker in workers:
      worker.shutdown(wait=True, cancel_futures=True)

  def _start(self) -> concurrent.futures.ProcessPoolExecutor:
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    return concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn'), _initialize_worker, (prepare_tensorflow, self._threads))

  def _replace(self, worker) -> concurrent.futures.ProcessPoolExecutor:
    """Ends a worker that is at no task; returns a new one, whose process starts with its first task."""
    worker.shutdown(wait=False)
    self._tasks_done.pop(worker, None)
    return self._start()


def make_executor(workers: int) -> InProcess | WorkerProcesses:
  """Returns an executor: this process for one worker, else worker processes.

  Raises:
    ValueError: if `workers` is not positive.
  """
  return InProcess() if workers == 1 else WorkerProcesses(workers)


def _submit(worker: concurrent.futures.ProcessPoolExecutor, function: Callable, args) -> concurrent.futures.Future:
  """Submits a task. A process that starts for it inherits that SIGINT is blocked: a Ctrl-C is the driver's matter."""
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    return worker.submit(function, *args)
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def check_at_least_one(**arguments) -> None:
  """Raises ValueError for an argument that is neither None nor at least 1."""
  for name, value in arguments.items():
    if value is not None and value < 1:
      raise ArgumentError(f'`{name}` must be at least 1, received {value}.')


def _initialize_worker(prepare: Callable[[int], object], threads: int) -> None:
  """Readies a worker process: its share of the cores, no reaction to Ctrl-C, and an end with its parent."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  prepare(threads)


def prepare_tensorflow(threads: int) -> None:
  """Readies TensorFlow in a worker process, before its first use: quiet, on so many threads, GPU memory as needed."""
  import tensorflow as tf  # here, so that the driver's modules of graphs and selection stay without it
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, but every candidate is traced anew
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)
