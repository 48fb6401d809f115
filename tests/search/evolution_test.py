"""The search with a fake evaluation: its stages, strategies, limits, and that what is interrupted ends the same.

A killed search is one whose journal stops at some byte; it is cut there, raised out of there, and killed there.
"""

import dataclasses
import json
import pathlib
import random
import subprocess
import sys
import time
import types
import zlib

import pytest

from evonorm_tf.layer_graph import LayerGraph
from search import evolution
from search.equation import equation_text
from search.evaluation import Outcome
from search.evolution import Reranking
from search.evolution import run_search
from search.executors import WorkerDied
from search.journal import Journal
from search.journal import JournalError
from search.population import Population
from search.proposal import RandomSearch
from search.proposal import TournamentEvolution
from search.random_graph import SearchSpace
from search.tournament import average_winner

REFERENCES = ('bn_relu', 'evonorm_s0')
FINALISTS = 3


@dataclasses.dataclass(frozen=True)
class FakeTask:
  steps: int = 7

  def load(self):
    return {'test': (None, [0] * 10)}


@dataclasses.dataclass(frozen=True)
class FakeEvaluation:
  """Scores that follow from the graph alone; one in five fails, one in five is rejected."""
  task: FakeTask = FakeTask()
  all_fail: bool = False

  def check(self):
    """Nothing can be wrong."""

  def evaluate(self, spec):
    text = json.dumps(spec.to_dict()) if isinstance(spec, LayerGraph) else spec
    rng = random.Random(zlib.crc32(text.encode()))
    kind = rng.random()
    if isinstance(spec, LayerGraph) and (kind < .4 or self.all_fail):
      return Outcome('failed' if kind < .2 else 'rejected: quality', 'a reason')
    scores = {name: rng.random() for name in ('resnet', 'mobilenet_v2')}
    return Outcome('accepted', '', scores, 1., scores, scores, {'total': .5})


def search(model_dir, candidates=12, **options):
  """Runs a small search; `options` win over its arguments."""
  evaluation = options.pop('evaluation', FakeEvaluation())
  arguments = dict(
      model_dir=str(model_dir), evaluation=evaluation, reranking=Reranking(evaluation, top=FINALISTS, best=2),
      strategy=TournamentEvolution(4, .5), space=SearchSpace(6), window=4, candidates=candidates,
      references=REFERENCES, seed=1)
  return run_search(**{**arguments, **options})


def untimed(records):
  return [{k: v for k, v in r.items() if k not in ('elapsed', 'seconds')} for r in records]


def read(model_dir):
  """The records of a journal without times."""
  return untimed(map(json.loads, (pathlib.Path(model_dir) / 'journal.jsonl').read_text().splitlines()[1:]))


def stage(records, name):
  return [r for r in records if r['stage'] == name]


@pytest.fixture
def bare(monkeypatch):
  """Leaves out TensorBoard and the report."""
  monkeypatch.setattr(evolution, 'Summaries', lambda *_, **__: types.SimpleNamespace(
      write=lambda records: None, write_text=lambda tag, text: None, close=lambda: None))
  monkeypatch.setattr(evolution, '_report', lambda *_: None)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The folder and the records of a search that was never interrupted, with all its files."""
  model_dir = tmp_path_factory.mktemp('whole')
  return model_dir, search(model_dir, operative_config=lambda: 'a = 1')


def test_stages_and_records(whole):
  model_dir, records = whole
  assert [r['stage'] for r in records] == ['reference'] * 2 + ['evolution'] * 12 + ['reranking'] * 5
  assert [r['index'] for r in stage(records, 'evolution')] == list(range(12))
  assert untimed(records) == read(model_dir)
  assert {r['outcome'] for r in stage(records, 'evolution')} == {'accepted', 'failed', 'rejected: quality'}
  for r in stage(records, 'evolution'):
    expected = FakeEvaluation().evaluate(LayerGraph.from_dict(r['graph']))
    assert {k: r[k] for k in dataclasses.asdict(expected)} == dataclasses.asdict(expected)
    assert set(r) == {'stage', 'index', 'parent', 'graph', 'filtered', 'elapsed', *dataclasses.asdict(expected)}
  assert [r['name'] for r in stage(records, 'reference')] == list(REFERENCES)
  assert all(r['graph'] is None and r['index'] is None for r in stage(records, 'reference'))
  assert [r['elapsed'] for r in records] == sorted(r['elapsed'] for r in records)


def test_the_best_candidates_and_the_references_are_reranked(whole):
  records = whole[1]
  accepted = [r for r in stage(records, 'evolution') if r['outcome'] == 'accepted']
  ranked = sorted(accepted, key=lambda r: -sum(r['scores'].values()))
  equations = [equation_text(LayerGraph.from_dict(r['graph'])) for r in ranked]
  best = [r for i, r in enumerate(ranked) if equations.index(equations[i]) == i][:FINALISTS]
  assert len(set(equations)) < len(equations)  # there are two of the same function, of which one is re-ranked
  reranked = stage(records, 'reranking')
  assert [r['name'] for r in reranked] == [f'candidate {r["index"]}' for r in best] + list(REFERENCES)
  assert [(r['index'], r['graph']) for r in reranked] == (
      [(r['index'], r['graph']) for r in best] + [(None, None)] * 2)
  assert all(r['test_scores'] for r in reranked)


def test_files(whole):
  model_dir = whole[0]
  names = {path.name for path in model_dir.iterdir()}
  assert {'journal.jsonl', 'operative_config.gin', 'tensorboard', 'report'} <= names
  assert (model_dir / 'operative_config.gin').read_text() == 'a = 1'
  assert LayerGraph.load(model_dir / 'report' / 'layer_1.json') and list((model_dir / 'tensorboard').iterdir())


@pytest.mark.parametrize('strategy, mutates', [
    (TournamentEvolution(4, .5), True), (TournamentEvolution(4, .5, average_winner), True), (RandomSearch(), False)],
                         ids=['Pareto', 'average', 'random'])
def test_strategies(bare, tmp_path, strategy, mutates):
  records = stage(search(tmp_path, 40, strategy=strategy), 'evolution')
  assert [r['index'] for r in records] == list(range(40))
  window = Population(4)
  for r in records:
    members = [m['index'] for m in window]
    assert (r['parent'] in members) == (r['parent'] is not None) == (mutates and r['index'] >= 4 and bool(members))
    if r['outcome'] == 'accepted':
      window.append(r)
  graphs = [LayerGraph.from_dict(r['graph']).without_dead_nodes() for r in records]
  assert len(set(graphs)) == 40
  assert sum(sum(r['filtered'].values()) for r in records) > 40


def test_strategies_and_seeds_differ(bare, tmp_path):
  options = [{}, {'seed': 2}, {'strategy': RandomSearch()}, {'strategy': TournamentEvolution(4, .5, average_winner)},
             {'window': 2}]
  journals = [json.dumps(untimed(search(tmp_path / str(i), 30, **o))) for i, o in enumerate(options)]
  assert len(set(journals)) == len(options)


def test_failures_alone_end_in_a_report_too(tmp_path, capsys):
  records = search(tmp_path, 6, evaluation=FakeEvaluation(all_fail=True))
  assert [r['parent'] for r in stage(records, 'evolution')] == [None] * 6
  assert [r['name'] for r in stage(records, 'reranking')] == list(REFERENCES)
  assert 'Report: ' in capsys.readouterr().out


class FakeExecutor:
  """Two tasks at a time, which end in random order; `deadly` ones kill their worker."""

  def __init__(self, deadly=()):
    self._tasks, self._rng, self._deadly = [], random.Random(0), deadly
    self.most = 0

  @property
  def free(self):
    return 2 - len(self._tasks)

  def submit(self, key, function, *args):
    assert self.free
    self._tasks.append((key, function, args))
    self.most = max(self.most, len(self._tasks))

  def next_result(self):
    key, function, args = self._tasks.pop(self._rng.randrange(len(self._tasks)))
    return key, WorkerDied('the worker process died') if key in self._deadly else function(*args)

  def close(self):
    self.most = None


def test_two_workers_do_each_index_once(bare, tmp_path, monkeypatch):
  executor = FakeExecutor(deadly=(5, 'bn_relu'))
  monkeypatch.setattr(evolution, 'make_executor', lambda workers: executor if workers == 2 else None)
  close, most = executor.close, []
  monkeypatch.setattr(executor, 'close', lambda: most.append(executor.most) or close())
  records = search(tmp_path, 20, workers=2)
  indices = [r['index'] for r in stage(records, 'evolution')]
  assert sorted(indices) == list(range(20)) != indices and most == [2]
  dead = [r for r in records if r['detail'] == 'the worker process died']
  assert [r.get('name', r['index']) for r in dead if r['stage'] != 'reranking'] == ['bn_relu', 5]
  assert {r['outcome'] for r in dead} == {'failed'}
  assert len({json.dumps(r['graph']) for r in stage(records, 'evolution')}) == 20


def test_resumed_with_two_workers(bare, tmp_path, monkeypatch):
  monkeypatch.setattr(evolution, 'make_executor', lambda workers: FakeExecutor())
  for kill_at in (4, 8, 11):
    with pytest.raises(Killed):
      run_killed(monkeypatch, tmp_path, kill_at)
  records = search(tmp_path, 12)
  assert sorted(r['index'] for r in stage(records, 'evolution')) == list(range(12))
  assert sorted(r['name'] for r in stage(records, 'reference')) == sorted(REFERENCES)
  assert len({r['name'] for r in stage(records, 'reranking')}) == len(stage(records, 'reranking')) == 5


@pytest.fixture
def clock(monkeypatch):
  """A clock that a fake evaluation advances by a minute."""
  now, evaluate = [1000.], FakeEvaluation.evaluate
  monkeypatch.setattr(evolution, 'time', types.SimpleNamespace(monotonic=lambda: now[0]))
  monkeypatch.setattr(
      FakeEvaluation, 'evaluate', lambda self, spec: now.append(now.pop() + 60) or evaluate(self, spec))
  return now


def test_max_minutes_ends_the_evolution_and_not_the_reranking(bare, tmp_path, clock):
  records = search(tmp_path, 50, max_minutes=6.5)
  assert len(stage(records, 'evolution')) == 5  # two minutes for the references; the seventh is begun at 6
  assert [r['elapsed'] for r in records][:7] == [60. * i for i in range(1, 8)]
  assert len(stage(records, 'reranking')) >= 2 + 1
  clock[0] += 10_000  # the time between two runs does not count
  resumed = search(tmp_path, 50, max_minutes=6.5)
  assert resumed == records
  more = search(tmp_path, 50, max_minutes=records[-1]['elapsed'] / 60 + 2.5)
  assert len(stage(more, 'evolution')) == 5 + 3 and more[:len(records)] == records


def test_what_runs_when_the_time_is_over_is_recorded(bare, tmp_path, monkeypatch, clock):
  monkeypatch.setattr(evolution, 'make_executor', lambda workers: FakeExecutor())
  records = search(tmp_path, 50, references=(), max_minutes=2.5)
  # Two begin at once, one more after each result; after the third, at 3 minutes, one is still running.
  assert sorted(r['index'] for r in stage(records, 'evolution')) == [0, 1, 2, 3]
  assert clock == [1000. + 60 * len(records)] and {r['stage'] for r in records} == {'evolution', 'reranking'}


class Killed(BaseException):
  """What nothing in the search catches."""


def run_killed(monkeypatch, model_dir, kill_at, **options):
  """Runs a search that is gone before record number `kill_at` is written."""
  append = Journal.append

  def append_or_die(self, record):
    if len(self.records) == kill_at:
      raise Killed
    append(self, record)

  with monkeypatch.context() as patch:
    patch.setattr(Journal, 'append', append_or_die)
    search(model_dir, **options)


def test_killed_before_every_record_and_resumed(bare, whole, tmp_path, monkeypatch):
  count = len(whole[1])
  for kill_at in range(count):
    with pytest.raises(Killed):
      run_killed(monkeypatch, tmp_path, kill_at)
    assert len(read(tmp_path)) == kill_at
  assert untimed(search(tmp_path)) == read(tmp_path) == untimed(whole[1])


def test_cut_at_any_byte_and_resumed(bare, whole, tmp_path):
  journal = (whole[0] / 'journal.jsonl').read_bytes()
  rng = random.Random(0)
  for cut in [0, 1, len(journal) - 1, len(journal), *(rng.randrange(len(journal)) for _ in range(25))]:
    (tmp_path / 'journal.jsonl').write_bytes(journal[:cut])
    search(tmp_path)
    assert read(tmp_path) == untimed(whole[1]), cut


def slow_search(model_dir):
  """What the killed process runs."""
  evaluate = FakeEvaluation.evaluate
  FakeEvaluation.evaluate = lambda self, spec: time.sleep(.05) or evaluate(self, spec)
  search(model_dir)


def test_killed_by_the_system_and_resumed(bare, whole, tmp_path):
  code = f'import runpy; runpy.run_path({__file__!r})["slow_search"]({str(tmp_path)!r})'
  child = subprocess.Popen([sys.executable, '-c', code], cwd=pathlib.Path(__file__).parents[2],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  journal, end = tmp_path / 'journal.jsonl', time.monotonic() + 60
  while not (journal.exists() and journal.read_bytes().count(b'\n') >= 8) and time.monotonic() < end:
    time.sleep(.005)
  with pytest.raises(JournalError, match='another process is running this search'):
    search(tmp_path)
  child.kill()
  child.wait()
  assert 7 <= len(read(tmp_path)) < len(whole[1])
  search(tmp_path)
  assert read(tmp_path) == untimed(whole[1])


def test_a_finished_search_does_nothing_more(whole, tmp_path, monkeypatch, capsys):
  (tmp_path / 'journal.jsonl').write_bytes((whole[0] / 'journal.jsonl').read_bytes())
  monkeypatch.setattr(FakeEvaluation, 'evaluate', None)
  assert search(tmp_path) == whole[1]
  assert 'Report: ' in capsys.readouterr().out and (tmp_path / 'report' / 'layer_1.json').exists()


def test_more_candidates_and_other_workers_later(bare, whole, tmp_path):
  longer = search(tmp_path / 'longer', 20)
  (tmp_path / 'journal.jsonl').write_bytes((whole[0] / 'journal.jsonl').read_bytes())
  records = search(tmp_path, 20)
  assert untimed(stage(records, 'evolution')) == untimed(stage(longer, 'evolution'))
  assert records[:len(whole[1])] == whole[1]
  reranked = [{r['name'] for r in stage(rs, 'reranking')} for rs in (records, longer)]
  assert reranked[0] >= reranked[1]


@pytest.mark.parametrize('options, key', [
    ({'seed': 2}, 'seed'), ({'window': 5}, 'window'), ({'space': SearchSpace(7)}, 'space.nodes'),
    ({'references': ('bn_relu',)}, 'references'), ({'strategy': RandomSearch()}, 'strategy.class'),
    ({'evaluation': FakeEvaluation(FakeTask(8))}, 'evaluation.task.steps')])
def test_another_search_is_refused(bare, whole, options, key):
  before = (whole[0] / 'journal.jsonl').read_bytes()
  with pytest.raises(JournalError, match=f'belongs to a search of another configuration: .*`{key}` is '):
    search(whole[0], **options)
  assert (whole[0] / 'journal.jsonl').read_bytes() == before


@pytest.mark.parametrize('options, message', [
    ({'candidates': 0}, '`candidates` must be at least 1, received 0'),
    ({'window': 0}, '`window` must be at least 1, received 0'),
    ({'workers': 0}, '`workers` must be at least 1, received 0'),
    ({'references': ('bn_relu', 'bn_rlu')}, r"`references` must be some of .*'bn_silu'.* received \['bn_rlu'\]")])
def test_bad_arguments_fail_before_anything_is_evaluated(bare, tmp_path, monkeypatch, options, message):
  monkeypatch.setattr(FakeEvaluation, 'evaluate', None)
  with pytest.raises(ValueError, match=message):
    search(tmp_path, **options)


@pytest.mark.parametrize('steps', (7, 99))
def test_a_failing_check_leaves_a_folder_that_can_be_used(bare, tmp_path, monkeypatch, steps):
  """Of the search's evaluation, which has 7 steps, or of the re-ranking's."""
  longer = Reranking(FakeEvaluation(FakeTask(99)), FINALISTS, 2)
  with monkeypatch.context() as patch:
    patch.setattr(FakeEvaluation, 'evaluate', None)
    patch.setattr(FakeEvaluation, 'check', lambda self: 1 / (self.task.steps - steps))
    with pytest.raises(ZeroDivisionError):
      search(tmp_path, seed=5, reranking=longer)
  assert len(search(tmp_path, seed=1)) == 19


def test_the_reranking_has_an_evaluation_of_its_own(bare, tmp_path):
  records = search(tmp_path, reranking=Reranking(FakeEvaluation(all_fail=True), FINALISTS, 2))
  assert 'accepted' in {r['outcome'] for r in stage(records, 'evolution')}
  assert [r['outcome'] == 'accepted' for r in stage(records, 'reranking')] == [False] * FINALISTS + [True] * 2
