"""What a search begins with: known layers, or the best of an earlier search, with a fake evaluation."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import ModelDirError
from search.equivalence.equivalents import Equivalents
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.random_graph import sample_space
from search.graphs.random_graph import SearchSpace
from search.journal import records as records_lib
from search.journal.identity import identity_of
from search.journal.journal import Journal
from search.journal.record import Record
from search.selection.warm_start import identity_of_warm_start
from search.selection.warm_start import initial_candidates
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import FakeTask
from tests.search.fake_search import search
from tests.search.fake_search import stage
from tests.search.fake_search import untimed


def test_random_graphs_need_nothing():
  assert initial_candidates('random', SearchSpace(), FakeEvaluation(), 4, 0) == []


def test_known_layers_have_dead_nodes_in_front():
  given = initial_candidates('known', SearchSpace(12), FakeEvaluation(), 4, seed=0)
  assert [c.origin for c in given] == list(KNOWN_GRAPHS) and all(c.record is None for c in given)
  for candidate in given:
    assert len(candidate.graph.nodes) == 12
    assert candidate.graph.without_dead_nodes() == known_graph(candidate.origin).without_dead_nodes()
  assert given == initial_candidates('known', SearchSpace(12), FakeEvaluation(), 4, seed=0)
  assert given != initial_candidates('known', SearchSpace(12), FakeEvaluation(), 4, seed=1)


@pytest.mark.parametrize('space, names', [
    (sample_space(10), {'gn_relu', 'gn_silu', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2'}),
    (SearchSpace(5), {'evonorm_s0', 'evonorm_s1', 'evonorm_s2'})])
def test_what_does_not_fit_the_space_is_left_out(space, names):
  assert {c.origin for c in initial_candidates('known', space, FakeEvaluation(), 4, 0)} == names


def test_nothing_that_fits_is_an_error():
  with pytest.raises(ValueError, match=r"`initial` must be 'random', 'known' or .* received 'known', .* none of 10"):
    initial_candidates('known', SearchSpace(2), FakeEvaluation(), 4, 0)


def test_a_search_from_known_layers(bare, tmp_path):
  records = stage(search(tmp_path, 16, initial='known', space=SearchSpace(10)), 'evolution')
  assert [r.get('origin') for r in records] == [*KNOWN_GRAPHS, *[None] * 6]
  for r in records[:10]:
    assert r['parent'] is None and r['filtered'] == {}
    expected = FakeEvaluation().evaluate(LayerGraph.from_dict(r['graph']))
    assert r['outcome'] == expected.outcome and r['scores'] == expected.scores
  assert {r['parent'] for r in records[10:]} <= {r['index'] for r in records if r['outcome'] == 'accepted'}


def test_a_search_from_an_earlier_one_takes_its_outcomes(bare, whole, tmp_path, monkeypatch):
  earlier_dir, earlier = whole
  best = [r.to_json() for r in reversed(records_lib.finalists([Record.from_json(r) for r in earlier], 4))]
  evaluated, evaluate = [], FakeEvaluation.evaluate
  monkeypatch.setattr(FakeEvaluation, 'evaluate', lambda self, spec: evaluated.append(spec) or evaluate(self, spec))
  records = stage(search(tmp_path, 10, initial=str(earlier_dir), references=()), 'evolution')
  assert [r['origin'] for r in records[:4]] == [f'candidate {r["index"]} of another search' for r in best]
  assert [r['scores'] for r in records[:4]] == [r['scores'] for r in best]
  assert all(r['seconds'] == {} and r['outcome'] == 'accepted' for r in records[:4])
  taken = {LayerGraph.from_dict(r['graph']) for r in records[:4]}
  assert taken.isdisjoint(evaluated[:6]) and all('origin' not in r and 'same_as' not in r for r in records[4:])
  assert all(r['parent'] is not None for r in records[4:])
  assert max(r['scores']['resnet'] + r['scores']['mobilenet_v2'] for r in records[:4]) == sum(
      records[3]['scores'].values())


def test_records_from_before_there_were_rungs_are_taken_over(bare, whole, tmp_path):
  header, *records = map(json.loads, (whole[0] / 'journal.jsonl').read_text().splitlines())
  older = [{k: v for k, v in r.items() if k not in ('rungs', 'checksum')} for r in records]
  (tmp_path / 'old').mkdir()
  (tmp_path / 'old' / 'journal.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in [header, *older]))
  taken = search(tmp_path / 'new', 6, initial=str(tmp_path / 'old'))
  assert untimed(taken) == untimed(search(tmp_path / 'other', 6, initial=str(whole[0])))


def test_another_evaluation_evaluates_anew(bare, whole, tmp_path):
  longer = FakeEvaluation(FakeTask(99))
  given = initial_candidates(str(whole[0]), SearchSpace(6), longer, 3, 0)
  assert len(given) == 3 and all(c.record is None for c in given)
  records = stage(search(tmp_path, 6, initial=str(whole[0]), evaluation=longer), 'evolution')
  for r in records[:3]:
    expected = longer.evaluate(LayerGraph.from_dict(r['graph']))
    assert dataclasses.asdict(expected)['scores'] == r['scores'] and r['outcome'] == expected.outcome


def test_outcomes_are_taken_over_whichever_place_the_images_have(tmp_path, make_record):
  own = Evaluation(ProxyTask((Architecture('resnet'),), data_dir='/here'))
  with Journal(tmp_path / 'journal.jsonl', identity_of(evaluation=own)) as journal:
    journal.append(make_record(index=0, scores=(.5,), graph=known_graph('evonorm_s0')))
  for elsewhere, is_alike in (('/there', True), (None, False)):
    task = dataclasses.replace(own.task, data_dir=elsewhere)
    (given,) = initial_candidates(str(tmp_path), SearchSpace(), Evaluation(task), 3, 0)
    assert (given.record is not None) == is_alike


def test_it_goes_on_where_it_stopped(bare, whole, tmp_path):
  complete = search(tmp_path / 'whole', 10, initial=str(whole[0]))
  lines = (tmp_path / 'whole' / 'journal.jsonl').read_bytes().splitlines(keepends=True)
  (tmp_path / 'cut').mkdir()
  for count in range(1, len(lines)):
    (tmp_path / 'cut' / 'journal.jsonl').write_bytes(b''.join(lines[:count]))
    assert untimed(search(tmp_path / 'cut', 10, initial=str(whole[0]))) == untimed(complete)
  with pytest.raises(ModelDirError, match="`initial.kind` is 'random' here and 'earlier search' there"):
    search(tmp_path / 'whole', 10)


def test_it_goes_on_when_the_earlier_search_has_gone_on_or_is_gone(bare, tmp_path):
  earlier, folder = tmp_path / 'earlier', tmp_path / 'new'
  search(earlier, 12)
  expected = search(tmp_path / 'expected', 12, initial=str(earlier))
  begun = search(folder, 9, initial=str(earlier))
  search(earlier, 40)
  now = [candidate.origin for candidate in initial_candidates(str(earlier), SearchSpace(6), FakeEvaluation(), 4, 1)]
  assert now != [r['origin'] for r in stage(begun, 'evolution')[:4]]
  assert [r['graph'] for r in stage(search(folder, 10, initial=str(earlier)), 'evolution')] == [
      r['graph'] for r in stage(expected, 'evolution')][:10]
  shutil.rmtree(earlier)
  assert [r['graph'] for r in stage(search(folder, 12, initial=str(earlier)), 'evolution')] == [
      r['graph'] for r in stage(expected, 'evolution')]
  with pytest.raises(ModelDirError, match="`initial.kind` is 'known' here and 'earlier search' there"):
    search(folder, 12, initial='known')


def test_the_identity_is_what_the_search_begins_with():
  given = initial_candidates('known', SearchSpace(), FakeEvaluation(), 4, 0)
  assert identity_of_warm_start('/a', given) == identity_of_warm_start('/b', given)
  assert identity_of_warm_start('/a', given) != identity_of_warm_start('/a', given[1:])
  assert identity_of_warm_start('known', given)['kind'] == 'known'


@pytest.mark.parametrize('options, message', [
    ({'initial': 'nowhere'}, 'nowhere is no folder; `model_dir` must be'),
    ({'initial': 'known', 'candidates': 9, 'space': SearchSpace(10)},
     '`candidates` must be at least the 10 .*`initial`'),
    ({'equivalents': 'forget'}, r"`equivalents` must be one of \('evaluate', 'reuse', 'redraw'\), received 'forget'")])
def test_arguments_that_cannot_work(bare, tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    search(tmp_path / 'new', **options)
  assert not (tmp_path / 'new').exists()


def test_a_damaged_earlier_search_is_refused_by_its_record(tmp_path):
  (tmp_path / 'journal.jsonl').write_text('{"version": 1, "config": {}}\n{"stage": "evolution"}\n')
  with pytest.raises(ModelDirError, match=f'{tmp_path}/journal.jsonl, record 1: `graph` is missing'):
    initial_candidates(str(tmp_path), SearchSpace(), FakeEvaluation(), 4, 0)


def test_dead_nodes_do_not_change_the_function():
  equivalents = Equivalents()
  equivalents.add(known_graph('evonorm_b0'), 0)
  given = initial_candidates('known', SearchSpace(11), FakeEvaluation(), 4, seed=5)
  assert [equivalents.find(c.graph) for c in given if c.origin == 'evonorm_b0'] == [0]
  x, v = np.random.default_rng(0).normal(size=(2, 3, 3, 4)), np.ones(4)
  np.testing.assert_array_equal(given[0].graph.evaluate(x, v, v), known_graph('bn_relu').evaluate(x, v, v))
