"""Tries of a candidate that kills its worker or the search, and workers that cannot start at all."""

import pytest

from search.execution.executors import InProcess
from search.execution.executors import MachineLost
from search.execution.executors import WorkerDied
from search.execution.retries import Retrying
from search.execution.retries import WorkersCannotStart
from search.journal.journal import Journal
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import stage
from tests.search.fake_search import untimed


class MortalExecutor:
  """Workers that die in a task as often as `deaths` says, by key; `broken` ones die without a task too."""
  in_process = False
  free = 2
  death = WorkerDied('it died')

  def __init__(self, deaths, broken=False):
    self._deaths, self._broken, self._tasks, self.tried = dict(deaths), broken, [], []

  def submit(self, key, function, *args):
    self._tasks.append((key, function, args))

  def next_result(self):
    key, function, args = self._tasks.pop(0)
    self.tried.append(key)
    if self._deaths.get(key, 0) > 0:
      self._deaths[key] -= 1
      return key, self.death
    return key, function(*args)

  def probe(self):
    self.tried.append('probe')
    if self._broken:
      raise WorkerDied


@pytest.fixture
def retrying(tmp_path):
  """Makes a `Retrying` around an executor."""
  journals = []

  def make(executor, retries=2):
    journals.append(Journal(tmp_path / 'journal.jsonl', {}))
    return Retrying(executor, retries, journals[-1])

  yield make
  for journal in journals:
    journal.close()


def results(retrying, keys):
  for key in keys:
    retrying.submit(key, str.upper, key)
  ended = []
  while len(ended) < len(keys):
    ended += retrying.next_results()
  return ended


def test_a_task_is_tried_again_and_no_other(retrying):
  executor = MortalExecutor({'b': 2})
  assert sorted(results(retrying(executor), 'abc')) == [('a', 'A'), ('b', 'B'), ('c', 'C')]
  assert sorted(executor.tried) == ['a', 'b', 'b', 'b', 'c']


@pytest.mark.parametrize('retries, how', [(0, 'it died'), (1, 'it died, in each of 2 tries'),
                                          (2, 'it died, in each of 3 tries')])
def test_tries_are_bounded(retrying, retries, how):
  executor = MortalExecutor({'b': 99})
  ended = dict(results(retrying(executor, retries), 'abc'))
  assert isinstance(ended['b'], WorkerDied) and str(ended['b']) == how
  assert (ended['a'], ended['c']) == ('A', 'C') and executor.tried.count('b') == retries + 1


def test_lost_machines_do_not_count(retrying):
  executor = MortalExecutor({'b': 15})
  executor.death = MachineLost()
  assert sorted(results(retrying(executor, retries=0), 'abc')) == [('a', 'A'), ('b', 'B'), ('c', 'C')]
  assert 'probe' not in executor.tried


def test_a_task_that_loses_very_many_machines_is_to_blame(retrying):
  executor = MortalExecutor({'b': 99})
  executor.death = MachineLost()
  ended = dict(results(retrying(executor, retries=1), 'ab'))
  assert isinstance(ended['b'], WorkerDied) and executor.tried.count('b') == 22 and ended['a'] == 'A'


def test_workers_that_cannot_start_end_the_search_before_a_candidate_is_blamed(bare, tmp_path):
  always = {f'reference {name}': 99 for name in ('bn_relu', 'evonorm_s0')}
  executor = MortalExecutor(always, broken=True)
  executor.close = lambda: None
  with pytest.raises(WorkersCannotStart, match='workers die at their start: 3 in a row.*recorded before is safe'):
    search(tmp_path, executor=lambda: executor)
  assert read(tmp_path) == [] and executor.tried.count('probe') == 1


def test_workers_that_start_are_not_blamed_for_their_tasks(retrying):
  executor = MortalExecutor({'a': 99, 'b': 99})
  assert [key for key, _ in results(retrying(executor), 'ab')] == ['a', 'b']
  assert executor.tried == ['a', 'b', 'a', 'probe', 'b', 'a', 'b', 'probe']


def test_results_in_between_spare_the_probe(retrying):
  executor = MortalExecutor({'a': 1, 'b': 1, 'd': 1, 'e': 1})
  assert len(results(retrying(executor), 'abcdef')) == 6 and 'probe' not in executor.tried


def test_what_has_ended_comes_together_and_before_an_error(retrying):
  executor = MortalExecutor({'b': 1})
  executor.has_result = lambda: bool(executor._tasks)
  trying = retrying(executor)
  for key, function in (('b', str.upper), ('c', str.upper), ('d', str.upper), ('a', int)):
    trying.submit(key, function, key)
  assert trying.next_results() == [('c', 'C'), ('d', 'D')]
  with pytest.raises(ValueError, match='invalid literal'):  # int('a')
    trying.next_results()


class Died(BaseException):
  """What nothing in the search catches."""


def run_until_death(monkeypatch, model_dir, graph):
  """Runs a search that ends without a word in the evaluation of a graph, as one whose process is killed."""
  evaluate = FakeEvaluation.evaluate

  def evaluate_or_die(self, spec):
    if getattr(spec, 'to_dict', str)() == graph:
      raise Died
    return evaluate(self, spec)

  with monkeypatch.context() as patch:
    patch.setattr(FakeEvaluation, 'evaluate', evaluate_or_die)
    patch.setattr(Journal, 'close', lambda self: self._file.close())
    search(model_dir)


def test_a_candidate_that_ends_the_search_itself_is_recorded_as_failed(bare, whole, tmp_path, monkeypatch):
  deadly = stage(whole[1], 'evolution')[3]
  for _ in range(3):
    with pytest.raises(Died):
      run_until_death(monkeypatch, tmp_path, deadly['graph'])
  run_until_death(monkeypatch, tmp_path, deadly['graph'])
  records = read(tmp_path)
  failed, = (r for r in records if 'the process of the search died' in r['detail'])
  assert (failed['index'], failed['outcome']) == (deadly['index'], 'failed')
  assert failed['detail'].endswith(', in each of 3 tries')
  assert [r['index'] for r in stage(records, 'evolution')] == list(range(12))
  assert records[:5] == untimed(whole[1])[:5]


def test_what_runs_in_this_process_is_noted(retrying, tmp_path):
  assert results(retrying(InProcess()), 'a') == [('a', 'A')]
  assert (tmp_path / 'journal.jsonl').read_text().splitlines()[1:] == ['{"begun": "a"}']


def test_what_runs_elsewhere_is_not_noted(retrying, tmp_path):
  assert results(retrying(MortalExecutor({})), 'a') == [('a', 'A')]
  assert (tmp_path / 'journal.jsonl').read_text().splitlines()[1:] == []
