"""Where candidates are evaluated: in this process, or in worker processes."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from absl import logging


class WorkerDied(RuntimeError):
  """A worker process ended in the midst of a task: killed, out of memory, or crashed."""


class InProcess:
  """Runs one task at a time in this process, when its result is asked for."""

  def __init__(self):
    self._task = None

  @property
  def free(self) -> int:
    """How many tasks can be submitted now."""
    return int(self._task is None)

  def submit(self, key, function: Callable, *args) -> None:
    """Accepts the task function(*args); its result comes under `key`."""
    self._task = (key, function, args)

  def next_result(self):
    """Returns (key, result) of a task that was submitted."""
    (key, function, args), self._task = self._task, None
    return key, function(*args)

  def close(self) -> None:
    """Ends the workers."""


class WorkerProcesses:
  """Runs tasks in worker processes that live on from task to task, each with its share of the cores.

  Every worker is a pool of its own, so that one that dies takes only its own task with it; it is replaced.

  Args:
    workers: the number of processes.
  """

  def __init__(self, workers: int):
    if workers < 1:
      raise ValueError(f'`workers` must be at least 1, received {workers}.')
    self._threads = max(1, (os.cpu_count() or 1) // workers)
    self._idle = [self._start() for _ in range(workers)]
    self._running = {}  # future -> (key, worker)

  @property
  def free(self) -> int:
    """How many tasks can be submitted now."""
    return len(self._idle)

  def submit(self, key, function: Callable, *args) -> None:
    """Gives the task function(*args), which must be picklable, to an idle worker."""
    worker = self._idle[-1]
    try:
      future = _submit(worker, function, args)
    except BrokenProcessPool:  # it died while it was idle
      worker = self._idle[-1] = self._start()
      future = _submit(worker, function, args)
    self._running[future] = key, worker
    self._idle.pop()  # the last thing, so that `close` knows of the worker whenever a Ctrl-C comes

  def next_result(self):
    """Waits for a task to end; returns (key, result), where a dead worker's result is a `WorkerDied`."""
    done, _ = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED)
    future = next(f for f in self._running if f in done)
    key, worker = self._running.pop(future)
    try:
      result = future.result()
    except BrokenProcessPool:
      logging.warning('A worker process died during task %s; another one takes its place.', key)
      worker.shutdown(wait=False)
      worker, result = self._start(), WorkerDied('the worker process died (killed, out of memory, or crashed)')
    finally:
      self._idle.append(worker)
    return key, result

  def close(self) -> None:
    """Ends the workers, and what they are doing."""
    workers = [*self._idle, *(worker for _, worker in self._running.values())]
    for worker in workers:  # all, before anything waits: a second Ctrl-C then leaves nothing to wait for
      for process in list((worker._processes or {}).values()):
        process.kill()  # a shutdown would wait for the task in progress
    for worker in workers:
      worker.shutdown(wait=True, cancel_futures=True)

  def _start(self) -> concurrent.futures.ProcessPoolExecutor:
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    return concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn'), _initialize_worker, (self._threads,))


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


def _initialize_worker(threads: int) -> None:
  """Readies a worker process: its share of the cores, no reaction to Ctrl-C, and an end with its parent."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  import tensorflow as tf  # here, so that the driver's modules of graphs and selection stay without it
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, but every candidate is traced anew
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)
