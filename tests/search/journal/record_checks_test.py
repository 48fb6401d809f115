"""What the records of a journal must hold, alone and together, and reading a search's folder."""

import pytest

from evonorm_tf.output.model_dir import ModelDirError
from search.graphs.random_graph import SearchSpace
from search.journal.journal import Journal
from search.journal.record_checks import parse_records
from search.journal.saved_search import load_search
from tests.search import fake_search

RUNG = {'steps': 3, 'accuracies': {'resnet': .4}, 'bar': None, 'stopped': False}


def test_records_of_every_kind_pass(make_json, whole):
  parse_records('journal', [
      make_json('reference', (.5, .25), name='bn_relu'), make_json(index=0, scores=(.5, 1)),
      make_json(index=1, parent=0, gradient_norm=None, some_new_key=3), make_json('reranking', (.5, 1.), index=0)])
  assert [r.to_json() for r in parse_records('journal', whole[1])] == whole[1]
  parse_records('journal', [
      make_json('reference', (.5,), name='bn_relu', rungs=[]), make_json(index=4, scores=(.5,), rungs=[RUNG]),
      make_json(index=3, scores=(.5,), rungs=[RUNG], same_as=4, origin='evonorm_b0'),
      make_json(index=5, rungs=[RUNG], origin='candidate 9 of another search'),
      make_json(index=6, rungs=[RUNG], same_as=5)])


def test_a_reranking_may_have_other_networks(make_json):
  final = [make_json('reranking', index=0, scores=(.5,), seed=seed) | {'scores': {'efficientnet': .4}}
           for seed in (0, 1)]
  records = [make_json('reference', (.5, .25), name='bn_relu'), make_json(index=0, scores=(.5, 1)), *final]
  assert [r.scores for r in parse_records('journal', records)[2:]] == [{'efficientnet': .4}] * 2
  with pytest.raises(ModelDirError, match=r"record 4: scores must be of \['efficientnet'\], received \['resnet'"):
    parse_records('journal', [*records[:3], final[1] | {'scores': {'resnet': .5}}])


def test_records_of_searches_that_begin_with_layers_and_reuse_pass(bare, whole, tmp_path):
  options = dict(candidates=40, equivalents='reuse', space=SearchSpace(10))
  for name, initial in (('known', 'known'), ('earlier', str(whole[0]))):
    records = fake_search.search(tmp_path / name, initial=initial, **options)
    assert any('origin' in r for r in records) and any('same_as' in r for r in records)
    parse_records('journal', records)


@pytest.mark.parametrize('change, message', [
    ({'stage': 'evolutoin'}, "`stage` must be one of .*received 'evolutoin'"),
    ({'stage': ['evolution']}, '`stage` must be one of'), ({'outcome': None}, '`outcome` must be one of'),
    ({'index': -1}, '`index` must be an integer from 0 on, received -1'), ({'index': True}, 'received True'),
    ({'parent': 'x'}, "`parent` must be .* or null, received 'x'"), ({'filtered': {'a': .5}}, '`filtered` must be'),
    ({'scores': {'resnet': float('nan')}}, '`scores` must be an object of numbers'),
    ({'scores': {'resnet': 10**400}}, '`scores` must be an object of numbers'), ({'scores': {}}, 'only then'),
    ({'elapsed': '3'}, "`elapsed` must be a number, received '3'"), ({'detail': 3}, '`detail` must be a string'),
    ({'graph': None}, 'must be a JSON object'), ({'graph': {}}, '`format` must be'),
    ({'cost': {'kept': 'x'}}, '`cost` must be an object of numbers or nulls'), ({'cost': None}, '`cost` must be'),
    ({'test_scores': {'resnet': 'x'}}, '`test_scores` must be'),
    ({'scores': {'other': .5}}, r"scores must be of \['resnet'\], received \['other'\]")])
def test_bad_records(make_json, change, message):
  record = make_json(index=1, scores=(.5,)) | change
  with pytest.raises(ModelDirError, match=f'journal.jsonl, record 2: {"" if message[0] == "`" else ".*"}{message}'):
    parse_records('journal.jsonl', [make_json(index=0, scores=(.5,)), record])


@pytest.mark.parametrize('change, message', [
    ({'same_as': None}, '`same_as` must be an integer from 0 on, received None'), ({'same_as': '0'}, '`same_as` must'),
    ({'same_as': True}, '`same_as` must be an integer'), ({'same_as': [0]}, '`same_as` must be an integer'),
    ({'same_as': 2}, '`same_as` must be the index of an evaluated candidate on record before .* received 2'),  # itself
    ({'same_as': 3}, 'before .* received 3'), ({'same_as': 1}, 'before .* received 1'),  # a later one; a copy
    ({'same_as': 0, 'scores': {'resnet': .6}}, '`scores` must be that of candidate 0'),
    ({'same_as': 0, 'scores': {}, 'outcome': 'failed'}, '`outcome` must be that of candidate 0'),
    ({'same_as': 0, 'cost': {'kept': 2.}}, '`cost` must be that of candidate 0'),
    ({'same_as': 0, 'rungs': []}, '`rungs` must be that of candidate 0'),
    ({'origin': None}, "`origin` must be a known layer's name or 'candidate … of another search', received None"),
    ({'origin': 'bn_rleu'}, '`origin` must'), ({'origin': 'candidate x of another search'}, '`origin` must'),
    ({'origin': ['bn_relu']}, '`origin` must'), ({'origin': 'bn_relu', 'parent': 0}, '`parent` must be null'),
    ({'rungs': None}, '`rungs` must be a list'), ({'rungs': [3]}, '`rungs` must be a list'),
    ({'rungs': [RUNG | {'stopped': 0}]}, '`rungs` must be a list'), ({'rungs': [RUNG | {'accuracies': {}}]}, '`rungs`'),
    ({'rungs': [RUNG | {'accuracies': {'resnet': 'x'}}]}, '`rungs` must be a list'),
    ({'rungs': [RUNG | {'accuracies': {'other': .4}}]}, r"scores must be of \['resnet'\], received \['other'\]")])
def test_bad_copies_origins_and_rungs(make_json, change, message):
  records = [make_json(index=0, scores=(.5,)), make_json(index=1, scores=(.5,), same_as=0),
             make_json(index=2, scores=(.5,)) | change, make_json(index=3, scores=(.5,))]
  with pytest.raises(ModelDirError, match=f'^journal.jsonl, record 3: .*{message}') as raised:
    parse_records('journal.jsonl', records)
  assert '\n' not in str(raised.value)


def test_parents_are_accepted(make_json):
  children = [make_json(index=1, parent=0), make_json(index=2, parent=7)]
  parse_records('journal', [make_json(index=0, scores=(.5,)), *children])
  message = 'record 2: `parent` must be the index of an accepted candidate, received 0: rejected: quality'
  with pytest.raises(ModelDirError, match=message):
    parse_records('journal', [make_json(index=0, outcome='rejected: quality'), *children])


def test_missing_keys_and_doubles(make_json):
  record = make_json(index=1, scores=(.5,))
  for key in record:
    with pytest.raises(ModelDirError, match=f'record 1: `{key}` is missing'):
      parse_records('journal', [{k: v for k, v in record.items() if k != key}])
  with pytest.raises(ModelDirError, match='record 2: evolution 1 is there already, as record 1'):
    parse_records('journal', [record, record])


def test_load_search_reads_beside_a_running_one(tmp_path, make_record):
  path = tmp_path / 'journal.jsonl'
  with Journal(path, {'seed': 1}) as journal:
    journal.append(make_record(index=0, scores=(.5,)))
    with open(path, 'ab') as file:
      file.write(b'{"begun": "candidate 1"}\n{"stage": "evol')
    before = path.read_bytes()
    search = load_search(tmp_path)
  assert (search.config, search.records) == ({'seed': 1}, journal.records) and path.read_bytes() == before


@pytest.mark.parametrize('content, message', [
    (b'', 'line 1: expected the header'), (b'{"version": 1, "conf', 'line 1: expected the header'),
    (b'{"version": true, "config": {}}\n', 'line 1: expected the header'), (b'[' * 100_000 + b'\n', 'line 1: not JSON'),
    (b'{"version": 1, "config": {}}\n{"stage": 3}\n', 'record 1: `graph` is missing')])
def test_damaged_journals(tmp_path, content, message):
  (tmp_path / 'journal.jsonl').write_bytes(content)
  with pytest.raises(ModelDirError, match=f'journal.jsonl, {message}'):
    load_search(tmp_path)


def test_folders_without_a_search(tmp_path):
  with pytest.raises(ModelDirError, match='nowhere is no folder; `model_dir` must be'):
    load_search(tmp_path / 'nowhere')
  with pytest.raises(ModelDirError, match='holds no journal.jsonl'):
    load_search(tmp_path)
