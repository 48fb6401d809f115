"""An executor that evaluates candidates by Ray Core tasks, on all cores of this machine or on a cluster.

Ray never repeats a task by itself: the search decides which candidates are tried again. When the process of the search
dies, Ray ends its tasks within seconds, and so does a local Ray; the search can go on from its journal. (Two of Ray's
agents, which run no candidate, may stay for a minute.) On the console Ray only says why a worker died.
"""

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterator
import contextlib
import functools
import os
import pathlib
import signal
import socket
import threading
import time
from typing import Any

from absl import logging

import evonorm_tf
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import MissingDependencyError
from evonorm_tf.errors import UnreachableError
import search
from search.execution.deferred_interrupts import interrupted_at_once
from search.execution.executors import check_at_least_one
from search.execution.executors import prepare_tensorflow
from search.execution.executors import WorkerDied
from search.execution.retries import WorkersCannotStart

try:
  import ray
except ImportError:
  ray = None

LOCAL = 'local'
OBJECT_STORE_BYTES = 100 * 2 ** 20  # a task and its outcome are kilobytes; by default Ray takes a third of the memory
SECONDS_BETWEEN_COUNTS = 10  # between two counts of the cluster's nodes
SECONDS_TO_ANSWER = 10
STARTS = 3  # tries for a local Ray, which gives up after 30 seconds: not enough on a machine with other load


class RayExecutor:
  """Runs each task in a worker process of Ray.

  Args:
    address: 'local' (default) for a Ray of the search's own on this machine, which ends with the search; 'auto' for the
      cluster that this machine belongs to (`ray start`); or the address of a cluster. If the cluster asks for a token
      (see Ray's documentation), the search needs the variable RAY_AUTH_MODE=token.
    num_cpus: cores of each task (default 1); TensorFlow gets as many threads.
    num_gpus: GPUs of each task, such as 0.25 if four tasks share one; 0 (default) hides the GPUs from the tasks.
    tasks: the number of tasks at a time; None (default) for as many as the nodes have room for, also when the cluster
      grows.
    candidates_per_process: the number of tasks after which a process ends; None for no limit. With 1 (default), nothing
      of a candidate can affect another, not even memory that TensorFlow keeps, at a cost of 3 to 5 seconds a candidate
      for the start of TensorFlow: right for the paper's task, which takes minutes.
    runtime_env: Ray's description of the workers' environment. By default (None) the workers of a cluster get the
      packages `search` and `evonorm_tf` of this process, and its variables TF_*; TensorFlow and the extra `ray` have
      to be installed on each node, and the data must be there under the same absolute path. Give {} for a cluster on
      whose nodes these packages are installed too.

  Raises:
    ImportError: without Ray.
    ConnectionError: if there is no cluster at the address.
    ValueError: if no node has room for a task.
  """
  in_process = False

  def __init__(self, address: str = LOCAL, num_cpus: float = 1, num_gpus: float = 0, tasks: int | None = None,
               candidates_per_process: int | None = 1, runtime_env: dict | None = None):
    check_at_least_one(tasks=tasks, candidates_per_process=candidates_per_process)
    if num_cpus <= 0 or num_gpus < 0:
      raise ArgumentError(
          f'`num_cpus` must be positive and `num_gpus` not negative, received {num_cpus} and {num_gpus}.')
    if ray is None:
      raise MissingDependencyError('Ray is not installed: pip install "evonorm-tf[ray]".')
    self._needs = {'CPU': num_cpus, 'GPU': num_gpus}
    self._tasks = tasks
    self._threads = max(1, int(num_cpus))
    self._running = {}  # reference to a result -> key
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
    return self._room() - len(self._running)

  def submit(self, key: Hashable, function: Callable[..., Any], *args: Any) -> None:
    self._running[self._start(function, *args)] = key

  def next_result(self) -> tuple[Hashable, Any]:
    with interrupted_at_once():
      (done, *_), _ = ray.wait(list(self._running))
    key = self._running.pop(done)
    try:
      return key, _result(done)
    except WorkerDied as e:
      logging.warning('A worker process died during %s.', key)
      return key, e

  def probe(self) -> None:
    with interrupted_at_once():
      _result(self._start(os.getpid))

  def close(self) -> None:
    ray.shutdown()  # ends a local Ray; on a cluster, the tasks of this process

  def _start(self, function: Callable, *args):
    return self._remote.remote(prepare_tensorflow, self._threads, function, args)

  def _room(self) -> int:
    """The number of tasks that the nodes have room for; nodes that were lost or added soon count."""
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


def _run(prepare: Callable[[int], object], threads: int, function: Callable, args: tuple):
  """Runs a task in a worker process."""
  _prepare_once(prepare, threads)
  return function(*args)


@functools.cache
def _prepare_once(prepare, threads):
  prepare(threads)


def _result(reference):
  """Returns the result of a task or raises its exception; raises WorkerDied if the task has neither."""
  lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError,
          ray.exceptions.ObjectLostError)
  try:
    return ray.get(reference)
  except lost as e:
    raise WorkerDied() from e
  except ray.exceptions.RayTaskError as e:
    raise e.cause from e
  except ray.exceptions.RuntimeEnvSetupError as e:
    raise WorkersCannotStart(f'workers cannot start in `runtime_env`: {e}') from e


def _connect(address: str, runtime_env: dict | None) -> None:
  """Connects this process to the cluster, or starts a local one, without output."""
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
    except Exception as e:  # ConnectionError, ValueError, or no class of its own, by the address and what is wrong
      ray.shutdown()
      if not tries_left:
        reasons = [str(e), *str(e.__cause__ or '').strip().splitlines()[-1:]]
        raise UnreachableError(f'`address`: no Ray at {address!r}: {" ".join(reasons)}') from e
    except BaseException:
      ray.shutdown()
      raise


def _check_answers(address: str) -> None:
  """Raises ConnectionError if nothing listens at host:port; Ray itself would try for minutes."""
  host, _, port = address.removeprefix('ray://').rpartition(':')
  if host and port.isdecimal():
    try:
      socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()
    except OSError as e:
      raise UnreachableError(f'`address`: no Ray at {address!r}: {e}') from e


def _this_environment() -> dict:
  """This process's code and its environment variables for TensorFlow, for the workers of a cluster."""
  packages = [str(pathlib.Path(file).parent) for file in (search.__file__, evonorm_tf.__file__)]
  variables = {name: value for name, value in os.environ.items() if name.startswith('TF_') and name != 'TF_CONFIG'}
  return {'py_modules': packages, 'env_vars': variables}


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
  """Restores the handler of SIGTERM, which Ray replaces."""
  handler = signal.getsignal(signal.SIGTERM)
  try:
    yield
  finally:
    if threading.current_thread() is threading.main_thread() and handler is not None:
      signal.signal(signal.SIGTERM, handler)
