"""The scheduler: when jobs are made, which of them run, and in which order their results are recorded."""

import types

import pytest

from evonorm_tf.errors import ArgumentError
from search.execution.executors import WorkerDied
from search.graphs.known_graphs import known_graph
from search.jobs import Candidates
from search.jobs import FixedLayers
from search.jobs import Job
from search.journal.record import Record
from search.scheduler import Scheduler
from search.scheduler import Track
from search.selection.proposal import Proposal
from tests.search.fake_search import FakeEvaluation

S0, B0, S1 = (known_graph(f'evonorm_{name}') for name in ('s0', 'b0', 's1'))


class Executor:
  """Has room for a number of tasks and ends the last one first, or all of them together."""

  def __init__(self, room, all_at_once=False, slow=False):
    self._room, self._tasks, self.begun, self._all_at_once, self._slow = room, [], [], all_at_once, slow

  @property
  def free(self):
    return self._room - len(self._tasks)

  def submit(self, key, function, *args):
    self.begun.append(key)
    self._tasks.append((key, function, args))

  def has_result(self):
    return bool(self._tasks) and not self._slow

  def next_results(self):
    ended, self._tasks = (self._tasks[::-1], []) if self._all_at_once else (self._tasks[-1:], self._tasks[:-1])
    return [(key, function(*args)) for key, function, args in ended]


class Recorder:
  """Keeps the records, how many came together, and the stages that were begun."""

  def __init__(self):
    self.records, self.groups, self.stages = [], [], []

  def begin(self, stage, seconds_left):
    self.stages.append((stage, seconds_left))

  def record(self, results):
    records = [job.record(result, {}, elapsed=0.) for job, result, _ in results]
    self.records += records
    self.groups.append(len(records))
    return records


class Proposer:
  """Proposes from a list; notes what is on record at each proposal."""

  def __init__(self, proposals, records):
    self._proposals, self._records = proposals, records
    self.replayed, self.taken, self.known = [], [], []

  def replay(self, records):
    self.replayed += records

  def take(self, record):
    self.taken.append(record.index)

  def propose(self, index):
    self.known.append(len(self._records))
    return self._proposals[index]


def run(room, proposals, records=(), seconds_left=lambda: 1., note=lambda index: None, **kind):
  """Runs candidates to the end; returns executor, recorder and proposer. `note` gets the index of each proposal."""
  executor, recorder = Executor(room, **kind), Recorder()
  recorder.records += records
  proposer = Proposer(proposals, recorder.records)
  propose = proposer.propose
  proposer.propose = lambda index: note(index) or propose(index)
  source = Candidates(proposer, FakeEvaluation(), len(proposals), recorder.records, seconds_left)
  Scheduler(executor).run([Track([source], recorder)])
  return executor, recorder, proposer


def indices(recorder):
  return [r.index for r in recorder.records]


def test_candidates_are_proposed_only_when_a_worker_is_free():
  proposals = [Proposal(i, graph) for i, graph in enumerate((S0, B0, S1))]
  executor, recorder, proposer = run(1, proposals)
  assert executor.begun == ['evolution 0', 'evolution 1', 'evolution 2'] and proposer.known == [0, 1, 2]
  assert indices(recorder) == proposer.taken == [0, 1, 2] and recorder.stages == [('evolution', 1.)]
  executor, recorder, proposer = run(2, proposals)
  assert proposer.known == [0, 0, 1] and indices(recorder) == [1, 2, 0]


def test_copies_wait_for_a_running_original_and_take_the_outcome_of_a_finished_one():
  proposals = [Proposal(0, S0), Proposal(1, S0, same_as=0), Proposal(2, S0, same_as=0), Proposal(3, B0),
               Proposal(4, B0, same_as=3)]
  executor, recorder, proposer = run(2, proposals)
  assert executor.begun == ['evolution 0', 'evolution 3']
  assert indices(recorder) == proposer.taken == [3, 4, 0, 1, 2]
  assert [r.same_as for r in recorder.records] == [None, 3, None, 0, 0]
  assert len({(r.outcome, tuple(r.scores.items())) for r in recorder.records if r.graph == S0}) == 1
  executor, recorder, _ = run(1, proposals)
  assert executor.begun == ['evolution 0', 'evolution 3'] and indices(recorder) == [0, 1, 2, 3, 4]


def test_results_that_come_together_are_recorded_together_before_the_next_proposal():
  proposals = [Proposal(0, S0), Proposal(1, B0), Proposal(2, S0, same_as=0), Proposal(3, S1)]
  executor, recorder, proposer = run(3, proposals, all_at_once=True)
  assert executor.begun == ['evolution 0', 'evolution 1', 'evolution 3']
  assert indices(recorder) == proposer.taken == [3, 1, 0, 2] and recorder.groups == [3, 1]
  executor, recorder, proposer = run(2, [Proposal(i, graph) for i, graph in enumerate((S0, B0, S1))], all_at_once=True)
  assert proposer.known == [0, 0, 2] and recorder.groups == [2, 1]


def test_while_many_workers_are_busy_candidates_are_proposed_ahead():
  proposals = [Proposal(i, graph) for i, graph in enumerate((S0, B0, S1, S0, B0, S1))]
  _, recorder, proposer = run(2, proposals, slow=True)
  assert proposer.known == [0, 0, 0, 1, 2, 3] and sorted(indices(recorder)) == list(range(6))  # one ahead
  _, _, proposer = run(1, proposals, slow=True)
  assert proposer.known == [0, 1, 2, 3, 4, 5]
  many = [Proposal(i, S0) for i in range(40)]
  _, recorder, proposer = run(20, many, slow=True)
  assert proposer.known == [0] * 22 + list(range(1, 19))


def test_copies_of_a_candidate_that_was_proposed_ahead_take_its_outcome():
  proposals = [Proposal(0, S0), Proposal(1, B0), Proposal(2, S1), Proposal(3, S1, same_as=2),
               Proposal(4, S0, same_as=0)]
  executor, recorder, _ = run(2, proposals, slow=True)
  assert executor.begun == [f'evolution {i}' for i in range(3)] and sorted(indices(recorder)) == [0, 1, 2, 3, 4]
  assert {r.index: r.same_as for r in recorder.records} == {0: None, 1: None, 2: None, 3: 2, 4: 0}


def test_what_was_proposed_ahead_is_not_begun_when_time_is_up():
  proposals, known = [Proposal(i, S0) for i in range(9)], []
  executor, recorder, _ = run(2, proposals, seconds_left=lambda: 3. - len(known) - .5, note=known.append, slow=True)
  assert known == [0, 1, 2] and executor.begun == ['evolution 0', 'evolution 1'] and len(recorder.records) == 2


def test_an_earlier_searchs_outcome_is_taken_over_without_an_evaluation():
  earlier = Record(stage='evolution', outcome='accepted', index=17, graph=S0, scores={'a': .25}, parent=3)
  executor, recorder, _ = run(1, [Proposal(0, S0, origin='candidate 17 of another search', earlier=earlier)])
  assert executor.begun == []
  taken, = recorder.records
  assert (taken.index, taken.parent, taken.scores) == (0, None, {'a': .25})
  assert taken.origin == 'candidate 17 of another search'


def test_candidates_on_record_are_replayed_and_their_copies_need_no_evaluation():
  done = Record(stage='evolution', outcome='accepted', index=1, graph=S0, scores={'a': .25})
  executor, recorder, proposer = run(1, [Proposal(0, S0, same_as=1), None, Proposal(2, B0)], [done])
  assert proposer.replayed == [done] and executor.begun == ['evolution 2']
  assert indices(recorder) == [1, 0, 2] and recorder.records[1].scores == {'a': .25}


def test_when_time_is_up_nothing_is_begun_and_what_runs_is_recorded():
  proposals = [Proposal(i, S0) for i in range(9)]
  known = []  # the proposals that were made
  executor, recorder, _ = run(2, proposals, seconds_left=lambda: 2. - len(known) - .5, note=known.append)
  assert executor.begun == ['evolution 0', 'evolution 1'] and sorted(indices(recorder)) == [0, 1]


def test_fixed_layers_are_evaluated_once_each():
  executor, recorder = Executor(3), Recorder()
  recorder.records.append(Record(stage='reranking', outcome='failed', name='gn_relu'))
  found = Record(stage='evolution', outcome='accepted', index=3, graph=S0, scores={'a': .5}, parent=1, same_as=0)
  layers = [found, 'bn_relu', 'gn_relu', 'bn_relu']
  Scheduler(executor).run([Track([FixedLayers('reranking', layers, FakeEvaluation(), recorder.records)], recorder)])
  assert executor.begun == ['reranking candidate 3', 'reranking bn_relu']
  assert [(r.name, r.index, r.graph, r.parent, r.same_as) for r in recorder.records[1:]] == [
      ('bn_relu', None, None, None, None), ('candidate 3', 3, S0, None, None)]


def test_a_dead_workers_result_reaches_the_recorder():
  executor, results = Executor(1), []
  recorder = types.SimpleNamespace(
      begin=lambda *_: None,
      record=lambda ended: [results.append((job.key, result)) for job, result, _ in ended])
  executor.next_results = lambda: [('reference bn_relu', death)]
  death = WorkerDied()
  Scheduler(executor).run([Track([FixedLayers('reference', ['bn_relu'], FakeEvaluation(), ())], recorder)])
  assert results == [('reference bn_relu', death)]


@pytest.mark.parametrize('job, key, original', [
    (Job('evolution', S0, 'candidate 3', 3, same_as=1), 'evolution 3', 'evolution 1'),
    (Job('reranking', S0, 'candidate 3', 3), 'reranking candidate 3', None),
    (Job('reference', 'bn_relu', 'bn_relu'), 'reference bn_relu', None)])
def test_keys_are_those_of_the_journals_notes(job, key, original):
  assert (job.key, job.key_of_original) == (key, original)


def test_what_was_proposed_ahead_is_done_where_a_later_proposal_fails():
  class Exhausted(Proposer):
    """Has four graphs and no more."""

    def propose(self, index):
      if index == 4:
        raise ArgumentError('no new graph')
      return super().propose(index)

  recorder = Recorder()
  graphs = (S0, B0, S1, known_graph('bn_relu'))
  proposer = Exhausted([Proposal(i, graph) for i, graph in enumerate(graphs)], recorder.records)
  source = Candidates(proposer, FakeEvaluation(), 9, recorder.records, lambda: 1.)
  assert source.prepare(2) and source.prepare(2) and not source.prepare(2)
  assert [source.next_job().index for _ in range(2)] == [0, 1]
  assert all([source.prepare(3) for _ in range(3)]) and not source.prepare(3)  # 2, 3, and the failure
  track = Track([source], recorder)
  Scheduler(Executor(1)).run([track])
  assert indices(recorder) == [2, 3] and str(track.failure) == 'no new graph'


def test_a_search_without_further_graphs_does_not_keep_others_from_their_end():
  class Exhausted(Proposer):
    """Has one graph and no more."""

    def propose(self, index):
      if index:
        raise ArgumentError('no new graph')
      return super().propose(index)

  recorders = [Recorder(), Recorder()]
  tracks = [Track([Candidates(proposer([Proposal(i, graph) for i, graph in enumerate((S0, B0, S1))], recorder.records),
                              FakeEvaluation(), 3, recorder.records, lambda: 1.)], recorder, name)
            for name, proposer, recorder in zip('ab', (Exhausted, Proposer), recorders)]
  Scheduler(Executor(1)).run(tracks)
  assert [str(track.failure) for track in tracks] == ['no new graph', 'None']
  assert [indices(recorder) for recorder in recorders] == [[0], [0, 1, 2]]
