"""An executor that runs evaluations as Ray Core tasks, on all cores of this machine or on a cluster.

Ray never repeats a task here, because the search itself decides which candidates are tried again. When the process of
the search dies, the tasks and a local Ray end within seconds, and the search can be resumed from its journal. (Two of
Ray's agents, which run no candidate, may live for another minute.) On the console, Ray only reports why a worker died.
"""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterator
import contextlib
import functools
import os
import pathlib
import pickle
import signal
import socket
import threading
import time
from typing import Any

from absl import logging
import numpy as np

import evonorm_tf
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import how_to_install
from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.errors import UnreachableError
import search
from search.execution.deferred_interrupts import interrupted_at_once
from search.execution.executors import check_at_least_one
from search.execution.executors import MachineLost
from search.execution.executors import prepare_tensorflow
from search.execution.executors import WorkerDied
from search.execution.packing import pack
from search.execution.packing import run_packed
from search.execution.packing import unpack
from search.execution.retries import WorkersCannotStart

try:
  import ray
except ImportError:
  ray = None

LOCAL = 'local'
OBJECT_STORE_BYTES = 400 * 2 ** 20  # for the images of a task; Ray would reserve a third of the memory
LARGE_BYTES, MOST_KEPT = 2 ** 20, 16  # of an array that tasks share; arrays
SECONDS_BETWEEN_COUNTS = 10  # between two counts of the cluster's nodes
SECONDS_TO_ANSWER = 10  # for the connection to a cluster's address
STARTS = 3  # attempts to start a local Ray, which gives up after 30 seconds: too early on a busy machine


class RayExecutor:
  """An executor that runs each task in a worker process of Ray.

  Args:
    address: 'local' (default) to start a Ray on this machine, which ends with the search; 'auto' for the cluster that
      this machine belongs to (see `ray start`); or the address of a cluster as 'host:port'. For a cluster that requires
      a token, the search needs the environment variable RAY_AUTH_MODE=token; see Ray's documentation.
    num_cpus: the number of cores for each task (default 1), which is also TensorFlow's number of threads.
    num_gpus: the number of GPUs for each task, such as 0.25 if four tasks share one; 0 (default) hides the GPUs.
    tasks: the number of tasks at a time; None (default) for as many as the nodes have room for, which changes as the
      cluster grows or shrinks.
    candidates_per_process: the number of tasks after which a worker process ends; None for no limit. With 1 (default),
      no candidate can affect another through the process's memory. The start of TensorFlow then costs 3 to 5 seconds a
      candidate, little beside the minutes of the paper's task.
    runtime_env: Ray's description of the workers' environment. With None (default), a local Ray uses this environment,
      and the workers of a cluster receive the packages `search` and `evonorm_tf` of this process and its environment
      variables TF_*, except TF_CONFIG. TensorFlow and the extra `ray` must be installed on each node, with the data
      under the same absolute path. Use {} for a cluster with `search` and `evonorm_tf` installed on its nodes.

  Attributes:
    in_process: False.

  Raises:
    MissingDependencyError: if Ray is not installed; an ImportError.
    UnreachableError: if there is no Ray at `address`, or a local one does not start; a ConnectionError.
    ArgumentError: if an argument is out of range, or no node has room for a task.
  """
  in_process = False

  def __init__(self, address: str = LOCAL, num_cpus: float = 1, num_gpus: float = 0, tasks: int | None = None,
               candidates_per_process: int | None = 1, runtime_env: dict | None = None):
    check_at_least_one(tasks=tasks, candidates_per_process=candidates_per_process)
    if num_cpus <= 0 or num_gpus < 0:
      raise ArgumentError(
          f'`num_cpus` must be positive and `num_gpus` not negative, received {num_cpus} and {num_gpus}.')
    if ray is None:
      raise MissingDependencyError(f'Ray is not installed: {how_to_install("ray")}.')
    self._needs = {'CPU': num_cpus, 'GPU': num_gpus}
    self._tasks = tasks
    self._threads = max(1, int(num_cpus))
    self._running = {}  # reference to a result -> key
    self._kept = {}  # place and size of a large array in memory -> its buffer, and the reference to a copy
    self._ended = collections.deque()  # those of `_running` that are known to have ended
    self._counted_at = -SECONDS_BETWEEN_COUNTS
    _connect(address, runtime_env)
    try:
      self._remote = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0,
                                max_calls=candidates_per_process or 0)(_run)
      self._check_room()
    except BaseException:
      self.close()
      raise

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now; 0 where more run than there is room for, as after a loss."""
    return max(0, self._room() - len(self._running))

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    """Starts the task function(*args), which must be picklable, on the cluster; `key` identifies its result."""
    references: list[Any] = []
    task = pack(function, args, large=functools.partial(self._keep, references))
    self._running[self._start(run_packed, task, *references)] = key

  def _keep(self, references: list[Any], buffer: pickle.PickleBuffer) -> bool:
    """Puts the memory of a large array into Ray's object store, once for all tasks; returns whether it is no such one.

    So the images of `ProxyTask.data`, which are read-only, come to each node once, and not with each candidate. Arrays
    that could change travel with each task.
    """
    memory = buffer.raw()
    if memory.nbytes < LARGE_BYTES or not memory.readonly:
      return True
    place = np.frombuffer(memory, np.uint8).ctypes.data, memory.nbytes
    if place not in self._kept:  # the buffer is kept, too, so that no other array comes to lie there
      self._kept[place] = buffer, ray.put(np.frombuffer(memory, np.uint8))
      if len(self._kept) > MOST_KEPT:
        del self._kept[next(iter(self._kept))]
    references.append(self._kept[place][1])
    return False

  def next_result(self) -> tuple[Hashable, Any]:
    """Waits until a task ends; returns its key and its value, a `WorkerDied` if the worker was lost.

    Raises:
      WorkersCannotStart: if the workers' environment `runtime_env` cannot be set up.
      Exception: the exception that the task raised.
      KeyboardInterrupt: on Ctrl-C while it waits.
    """
    if not self.has_result():
      with interrupted_at_once():
        self._ended += ray.wait(list(self._running))[0]
    done = self._ended.popleft()
    key = self._running.pop(done)
    try:
      return key, unpack(_result(done))
    except WorkerDied as e:
      logging.warning('A worker was lost during %s: %s.', key, e)
      return key, e

  def has_result(self) -> bool:
    """Returns whether a task has ended."""
    if not self._ended and self._running:
      self._ended += ray.wait(list(self._running), num_returns=len(self._running), timeout=0)[0]
    return bool(self._ended)

  def probe(self) -> None:
    """Runs an empty task and waits for it; raises WorkerDied if its worker is lost."""
    with interrupted_at_once():
      _result(self._start(os.getpid))

  def close(self) -> None:
    """Disconnects from the cluster, which ends the tasks of this process, or ends the local Ray."""
    ray.shutdown()  # ends a local Ray; on a cluster, ends this process's tasks

  def _start(self, function: Callable, *args):
    return self._remote.remote(prepare_tensorflow, self._threads, function, *args)  # Ray resolves references here

  def _room(self) -> int:
    """Returns the number of tasks that may run at a time; the cluster's nodes are counted every few seconds."""
    if self._tasks is not None:
      return self._tasks
    if time.monotonic() - self._counted_at >= SECONDS_BETWEEN_COUNTS:
      self._places = sum(self._places_on(node['Resources']) for node in ray.nodes() if node['Alive'])
      self._counted_at = time.monotonic()
    return self._places

  def _places_on(self, resources: dict[str, float]) -> int:
    return int(min(resources.get(kind, 0) / need for kind, need in self._needs.items() if need))

  def _check_room(self) -> None:
    if not self._room():
      nodes = [{kind: n['Resources'].get(kind, 0) for kind in self._needs} for n in ray.nodes() if n['Alive']]
      raise ArgumentError(f'`num_cpus` and `num_gpus` ask for {self._needs} a task, and no node has them: {nodes}. '
                          'For a cluster that grows when there is work, say by `tasks` how many may run.')


def _run(prepare: Callable[[int], object], threads: int, function: Callable, *args: Any):
  """Runs a task in a worker process, after preparing TensorFlow once in each process."""
  _prepare_once(prepare, threads)
  return function(*args)


@functools.cache
def _prepare_once(prepare, threads):
  prepare(threads)


def _result(reference):
  """Returns the result of a task or raises its exception; raises WorkerDied or MachineLost if its worker was lost."""
  try:
    return ray.get(reference)
  except (ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError) as e:
    raise MachineLost() from e
  except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as e:
    raise WorkerDied() from e
  except ray.exceptions.RayTaskError as e:
    raise e.cause from e
  except ray.exceptions.RuntimeEnvSetupError as e:
    raise WorkersCannotStart(f'workers cannot start in `runtime_env`: {e}') from e


def _connect(address: str, runtime_env: dict | None) -> None:
  """Connects this process to a cluster, or starts a local Ray, without output on the console."""
  is_local = address == LOCAL
  _check_answers(address)
  options = {'log_to_driver': False, 'logging_level': 'ERROR'}
  if is_local:
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # sends nothing, and prints no notice of it
    options |= {'include_dashboard': False, 'object_store_memory': OBJECT_STORE_BYTES}
  elif runtime_env is None:
    runtime_env = _this_environment()
  for tries_left in reversed(range(STARTS if is_local else 1)):
    try:
      with _own_sigterm(), interrupted_at_once():
        ray.init(address=address, runtime_env=runtime_env, **options)
      return
    except Exception as e:  # ConnectionError, ValueError or a bare Exception, depending on the fault
      ray.shutdown()
      if not tries_left:
        reasons = [str(e), *str(e.__cause__ or '').strip().splitlines()[-1:]]
        raise UnreachableError(f'`address`: no Ray at {address!r}: {" ".join(reasons)}') from e
    except BaseException:
      ray.shutdown()
      raise


def _check_answers(address: str) -> None:
  """Raises UnreachableError if nothing listens at the address's host and port; Ray itself would try for minutes."""
  host, _, port = address.removeprefix('ray://').rpartition(':')
  if host and port.isdecimal():
    try:
      socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()
    except OSError as e:
      raise UnreachableError(f'`address`: no Ray at {address!r}: {e}') from e


def _this_environment() -> dict:
  """Returns a `runtime_env` with this process's packages and TensorFlow variables, for the workers of a cluster."""
  packages = [str(pathlib.Path(file).parent) for file in (search.__file__, evonorm_tf.__file__)]
  variables = {name: value for name, value in os.environ.items() if name.startswith('TF_') and name != 'TF_CONFIG'}
  return {'py_modules': packages, 'env_vars': variables}


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
  """Restores the handler of SIGTERM at the end of the context, since Ray replaces it."""
  handler = signal.getsignal(signal.SIGTERM)
  try:
    yield
  finally:
    if threading.current_thread() is threading.main_thread() and handler is not None:
      signal.signal(signal.SIGTERM, handler)
