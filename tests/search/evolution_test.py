"""The search with a fake evaluation: its stages, strategies and limits."""

import dataclasses
import json
import pathlib
import shutil
import types

import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import ModelDirError
from search import evolution
from search import recorder
from search.equivalence.canonical import canonical
from search.equivalence.equivalents import Equivalents
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.evolution import Reranking
from search.execution.executors import InProcess
from search.graphs.equation import equation_text
from search.journal import records as records_lib
from search.reporting.comparison_report import compare_searches
from search.reporting.progress import Progress
from search.selection.population import Population
from search.selection.proposal import RandomSearch
from search.selection.proposal import TournamentEvolution
from search.selection.tournament import average_winner
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import FakeExecutor
from tests.search.fake_search import FakeTask
from tests.search.fake_search import FINALISTS
from tests.search.fake_search import read
from tests.search.fake_search import REFERENCES
from tests.search.fake_search import search
from tests.search.fake_search import stage
from tests.search.fake_search import untimed


def test_stages_and_records(whole):
  model_dir, records = whole
  assert [r['stage'] for r in records] == ['reference'] * 2 + ['evolution'] * 12 + ['reranking'] * 5
  assert [r['index'] for r in stage(records, 'evolution')] == list(range(12))
  assert untimed(records) == read(model_dir)
  assert {r['outcome'] for r in stage(records, 'evolution')} == {'accepted', 'failed', 'rejected: quality'}
  for r in stage(records, 'evolution'):
    expected = dataclasses.asdict(FakeEvaluation().evaluate(LayerGraph.from_dict(r['graph'])))
    assert expected.pop('confirmation') == expected.pop('cost') == {}  # what was not measured is not written
    expected['seconds'] = expected['seconds'] or {'total': pytest.approx(0., abs=5.)}
    assert {k: r[k] for k in expected} == expected
    assert set(r) == {'stage', 'index', 'parent', 'graph', 'filtered', 'elapsed', *expected}
  assert [r['name'] for r in stage(records, 'reference')] == list(REFERENCES)
  assert all(r['graph'] is None and r['index'] is None for r in stage(records, 'reference'))
  assert [r['elapsed'] for r in records] == sorted(r['elapsed'] for r in records)


def test_the_best_candidates_and_the_references_are_reranked(whole):
  records = whole[1]
  accepted = [r for r in stage(records, 'evolution') if r['outcome'] == 'accepted']
  ranked = sorted(accepted, key=lambda r: -sum(r['scores'].values()))
  equations = [equation_text(LayerGraph.from_dict(r['graph'])) for r in ranked]
  best = [r for i, r in enumerate(ranked) if equations.index(equations[i]) == i][:FINALISTS]
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


@pytest.mark.parametrize('last', [False, True])
def test_a_folder_that_goes_away_ends_the_search_with_an_error(tmp_path, monkeypatch, last):
  folder, update = tmp_path / 'search', Progress.update

  def removing(progress, stage, records, **options):
    update(progress, stage, records, **options)
    if len(records) == (19 if last else 8) and folder.exists():
      shutil.rmtree(folder)

  monkeypatch.setattr(Progress, 'update', removing)
  with pytest.raises(ModelDirError, match='search/journal.jsonl: .* was removed, moved or replaced during this search'):
    search(folder)
  assert not list(folder.rglob('*.md')) and not (folder / 'journal.jsonl').exists()


@pytest.mark.slow
def test_a_folder_may_have_any_name(whole, tmp_path):
  """It is no pattern: the search is found again, and only its own report's layers of an earlier report go."""
  model_dir, other = tmp_path / 'é {a} [1]*?', tmp_path / 'é {a} 1'
  for folder in (model_dir, other):
    (folder / 'report').mkdir(parents=True)
    (folder / 'report' / 'layer_9.json').write_text('of an earlier report')
  search(model_dir)
  (model_dir / 'report' / 'report.md').unlink()
  records = search(model_dir)
  assert untimed(records) == untimed(whole[1])
  names = {path.name for path in (model_dir / 'report').iterdir()}
  assert {'report.md', 'layer_1.json'} <= names and 'layer_9.json' not in names
  assert list((model_dir / 'tensorboard').iterdir()) and (other / 'report' / 'layer_9.json').exists()
  assert 'y = ' in pathlib.Path(compare_searches([model_dir], model_dir / 'compared')).read_text()


@pytest.mark.parametrize('strategy, mutates', [
    (TournamentEvolution(4, .5, random_offspring=0.), True),
    (TournamentEvolution(4, .5, average_winner, random_offspring=0.), True), (RandomSearch(), False)],
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
  journals = [json.dumps(untimed(search(tmp_path / str(i), 15, **o))) for i, o in enumerate(options)]
  assert len(set(journals)) == len(options)


def test_failures_alone_end_in_a_report_too(tmp_path, capsys):
  records = search(tmp_path, 6, evaluation=FakeEvaluation(all_fail=True))
  assert [r['parent'] for r in stage(records, 'evolution')] == [None] * 6
  assert [r['name'] for r in stage(records, 'reranking')] == list(REFERENCES)
  assert 'Report: ' in capsys.readouterr().out


def test_two_workers_do_each_index_once(bare, tmp_path, monkeypatch):
  executor = FakeExecutor(deadly=('evolution 5', 'reference bn_relu'))
  monkeypatch.setattr(evolution, 'make_executor', lambda workers: executor if workers == 2 else None)
  close, most = executor.close, []
  monkeypatch.setattr(executor, 'close', lambda: most.append(executor.most) or close())
  records = search(tmp_path, 20, workers=2)
  indices = [r['index'] for r in stage(records, 'evolution')]
  assert sorted(indices) == list(range(20)) != indices and most == [2]
  dead = [r for r in records if r['detail'] == 'the worker process died, in each of 3 tries']
  assert [r.get('name', r['index']) for r in dead] == ['bn_relu', 5]
  assert {r['outcome'] for r in dead} == {'failed'}
  assert len({json.dumps(r['graph']) for r in stage(records, 'evolution')}) == 20


def test_another_executor_takes_the_place_of_workers(bare, whole, tmp_path):
  executor = FakeExecutor()
  records = search(tmp_path, workers=0, executor=lambda: executor)
  assert executor.most is None  # closed
  by_graph = {json.dumps(r['graph']): r for r in untimed(whole[1]) if r['stage'] == 'evolution'}
  same = [(r, by_graph[json.dumps(r['graph'])]) for r in untimed(stage(records, 'evolution'))
          if json.dumps(r['graph']) in by_graph]
  assert len(same) >= 4  # the random graphs; the others depend on the population, and that on the order of completion
  assert all({k: a[k] for k in ('outcome', 'scores')} == {k: b[k] for k in ('outcome', 'scores')} for a, b in same)


@pytest.fixture
def clock(monkeypatch):
  """A clock that a fake evaluation advances by a minute."""
  now, evaluate = [1000.], FakeEvaluation.evaluate
  monkeypatch.setattr(recorder, 'time', types.SimpleNamespace(monotonic=lambda: now[0]))
  monkeypatch.setattr(
      FakeEvaluation, 'evaluate', lambda self, spec: now.append(now.pop() + 60) or evaluate(self, spec))
  return now


def test_max_minutes_ends_the_evolution_and_not_the_reranking(bare, tmp_path, clock):
  with pytest.raises(ValueError, match='`max_minutes` must be at least 0, or None for no limit, received -5'):
    search(tmp_path / 'wrong', max_minutes=-5)
  assert not (tmp_path / 'wrong').exists()
  records = search(tmp_path, 50, max_minutes=4.5)
  assert len(stage(records, 'evolution')) == 5  # after two minutes for the references; the fifth is begun at 4
  assert [r['elapsed'] for r in records][:7] == [60. * i for i in range(1, 8)]
  assert len(stage(records, 'reranking')) >= 2 + 1
  clock[0] += 10_000  # the time between two runs does not count
  resumed = search(tmp_path, 50, max_minutes=4.5)
  assert resumed == records
  more = search(tmp_path, 50, max_minutes=7.5)  # five are used, and those of references and re-ranking do not count
  assert len(stage(more, 'evolution')) == 5 + 3 and more[:len(records)] == records


def test_what_runs_when_the_time_is_over_is_recorded(bare, tmp_path, monkeypatch, clock):
  monkeypatch.setattr(evolution, 'make_executor', lambda workers: FakeExecutor())
  records = search(tmp_path, 50, references=(), max_minutes=2.5)
  # Two begin at once, one more after each result; after the third, at 3 minutes, one is still running.
  assert sorted(r['index'] for r in stage(records, 'evolution')) == [0, 1, 2, 3]
  assert clock == [1000. + 60 * len(records)] and {r['stage'] for r in records} == {'evolution', 'reranking'}


@pytest.mark.parametrize('options, message', [
    ({'candidates': 0}, '`candidates` must be an integer of at least 1 and below 2³², received 0'),
    ({'seed': -1, 'initial': 'known'}, '`seed` must be an integer of at least 0 and below 2³², received -1'),
    ({'window': 0}, '`window` must be at least 1, received 0'),
    ({'workers': 0}, '`workers` must be at least 1, received 0'),
    ({'retries': -1}, '`retries` must be at least 0, received -1'),
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
  records = search(tmp_path, reranking=Reranking(FakeEvaluation(all_fail=True), FINALISTS, 2, seeds=1))
  assert 'accepted' in {r['outcome'] for r in stage(records, 'evolution')}
  assert [r['outcome'] == 'accepted' for r in stage(records, 'reranking')] == [False] * FINALISTS + [True] * 2


class ByFunction(FakeEvaluation):
  """Outcomes that follow from the function, as a real training's do."""
  equivalents, count = Equivalents(), 0

  def evaluate(self, spec):
    ByFunction.count += 1
    if isinstance(spec, str):
      return super().evaluate(spec)
    key = self.equivalents.find(spec)
    if key is None:
      key = canonical(spec)
      self.equivalents.add(spec, key)
    return super().evaluate(key)


@pytest.mark.parametrize('workers', (1, 2))
def test_equivalents_that_are_reused_give_the_search_in_which_they_are_evaluated(bare, tmp_path, monkeypatch, workers):
  monkeypatch.setattr(evolution, 'make_executor', lambda n: FakeExecutor() if n > 1 else InProcess())
  options = dict(evaluation=ByFunction(), references=(), workers=workers)
  records, counts = {}, {}
  for mode in ('evaluate', 'reuse'):
    ByFunction.count = 0
    records[mode] = stage(search(tmp_path / mode, 60, equivalents=mode, **options), 'evolution')
    counts[mode] = ByFunction.count
  assert sorted(r['index'] for r in records['reuse']) == list(range(60))
  by_index = {r['index']: r for r in records['reuse']}
  copies = [r for r in records['reuse'] if 'same_as' in r]
  assert len(copies) > 10 and counts['evaluate'] - counts['reuse'] == len(copies)
  for r in copies:
    original = by_index[r['same_as']]
    assert 'same_as' not in original and r['seconds'] == {}
    assert all(r[key] == original[key] for key in ('outcome', 'detail', 'scores', 'screening', 'gradient_norm'))
    assert records['reuse'].index(original) < records['reuse'].index(r)
  if workers == 1:
    without = [{k: v for k, v in r.items() if k != 'same_as'} for r in untimed(records['reuse'])]
    assert without == untimed(records['evaluate'])


def test_a_search_that_reuses_goes_on_where_it_stopped(bare, tmp_path):
  whole = search(tmp_path / 'whole', 30, equivalents='reuse')
  assert any('same_as' in r for r in whole)
  lines = (tmp_path / 'whole' / 'journal.jsonl').read_bytes().splitlines(keepends=True)
  (tmp_path / 'cut').mkdir()
  for count in range(1, len(lines), 7):
    (tmp_path / 'cut' / 'journal.jsonl').write_bytes(b''.join(lines[:count]))
    assert untimed(search(tmp_path / 'cut', 30, equivalents='reuse')) == untimed(whole)


def test_the_reranking_trains_each_layer_with_each_seed(bare, tmp_path):
  evaluation = FakeEvaluation()
  records = stage(search(tmp_path, reranking=Reranking(evaluation, FINALISTS, 2, seeds=3)), 'reranking')
  layers = [r['name'] for r in records[:FINALISTS + 2]]
  assert [(r['name'], r['seed']) for r in records] == [(name, seed) for seed in range(3) for name in layers]
  scores = {(r['name'], r['seed']): r['scores'] for r in records}
  assert scores['bn_relu', 1] == evaluation.with_seed(1).evaluate('bn_relu').scores != scores['bn_relu', 0]
  again = stage(search(tmp_path, reranking=Reranking(evaluation, FINALISTS, 2, seeds=3)), 'reranking')
  assert again == records
  for name, least in (('seeds', 1), ('top', 0), ('best', 0)):
    with pytest.raises(ValueError, match=f'`{name}` must be an integer of at least {least} .*received {least - 1}'):
      Reranking(evaluation, **{name: least - 1})
  with pytest.raises(ValueError, match='`min_difference` must be at least 0 and below 1, received 1.0'):
    Reranking(evaluation, min_difference=1.)


def test_own_rejection_tests_need_trained_networks_in_a_reranking():
  """A gin file's binding for the search would be inherited by the re-ranking, which has no quality test."""
  tests, task = (object(),), ProxyTask((Architecture('resnet'),))
  with pytest.raises(ValueError, match='must have no `tests`.*bind `reranking/evaluation.Evaluation.tests = '):
    Reranking(Evaluation(task, tests=tests))
  assert Reranking(Evaluation(task, QualityTest(), tests=tests)).evaluation.tests == tests


@pytest.mark.parametrize('difference, finalists', [(.5, 1), (.6, FINALISTS)])
def test_finalists_that_differ_too_little_are_left_out(bare, tmp_path, monkeypatch, difference, finalists):
  monkeypatch.setattr(records_lib, 'difference_at_start', lambda *_: difference)
  reranking = Reranking(FakeEvaluation(), FINALISTS, 2, seeds=1, min_difference=.6)
  assert len(stage(search(tmp_path, reranking=reranking), 'reranking')) == finalists + 2


def test_a_reranking_that_stops_between_seeds_goes_on(bare, tmp_path):
  reranking = Reranking(FakeEvaluation(), FINALISTS, 2, seeds=2)
  whole = search(tmp_path / 'whole', reranking=reranking)
  search(tmp_path / 'cut', reranking=reranking)
  path = tmp_path / 'cut' / 'journal.jsonl'
  path.write_bytes(b''.join(path.read_bytes().splitlines(keepends=True)[:-3]))
  assert untimed(search(tmp_path / 'cut', reranking=reranking)) == untimed(whole)
