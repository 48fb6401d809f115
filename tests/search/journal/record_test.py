"""A record: JSON data and back, what it says of itself, and what it refuses."""

import dataclasses
import json

import pytest

from search.evaluation.evaluation import Outcome
from search.graphs.known_graphs import known_graph
from search.journal.record import Record

S0 = known_graph('evonorm_s0')


@pytest.mark.parametrize('stage, scores, fields', [
    ('reference', (.5, .25), {'name': 'bn_relu'}), ('evolution', (), {'outcome': 'rejected: quality'}),
    ('evolution', (.5,), {'index': 3, 'parent': 1, 'filtered': {'constant': 2}, 'gradient_norm': None}),
    ('evolution', (.5,), {'cost': {'step_time': 1.31, 'kept': None}}), ('evolution', (.5,), {'cost': {}}),
    ('evolution', (.5,), {'same_as': 0, 'origin': 'bn_relu', 'rungs': []}), ('reranking', (.5,), {'index': 7}),
    ('evolution', (.5,), {'some_new_key': [3], 'another': None}),
    ('reranking', (.5, 1), {'name': 'frn_tlu', 'test_scores': (.1, .2)})])
def test_json_data_and_back(make_json, stage, scores, fields):
  data = make_json(stage, scores, **fields) | ({'index': None} if stage == 'reference' else {})
  record = Record.from_json(json.loads(json.dumps(data)))
  assert record.to_json() == data and Record.from_json(record.to_json()) == record


def test_keys_are_written_in_the_order_of_a_journals_lines():
  outcome = Outcome('accepted', '', {'a': .1}, 2., {'a': .2}, {'a': .3}, [], {'total': 1.5})
  written = lambda **fields: list(Record.of_outcome(outcome, **fields).to_json())
  found = ['outcome', 'detail', 'screening', 'gradient_norm', 'scores', 'test_scores', 'rungs', 'seconds', 'elapsed']
  assert written(stage='evolution', index=0, graph=S0, origin='x', same_as=2) == [
      'stage', 'index', 'parent', 'graph', 'filtered', 'same_as', 'origin', *found]
  assert written(stage='evolution', index=0, graph=S0) == ['stage', 'index', 'parent', 'graph', 'filtered', *found]
  assert Outcome('accepted').cost == {}  # not written
  outcome.cost['kept'] = 1.
  assert written(stage='evolution', index=0, graph=S0)[-4:] == ['rungs', 'cost', 'seconds', 'elapsed']
  outcome.cost.clear()
  assert written(stage='reference', name='bn_relu') == ['stage', 'name', 'index', 'graph', *found]


def test_an_outcome_is_taken_over_whole(make_record, stopped):
  record = make_record(index=4, scores=(.5,), rungs=stopped, detail='why', seconds={'total': 3.}, parent=2,
                       cost={'step_time': 1.5, 'kept': 2.})
  copy = Record.of_outcome(record, stage='evolution', index=5, graph=S0, same_as=4)
  assert all(getattr(copy, name) == getattr(record, name) for name in (
      'outcome', 'detail', 'screening', 'gradient_norm', 'scores', 'rungs', 'cost'))
  assert (copy.index, copy.same_as, copy.parent, copy.seconds, copy.name) == (5, 4, None, {}, 'candidate 5')
  assert Record.of_outcome(dataclasses.replace(record, rungs=None), stage='evolution', index=5, graph=S0).rungs == []


def test_what_a_record_says_of_itself(make_record, stopped):
  plain, copy = make_record(index=1, scores=(.2, .4)), make_record(index=2, scores=(.2, .4), same_as=1)
  projected, failed = make_record(index=3, scores=(.6,), rungs=stopped), make_record(index=4)
  reference = make_record('reference', (.5,), name='frn_tlu')
  records = plain, copy, projected, failed, reference
  assert [r.is_accepted for r in records] == [True, True, True, False, True]
  assert [r.is_copy for r in records] == [False, True, False, False, False]
  assert [r.is_complete for r in records] == [True, True, False, True, True]
  assert [r.is_measured for r in records] == [True, False, False, False, True]
  assert [r.is_found for r in records] == [True] * 4 + [False]
  assert plain.mean_score == pytest.approx(.3)
  assert make_record(seconds={'build': 1., 'train': 2.}).total_seconds == 3
  assert [make_record(**fields).step_time for fields in (
      {}, {'cost': {}}, {'cost': {'step_time': None}}, {'cost': {'step_time': 1.5}})] == [None, None, None, 1.5]
  assert make_record(seconds={'build': 1., 'total': 5.}).total_seconds == 5


@pytest.mark.parametrize('fields, message', [
    ({'scores': {}}, '`scores` must be there if `outcome` is'), ({'outcome': 'failed'}, '`scores` must be there if'),
    ({'graph': None}, "`graph` must be that of the candidate"), ({'index': None}, '`graph` must be null for a known'),
    ({'origin': 'bn_relu', 'parent': 2}, '`parent` must be null for what a search begins with')])
def test_fields_that_contradict_each_other(fields, message):
  whole = dict(stage='evolution', outcome='accepted', scores={'a': .5}, index=3, graph=S0)
  assert Record(**whole).name == 'candidate 3'
  with pytest.raises(ValueError, match=message):
    Record(**whole | fields)
