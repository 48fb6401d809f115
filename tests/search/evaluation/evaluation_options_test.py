"""Evaluation beyond the paper: the loss test, successive halving, costs, and a second training of a would-be best."""

import dataclasses
import json

import pytest

from search.evaluation.evaluation import Evaluation
from search.evaluation.rejection import LossTest
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import StabilityTest
from search.evaluation.successive_halving import Bar
from search.evaluation.successive_halving import SuccessiveHalving
from search.journal.record import Record
from tests.search.evaluation.evaluation_test import S0
from tests.search.evaluation.evaluation_test import TASK
from tests.search.evaluation.evaluation_test import TWO


def test_a_loss_that_stays_where_it_was_ends_the_screening(events):
  quality = QualityTest(steps=4, loss_test=LossTest(steps=3, window=2, max_loss=2.3))
  events[1]['loss'] = 2.3
  assert Evaluation(TWO, quality).evaluate(S0).outcome == 'accepted'
  assert [e[2] for e in events[0] if e[:2] == ('resnet', 'train')] == [1, 2, 1, 1]
  events[0].clear()
  events[1]['loss'] = 2.301
  outcome = Evaluation(TWO, quality).evaluate(S0)
  assert outcome.outcome == 'rejected: quality'
  assert outcome.detail == 'resnet: loss 2.301 after 3 steps, at most 2.3 is allowed'
  assert events[0] == [('resnet', 'build'), ('resnet', 'train', 1), ('resnet', 'train', 2)] and not outcome.screening


def test_halving_stops_at_the_first_bar_that_is_missed(events):
  evaluation = Evaluation(TWO, halving=SuccessiveHalving((2, 4)), bars=(Bar(.2, {}), Bar(.45, {'resnet': .25})))
  events[1].update(resnet=[.1, .3], mobilenet_v2=[.3, .5])
  outcome = evaluation.evaluate(S0)
  assert [e[2] for e in events[0] if e[:2] == ('resnet', 'train')] == [2, 2]
  assert outcome.outcome == 'accepted' and outcome.scores == {'resnet': .55, 'mobilenet_v2': .5}
  assert outcome.rungs == [
      {'steps': 2, 'accuracies': {'resnet': .1, 'mobilenet_v2': .3}, 'bar': .2, 'stopped': False},
      {'steps': 4, 'accuracies': {'resnet': .3, 'mobilenet_v2': .5}, 'bar': .45, 'stopped': True}]
  assert outcome.detail == 'accuracy 0.400 after 4 steps, 0.450 is needed to go on'
  assert json.loads(json.dumps(vars(outcome))) == vars(outcome)


def test_halving_trains_to_the_end_what_reaches_every_bar(events):
  bars = (Bar(), Bar(.3, {'resnet': .25}))
  outcome = Evaluation(TWO, halving=SuccessiveHalving((2, 4)), bars=bars).evaluate(S0)
  assert outcome.scores == {'resnet': .5, 'mobilenet_v2': .5} and outcome.detail == ''
  assert [r['stopped'] for r in outcome.rungs] == [False, False]
  assert [e[2] for e in events[0] if e[:2] == ('mobilenet_v2', 'train')] == [2, 2, 1]


def test_a_quality_test_behind_a_rung_leaves_nothing_to_train_there(events):
  outcome = Evaluation(TWO, QualityTest(steps=4), halving=SuccessiveHalving((2,))).evaluate(S0)
  assert outcome.outcome == 'accepted' and [e[2] for e in events[0] if e[:2] == ('resnet', 'train')] == [4, 0, 1]


def test_records_inform_an_evaluation_only_for_halving():
  plain = Evaluation(TWO)
  assert plain.informed_by([]) is plain
  record = Record(stage='evolution', outcome='accepted', index=0, graph=S0, scores={'a': .6},
                  rungs=[{'accuracies': {'a': .4}, 'stopped': False}])
  informed = Evaluation(TWO, halving=SuccessiveHalving((2,), eta=1.5)).informed_by([record] * 2)
  assert informed.bars == (Bar(.4, {'a': pytest.approx(.2)}),)
  with pytest.raises(ValueError, match="`halving` must have its rungs before the task's 5 steps"):
    Evaluation(TWO, halving=SuccessiveHalving((5,)))


def test_a_real_evaluation_stops_at_a_rung():
  task = dataclasses.replace(TASK, steps=3)
  evaluation = Evaluation(task, halving=SuccessiveHalving((1, 2)), bars=(Bar(0.), Bar(1., {'resnet': .1})))
  stopped = evaluation.evaluate(S0)
  assert stopped.outcome == 'accepted' and [r['stopped'] for r in stopped.rungs] == [False, True]
  assert stopped.scores == {'resnet': pytest.approx(stopped.rungs[1]['accuracies']['resnet'] + .1)}
  whole = dataclasses.replace(evaluation, bars=()).evaluate(S0)
  assert [r['accuracies'] for r in whole.rungs] == [r['accuracies'] for r in stopped.rungs]
  assert whole.scores == Evaluation(task).evaluate(S0).scores


@pytest.mark.slow
def test_the_cost_of_accepted_layers_changes_no_score():
  evaluation = Evaluation(TASK, stability=StabilityTest(steps=1), measures_cost=True)
  plain, outcome = dataclasses.replace(evaluation, measures_cost=False).evaluate(S0), evaluation.evaluate(S0)
  assert outcome.cost.keys() == {'step_time', 'kept'} and all(value > 0 for value in outcome.cost.values())
  assert outcome.seconds['cost'] > 0 and outcome.seconds['total'] > outcome.seconds['cost']
  assert json.loads(json.dumps(outcome.cost, allow_nan=False)) == outcome.cost
  assert (outcome.scores, outcome.gradient_norm) == (plain.scores, plain.gradient_norm)
  assert plain.cost == {} and 'cost' not in plain.seconds
  assert evaluation.evaluate(S0).scores == plain.scores  # BN-ReLU has trained in between


def test_a_layer_that_is_not_accepted_has_no_cost(events):
  events[1]['mobilenet_v2'] = .1
  outcome = Evaluation(TWO, QualityTest(steps=3), measures_cost=True).evaluate(S0)
  assert outcome.outcome == 'rejected: quality' and outcome.cost == {} and 'cost' not in outcome.seconds


def test_a_candidate_that_would_be_the_best_is_confirmed_with_another_seed(events, make_record):
  found, accuracies, _ = events
  accuracies |= {'resnet': [.6, .4], 'mobilenet_v2': [.5, .5]}
  records = [make_record('reference', (.9,) * 3, name='bn_relu'), make_record(index=0, scores=(.5,) * 3)]
  evaluation = Evaluation(TWO, confirms=True).informed_by(records)
  assert evaluation.best_score == .5
  outcome = evaluation.evaluate(S0)
  assert outcome.confirmation == {'resnet': .4, 'mobilenet_v2': .5}
  assert outcome.scores == pytest.approx({'resnet': .5, 'mobilenet_v2': .5})
  assert found.count(('resnet', 'build')) == 2
  record = Record.of_outcome(outcome, stage='evolution', graph=S0, index=1)
  assert Record.from_json(json.loads(json.dumps(record.to_json()))).confirmation == outcome.confirmation


@pytest.mark.parametrize('options, best, seed', [  # a reference and a re-ranked layer have no best before them
    ({'confirms': True}, .6, 0), ({}, .1, 0), ({'confirms': True}, None, 0), ({'confirms': True}, None, 1)])
def test_no_other_layer_is_trained_twice(events, make_record, options, best, seed):
  found, accuracies, _ = events
  accuracies |= {'resnet': .6, 'mobilenet_v2': .5}
  evaluation = Evaluation(TWO, **options).with_seed(seed)
  if best is not None:
    evaluation = evaluation.informed_by([make_record(index=0, scores=(best,) * 3)])
  outcome = evaluation.evaluate(S0)
  assert outcome.confirmation == {} and outcome.scores == {'resnet': .6, 'mobilenet_v2': .5}
  assert found.count(('resnet', 'build')) == 1


def test_a_candidate_that_fails_with_the_second_seed_has_failed(events):
  accuracies = events[1]
  accuracies |= {'resnet': [.6, .6], 'mobilenet_v2': [.5]}  # the second measurement of the latter raises IndexError
  outcome = Evaluation(TWO, confirms=True).informed_by([]).evaluate(S0)
  assert outcome.outcome == 'failed' and outcome.detail.startswith('mobilenet_v2: ')
  assert outcome.scores == outcome.confirmation == {}
