"""Results of several workers that come at the same time: written together, seen one by one, and none lost."""

import dataclasses
import math
import os
import signal

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.evaluation.evaluation import Outcome
from search.execution.deferred_interrupts import interrupts_noted
from search.graphs.random_graph import SearchSpace
from search.jobs import FixedLayers
from search.journal.saved_search import load_search
from search.scheduler import Scheduler
from search.scheduler import Track
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import FakeExecutor
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import stage


class Together(FakeExecutor):
  """Three tasks at a time, which end together."""

  @property
  def free(self):
    return 3 - len(self._tasks)

  def has_result(self):
    return bool(self._tasks)


def test_callbacks_see_one_record_after_the_other(bare, tmp_path):
  seen = []

  def look(found, record):
    assert found.records[-1] is record
    on_disk = load_search(found.model_dir).records
    assert list(found.records) == on_disk[:len(found.records)]
    seen.append(len(on_disk) - len(found.records))

  records = search(tmp_path, executor=Together, callbacks=[look])
  assert len(seen) == len(records) and max(seen) == 2 and seen.count(0) < len(seen) / 2


def test_a_group_is_flushed_to_disk_once(bare, tmp_path, monkeypatch):
  flushes, sync = [], os.fsync
  monkeypatch.setattr(os, 'fsync', lambda fd: flushes.append(fd) or sync(fd))
  records = search(tmp_path / 'together', executor=Together)
  together = len(flushes)
  search(tmp_path / 'alone', executor=FakeExecutor)
  assert len(flushes) - together - len(records) < 8 and together < .6 * len(records) + 8


def test_what_a_callback_raises_keeps_the_others_of_the_group_from_nothing(bare, tmp_path):
  seen = []

  def fail(found, record):
    seen.append(record.name)
    if record.index == 3:
      raise RuntimeError('mine')

  with pytest.raises(RuntimeError, match='mine'):
    search(tmp_path, executor=Together, callbacks=[fail])
  assert [r.get('name', f'candidate {r.get("index")}') for r in read(tmp_path)] == seen
  group = seen.index('candidate 3') - 2  # after the two references come groups of three
  assert len(seen) == 2 + 3 * (group // 3 + 1)


CANDIDATES = []  # the graphs that `Wrong` has evaluated


@dataclasses.dataclass(frozen=True)
class Wrong(FakeEvaluation):
  """Gives the fifth candidate a score that no journal can hold."""

  def evaluate(self, spec):
    if isinstance(spec, LayerGraph):
      CANDIDATES.append(spec)
      if len(CANDIDATES) == 5:
        return Outcome('accepted', scores={'resnet': math.nan, 'mobilenet_v2': .5})
    return super().evaluate(spec)


def test_a_bad_outcome_takes_no_other_with_it(bare, tmp_path):
  CANDIDATES.clear()
  with pytest.raises(ArgumentError, match='the evaluation of candidate .* returned what a journal cannot hold'):
    search(tmp_path, executor=Together, evaluation=Wrong())
  assert len(stage(read(tmp_path), 'evolution')) == 5  # three, and two of the next three


def test_each_reference_of_a_group_has_its_point_in_tensorboard(tmp_path):
  records = search(tmp_path, executor=Together)
  events = EventAccumulator(str(tmp_path / 'tensorboard'), size_guidance={'tensors': 0}).Reload()
  tags = set(events.Tags()['tensors'])
  assert {f'{r["stage"]}/{r["name"]}' for r in records if r['stage'] != 'evolution' and r['scores']} <= tags


def test_a_search_of_groups_goes_on(bare, tmp_path):
  def stop(found, record):
    if len(found.records) >= 7:
      raise RuntimeError('enough')

  with pytest.raises(RuntimeError, match='enough'):
    search(tmp_path, executor=Together, callbacks=[stop])
  before = read(tmp_path)
  search(tmp_path, executor=Together)
  after = read(tmp_path)
  assert after[:len(before)] == before and sorted(r['index'] for r in stage(after, 'evolution')) == list(range(12))


def test_an_exhausted_space_loses_nothing_that_runs(bare, tmp_path, monkeypatch):
  monkeypatch.setattr('search.selection.proposal.MAX_DRAWS', 3000)
  with pytest.raises(ArgumentError, match='draws gave no new graph'):
    search(tmp_path, executor=FakeExecutor, space=SearchSpace(1), candidates=1000)
  evolved = stage(read(tmp_path), 'evolution')
  assert sorted(r['index'] for r in evolved) == list(range(len(evolved))) and len(evolved) > 3


class Recorder:
  """Keeps names; fails if it is told to."""

  def __init__(self, fails=False):
    self.names, self._fails = [], fails

  def begin(self, stage, seconds_left):
    """Nothing is shown."""

  def record(self, results):
    if self._fails:
      raise RuntimeError('of this search alone')
    self.names += [job.name for job, _, _ in results]
    return [job.record(result, {}, 0.) for job, result, _ in results]


class Retrying(Together):
  """With the methods that the scheduler calls."""

  def next_results(self):
    return [self.next_result() for _ in range(len(self._tasks))]


def test_a_search_that_fails_takes_no_results_of_others_with_it():
  recorders = [Recorder(fails=True), Recorder(), Recorder()]
  tracks = [Track([FixedLayers('reference', [name], FakeEvaluation(), ())], recorder, name)
            for name, recorder in zip(('bn_relu', 'gn_relu', 'evonorm_b0'), recorders)]
  with pytest.raises(RuntimeError, match='of this search alone'):
    Scheduler(Retrying()).run(tracks)
  assert [r.names for r in recorders] == [[], ['gn_relu'], ['evonorm_b0']]


def test_after_ctrl_c_what_workers_have_finished_is_recorded():
  class Interrupted(Retrying):
    def next_results(self):
      signal.raise_signal(signal.SIGINT)
      return super().next_results()

  names, recorder = ['bn_relu', 'gn_relu', 'evonorm_b0', 'evonorm_s0'], Recorder()
  track = Track([FixedLayers('reference', names, FakeEvaluation(), ())], recorder)
  with pytest.raises(KeyboardInterrupt), interrupts_noted():
    Scheduler(Interrupted(deadly=('reference gn_relu',))).run([track])
  assert sorted(recorder.names) == ['bn_relu', 'evonorm_b0']


def test_room_below_zero_begins_nothing():
  class Shrinking(Retrying):
    room = 3

    @property
    def free(self):
      return self.room - len(self._tasks)

    def next_results(self):
      self.room = 1
      return [self.next_result()]

  names = ['bn_relu', 'gn_relu', 'evonorm_b0', 'evonorm_s0', 'evonorm_s1']
  executor, recorder = Shrinking(), Recorder()
  Scheduler(executor).run([Track([FixedLayers('reference', names, FakeEvaluation(), ())], recorder)])
  assert sorted(recorder.names) == sorted(names) and executor.most == 3
