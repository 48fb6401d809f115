"""The contract of executors, as tests that the test file of each executor inherits.

A subclass defines the fixture `executor`: a running executor without TensorFlow in its workers, of scope 'class',
because some take seconds to start. Each test leaves it without tasks. Tasks are functions of the standard library or of
`deadly_tasks`, which can be pickled anywhere.
"""

import math
import operator
import os
import signal
import time

import pytest

from search.execution.executors import WorkerDied
from search.execution.retries import Retrying
from search.journal.journal import Journal
from tests.search import deadly_tasks


def run_all(executor, tasks):
  """Runs tasks, (function, *arguments) by key, as many at a time as the executor takes; returns the results by key."""
  results, waiting = {}, list(tasks.items())
  while len(results) < len(tasks):
    while waiting and executor.free:
      key, task = waiting.pop(0)
      executor.submit(key, *task)
    key, result = executor.next_result()
    assert key not in results
    results[key] = result
  return results


class ExecutorContract:
  """The contract of every executor."""

  def test_results_come_under_their_keys(self, executor):
    free = executor.free
    assert free >= 1
    assert run_all(executor, {i: (operator.mul, i, 10) for i in range(8)}) == {i: 10 * i for i in range(8)}
    assert executor.free == free

  def test_a_submitted_task_takes_a_place(self, executor):
    free = executor.free
    executor.submit('key', math.sqrt, 4.)
    assert executor.free == free - 1
    assert executor.next_result() == ('key', 2.) and executor.free == free

  def test_an_exception_of_a_task_is_raised_and_no_place_is_lost(self, executor):
    free = executor.free
    executor.submit('bad', math.sqrt, -1.)
    with pytest.raises(ValueError, match='^math domain error$'):
      executor.next_result()
    assert executor.free == free
    executor.submit('good', math.sqrt, 4.)
    assert executor.next_result() == ('good', 2.)

  def test_a_probe_leaves_no_result(self, executor):
    free = executor.free
    executor.probe()
    assert executor.free == free
    executor.submit('key', math.sqrt, 4.)
    assert executor.next_result() == ('key', 2.)

  def test_tasks_run_where_the_executor_says(self, executor):
    executor.submit('pid', os.getpid)
    _, pid = executor.next_result()
    assert (pid == os.getpid()) == executor.in_process


class WorkerExecutorContract(ExecutorContract):
  """The contract of executors whose tasks run in worker processes, two at a time."""

  def test_a_second_result_is_known_of(self, executor):
    for key, seconds in (('a', .05), ('b', .05)):
      executor.submit(key, time.sleep, seconds)
    first, _ = executor.next_result()
    deadline = time.monotonic() + 30.
    while not executor.has_result() and time.monotonic() < deadline:
      time.sleep(.01)
    assert executor.has_result()
    second, _ = executor.next_result()
    assert {first, second} == {'a', 'b'} and not executor.has_result()

  @pytest.mark.parametrize('death', [
      (os._exit, 0), pytest.param((os._exit, 3), marks=pytest.mark.slow), (signal.raise_signal, signal.SIGKILL)],
                           ids=['exit 0', 'exit 3', 'killed'])
  def test_a_dying_worker_takes_its_own_task_only(self, executor, death):
    executor.submit('innocent', time.sleep, .5)
    executor.submit('deadly', *death)
    results = dict(executor.next_result() for _ in range(2))
    assert isinstance(results['deadly'], WorkerDied) and 'the worker process died' in str(results['deadly'])
    assert results['innocent'] is None
    assert executor.free == 2
    for key in range(2):
      executor.submit(key, math.sqrt, 4.)
    assert dict(executor.next_result() for _ in range(2)) == {0: 2., 1: 2.}

  # 3 candidates of 60 die once, 10 of 200.
  @pytest.mark.parametrize('candidates', [60, pytest.param(200, marks=pytest.mark.slow)])
  def test_some_candidates_die_once_and_one_always(self, executor, tmp_path, candidates):
    deaths = [99 if i == 57 else int(i % 20 == 3) for i in range(candidates)]
    with Journal(tmp_path / 'journal.jsonl', {}) as journal:
      results = deadly_tasks.run_all(Retrying(executor, 2, journal), tmp_path, deaths)
    assert str(results.pop(57)).endswith('in each of 3 tries')
    assert results == {i: 10 * i for i in range(candidates) if i != 57}
    assert [len(deadly_tasks.pids(tmp_path, i)) for i in range(candidates)] == [min(d, 2) + 1 for d in deaths]
