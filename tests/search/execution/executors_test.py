"""Executors of this machine: their contract, processes that are replaced, Ctrl-C, ends.

Tasks are functions of the standard library, picklable anywhere. All but the last tests run workers without TensorFlow,
which they import in 5 seconds.
"""

import concurrent.futures
import math
import multiprocessing
import operator
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import tensorflow as tf

from search.execution import executors
from search.execution.deferred_interrupts import interrupts_noted
from search.execution.executors import InProcess
from search.execution.executors import make_executor
from search.execution.executors import WorkerDied
from search.execution.executors import WorkerProcesses
from tests.search.execution.executor_contract import ExecutorContract
from tests.search.execution.executor_contract import WorkerExecutorContract

ROOT = pathlib.Path(__file__).parents[3]


class TestInProcess(ExecutorContract):

  @pytest.fixture(scope='class')
  def executor(self):
    return InProcess()


class TestWorkerProcesses(WorkerExecutorContract):

  @pytest.fixture(scope='class')
  def executor(self):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(executors, 'prepare_tensorflow', abs)
      workers = WorkerProcesses(2)
      yield workers
      workers.close()


@pytest.fixture
def light_workers(monkeypatch):
  """Starts two workers that do without TensorFlow; closes them."""
  monkeypatch.setattr(executors, 'prepare_tensorflow', abs)
  workers = WorkerProcesses(2)
  yield workers
  workers.close()


def is_alive(pid):
  """Whether a process runs; one that has ended and waits for its parent (state Z) does not."""
  try:
    return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
  except OSError:
    return False


def wait_until(condition, seconds=30):
  end = time.monotonic() + seconds
  while not condition() and time.monotonic() < end:
    time.sleep(.02)
  return condition()


def ctrl_c(*_, **__):
  raise KeyboardInterrupt


def test_in_process_runs_one_task_when_asked():
  executor, calls = InProcess(), []
  assert executor.free == 1
  executor.submit('key', calls.append, 4)
  assert executor.free == 0 and not calls
  assert executor.next_result() == ('key', None) and calls == [4]
  executor.submit('pid', os.getpid)
  assert executor.next_result() == ('pid', os.getpid()) and executor.free == 1
  executor.close()


def test_make_executor():
  assert isinstance(make_executor(1), InProcess)
  workers = make_executor(3)
  assert isinstance(workers, WorkerProcesses) and workers.free == 3
  workers.close()
  for number in (0, -1):
    with pytest.raises(ValueError, match=f'`workers` must be at least 1, received {number}'):
      make_executor(number)
    with pytest.raises(ValueError, match=f'`candidates_per_process` must be at least 1, received {number}'):
      WorkerProcesses(1, number)


def test_results_come_under_their_keys_from_processes_that_live_on(light_workers):
  results = {}
  for key in range(8):
    while not light_workers.free:
      results.update([light_workers.next_result()])
    light_workers.submit(key, *((os.getpid,) if key % 2 else (operator.mul, key, 10)))
  while len(results) < 8:
    results.update([light_workers.next_result()])
  assert [results[key] for key in (0, 2, 4, 6)] == [0, 20, 40, 60]
  pids = {results[key] for key in (1, 3, 5, 7)}
  assert len(pids) <= 2 and os.getpid() not in pids
  assert light_workers.free == 2


def test_a_process_has_so_many_tasks_at_most(monkeypatch):
  monkeypatch.setattr(executors, 'prepare_tensorflow', abs)
  workers, pids = WorkerProcesses(1, candidates_per_process=2), []
  for task in range(5):
    workers.submit(task, *((math.sqrt, -1.) if task == 3 else (os.getpid,)))
    try:
      pids.append(workers.next_result()[1])
    except ValueError:
      pids.append(pids[-1])
  workers.close()
  assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]
  assert wait_until(lambda: not any(map(is_alive, pids)))


def test_a_probe_tells_whether_workers_can_start(light_workers, monkeypatch):
  light_workers.probe()
  assert light_workers.free == 2
  light_workers.close()
  monkeypatch.setattr(executors, 'prepare_tensorflow', os._exit)
  broken = WorkerProcesses(1)
  with pytest.raises(WorkerDied):
    broken.probe()
  assert broken.free == 1
  broken.close()


def test_a_worker_that_dies_while_idle_is_replaced(light_workers):
  for key in range(2):
    light_workers.submit(key, os.getpid)
  pids = set(dict(light_workers.next_result() for _ in range(2)).values())
  for pid in pids:
    os.kill(pid, signal.SIGKILL)
  assert wait_until(lambda: all(w._broken for w in light_workers._idle))
  for key in range(2):
    light_workers.submit(key, os.getpid)
  results = dict(light_workers.next_result() for _ in range(2))
  assert not pids & set(results.values())


def test_close_ends_tasks_in_progress(light_workers):
  light_workers.submit('pid', os.getpid)
  _, pid = light_workers.next_result()
  for key in range(2):
    light_workers.submit(key, time.sleep, 30)
  light_workers.close()
  assert not is_alive(pid)
  light_workers.close()  # a second time does nothing


@pytest.fixture
def busy_workers(light_workers):
  """Two workers and the ids of their processes, each at a task that is long."""
  for key in range(2):
    light_workers.submit(key, os.getpid)
  pids = [light_workers.next_result()[1] for _ in range(2)]
  for key in range(2):
    light_workers.submit(key, time.sleep, 30)
  return light_workers, pids


def test_ctrl_c_does_not_wait_for_a_worker(busy_workers):
  timer, start = threading.Timer(.3, os.kill, (os.getpid(), signal.SIGINT)), time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    with interrupts_noted():
      timer.start()
      busy_workers[0].next_result()
  assert time.monotonic() - start < 10


def test_a_second_ctrl_c_in_close_leaves_no_worker(busy_workers, monkeypatch):
  workers, pids = busy_workers
  with monkeypatch.context() as patch:
    patch.setattr(concurrent.futures.ProcessPoolExecutor, 'shutdown', ctrl_c)
    with pytest.raises(KeyboardInterrupt):
      workers.close()
  assert len(set(pids)) == 2 and wait_until(lambda: not any(map(is_alive, pids)))


def test_ctrl_c_while_a_task_is_submitted_leaves_no_worker(light_workers, monkeypatch):
  submit = executors._submit
  monkeypatch.setattr(executors, '_submit', lambda *args: submit(*args) and ctrl_c())
  with pytest.raises(KeyboardInterrupt):
    light_workers.submit('long', time.sleep, 30)
  started = {process.pid for process in multiprocessing.active_children()}
  assert started and any(map(is_alive, started))
  light_workers.close()
  assert not any(map(is_alive, started))


def test_workers_that_are_starting_do_not_see_ctrl_c(tmp_path):
  """A worker runs the main module before its initializer: here for longer than it takes to press Ctrl-C."""
  (tmp_path / 'parent.py').write_text(textwrap.dedent('''
      import os, signal, time
      from search.execution import executors
      executors.prepare_tensorflow = abs
      if __name__ == '__main__':
        signal.signal(signal.SIGINT, signal.default_int_handler)
        workers = executors.WorkerProcesses(2)
        try:
          for key in range(2):
            workers.submit(key, os.getpid)
          time.sleep(60)
        except KeyboardInterrupt:
          print(*(workers.next_result()[1] for _ in range(2)))
          workers.close()
      else:
        os.write(1, b'starting\\n')
        time.sleep(1)
  '''))
  parent = subprocess.Popen([sys.executable, '-m', 'parent'], cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(ROOT)},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
  with parent:
    assert [parent.stdout.readline() for _ in range(2)] == ['starting\n'] * 2
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all processes of the group
    pids, errors = parent.communicate()
  assert len({int(pid) for pid in pids.split()}) == 2 and errors == ''


@pytest.mark.slow
def test_workers_have_their_share_of_the_cores_and_ignore_ctrl_c(monkeypatch):
  monkeypatch.setattr(os, 'cpu_count', lambda: 7)
  handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit SIG_IGN
  workers = WorkerProcesses(2)
  tasks = {'Ctrl-C': (signal.getsignal, signal.SIGINT),
           'intra': (tf.config.threading.get_intra_op_parallelism_threads,),
           'inter': (tf.config.threading.get_inter_op_parallelism_threads,)}
  results = {}
  try:
    for key, task in tasks.items():
      workers.submit(key, *task)  # all to the same worker, so that a single one imports TensorFlow
      results.update([workers.next_result()])
  finally:
    workers.close()
    signal.signal(signal.SIGINT, handler)
  assert results == {'Ctrl-C': signal.SIG_IGN, 'intra': 3, 'inter': 3}


@pytest.mark.slow
@pytest.mark.parametrize('end', (signal.SIGKILL, signal.SIGTERM))
def test_workers_end_with_their_parent(end, tmp_path):
  (tmp_path / 'parent.py').write_text(textwrap.dedent('''
      import os, time
      from search.execution.executors import WorkerProcesses
      if __name__ == '__main__':
        workers = WorkerProcesses(2)
        for key in range(2):
          workers.submit(key, os.getpid)
        print(*(workers.next_result()[1] for _ in range(2)), flush=True)
        workers.submit('long', time.sleep, 30)
        workers.next_result()
  '''))
  parent = subprocess.Popen([sys.executable, '-m', 'parent'], cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(ROOT)},
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
  with parent:
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(set(pids)) == 2 and all(map(is_alive, pids))
    parent.send_signal(end)
  assert wait_until(lambda: not any(map(is_alive, pids)))
