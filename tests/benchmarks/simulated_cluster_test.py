"""The simulated cluster's account of time, with a clock of the test."""

import types

import pytest

from benchmarks.studies import simulated_cluster
from benchmarks.studies.simulated_cluster import Cluster
from search.execution.executors import WorkerDied


class Clock:
  """Time that passes when it is told so."""
  now = 100.

  def __call__(self):
    return self.now


@pytest.fixture
def clock():
  return Clock()


def outcome(seconds):
  return types.SimpleNamespace(seconds={'total': seconds})


def test_workers_are_busy_idle_or_not_yet_begun(clock, monkeypatch):
  monkeypatch.setattr(simulated_cluster, 'DEADLY', 0.)
  cluster = Cluster(2, scale=10., clock=clock)
  assert cluster.free == 2
  cluster.submit('a', outcome, 1.)  # from 0 to 10
  clock.now += 3.
  cluster.submit('b', outcome, .5)  # from 3 to 8
  assert cluster.free == 0 and (cluster.busy, cluster.first_idle, cluster.idle) == (15., 3., 0.)
  clock.now += 1.
  assert not cluster.has_result() and cluster.now == 4.
  assert cluster.next_result()[0] == 'b' and cluster.now == 8. and cluster.free == 1
  clock.now += 2.5
  assert cluster.has_result() and cluster.next_result()[0] == 'a' and cluster.now == 10.5 and cluster.free == 2
  cluster.submit('c', outcome, 2.)  # by the worker that has waited since 8
  cluster.submit('d', outcome, 2.)
  assert cluster.idle == 2.5 + .5 and cluster.busy == 55.


def test_the_time_of_the_evaluation_itself_does_not_count(clock):
  def slow(seconds):
    clock.now += 7.
    return outcome(seconds)

  cluster = Cluster(1, scale=1., clock=clock)
  cluster.submit('a', slow, 2.)
  assert cluster.now == 0. and cluster.next_result()[0] == 'a' and cluster.now == 2.


def test_a_worker_that_died_is_there_again_later(clock, monkeypatch):
  monkeypatch.setattr(simulated_cluster, 'DEADLY', 1.)
  cluster = Cluster(1, scale=1., clock=clock)
  cluster.submit('a', outcome, 2.)
  key, result = cluster.next_result()
  assert key == 'a' and isinstance(result, WorkerDied) and cluster.free == 0
  cluster.submit('a', outcome, 2.)  # waits for the worker
  assert cluster.next_result()[0] == 'a' and cluster.now == 34. and cluster.idle == 0.
