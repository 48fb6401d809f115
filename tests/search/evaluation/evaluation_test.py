"""Evaluation: the order of its tests, what is recorded, and that nothing a candidate does ends the search."""

import dataclasses
import json
import signal

import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.evaluation import evaluation as evaluation_lib
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import LossTest
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import StabilityRejected
from search.evaluation.rejection import StabilityTest
from search.evaluation.successive_halving import Bar
from search.evaluation.successive_halving import SuccessiveHalving
from search.evaluation.training import NonFiniteLoss
from search.execution.deferred_interrupts import interrupts_noted
from search.graphs.known_graphs import known_graph
from search.journal.record import Record

RESNET = Architecture('resnet', {'depth': 8, 'width_multiplier': .5})
TASK = ProxyTask((RESNET,), steps=2, batch_size=8, crop_size=8, image_size=8, validation_images=50)
TWO = ProxyTask((RESNET, Architecture('mobilenet_v2')), steps=5, validation_images=50)
OUT_OF_MEMORY = """Graph execution error:

Detected at node zeros defined at (most recent call last):
  File "a.py", line 7, in <module>

OOM when allocating
\t [[{{node zeros}}]]
Hint: If you want to see a list"""
S0 = known_graph('evonorm_s0')


@pytest.fixture
def events(monkeypatch):
  """What a fake training and stability test did, in order. `accuracies` and `errors` steer them.

  An accuracy can be a list, of which each measurement takes one; on the test images it is half of that on the
  validation images. `accuracies['loss']` is the training loss.
  """
  events, accuracies, errors = [], {}, {}

  class FakeTraining:

    def __init__(self, task, architecture, norm_act, seconds):
      self.steps_done, self._family, self._seconds = 0, architecture.family, seconds
      self._note('build')

    def _note(self, *event):
      events.append((self._family, *event))
      if self._family in errors and errors[self._family][0] == event[0]:
        raise errors[self._family][1]

    def train(self, steps):
      self.steps_done += steps
      self._note('train', steps)
      return accuracies.get('loss', 1.)

    def accuracy(self, split):
      self._note('accuracy', split)
      accuracy = accuracies.get(self._family, .5)
      accuracy = accuracy.pop(0) if isinstance(accuracy, list) else accuracy
      return accuracy / 2 if split == 'test' else accuracy

    def close(self):
      closed.append(self._family)

  def check(self, task, norm_act):
    del self, task, norm_act
    events.append(('stability',))
    if 'stability' in errors:
      raise errors['stability']
    return 2.5

  closed = errors['closed'] = []
  monkeypatch.setattr(evaluation_lib, 'start_training', FakeTraining)
  monkeypatch.setattr(StabilityTest, 'check', check)
  return events, accuracies, errors


def test_order_of_the_tests(events):
  outcome = Evaluation(TWO, QualityTest(steps=3), StabilityTest(), test=True).evaluate(S0)
  assert events[0] == [
      ('resnet', 'build'), ('resnet', 'train', 3), ('resnet', 'accuracy', 'validation'),
      ('mobilenet_v2', 'build'), ('mobilenet_v2', 'train', 3), ('mobilenet_v2', 'accuracy', 'validation'),
      ('stability',),
      ('resnet', 'train', 2), ('resnet', 'accuracy', 'validation'), ('resnet', 'accuracy', 'test'),
      ('mobilenet_v2', 'train', 2), ('mobilenet_v2', 'accuracy', 'validation'), ('mobilenet_v2', 'accuracy', 'test')]
  assert (outcome.outcome, outcome.detail, outcome.gradient_norm) == ('accepted', '', 2.5)
  assert list(outcome.scores) == list(outcome.test_scores) == list(outcome.screening) == ['resnet', 'mobilenet_v2']
  assert {*outcome.scores.values()} == {.5} and {*outcome.test_scores.values()} == {.25}
  assert sorted(events[2]['closed']) == ['mobilenet_v2', 'resnet']


def test_without_tests_there_is_only_training(events):
  outcome = Evaluation(TWO).evaluate(S0)
  assert [e for e in events[0] if e[1:2] != ('build',)] == [
      ('resnet', 'train', 5), ('resnet', 'accuracy', 'validation'),
      ('mobilenet_v2', 'train', 5), ('mobilenet_v2', 'accuracy', 'validation')]
  assert outcome.test_scores == outcome.screening == {} and outcome.gradient_norm is None


def test_a_quality_test_longer_than_the_task_ends_with_it(events):
  assert Evaluation(TWO, QualityTest(steps=100)).evaluate(S0).outcome == 'accepted'
  assert [e[2] for e in events[0] if e[1] == 'train'] == [5, 5, 0, 0]


def test_quality_rejection_in_the_second_architecture(events):
  events[1]['mobilenet_v2'] = .1
  outcome = Evaluation(TWO, QualityTest(steps=3), StabilityTest()).evaluate(S0)
  assert outcome.outcome == 'rejected: quality'
  assert outcome.detail == 'mobilenet_v2: accuracy 0.100 after 3 steps, at least 0.2 is needed'
  assert outcome.screening == {'resnet': .5, 'mobilenet_v2': .1} and outcome.scores == {}
  assert ('stability',) not in events[0] and ('resnet', 'train', 2) not in events[0]
  assert sorted(events[2]['closed']) == ['mobilenet_v2', 'resnet']


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


def test_stability_rejection(events):
  events[2]['stability'] = StabilityRejected('gradient norm 1e9')
  outcome = Evaluation(TWO, QualityTest(steps=3), StabilityTest()).evaluate(S0)
  assert (outcome.outcome, outcome.detail) == ('rejected: stability', 'resnet: gradient norm 1e9')
  assert outcome.scores == {} and ('resnet', 'train', 2) not in events[0]


@pytest.mark.parametrize('error, reason', [
    (lambda: NonFiniteLoss('loss is not finite after 26 steps'), 'loss is not finite after 26 steps'),
    (MemoryError, 'MemoryError: no message'),
    (lambda: tf.errors.ResourceExhaustedError(None, None, OUT_OF_MEMORY),
     'ResourceExhaustedError: OOM when allocating'),
    (lambda: RecursionError('deep'), 'RecursionError: deep'),
    (lambda: KeyError('ends with a colon:'), "KeyError: 'ends with a colon:'"),
    (lambda: TypeError('x' * 1000), 'TypeError: ' + 'x' * 300)],
                         ids=['NaN', 'memory', 'device', 'depth', 'key', 'long'])
@pytest.mark.parametrize('activity', ('build', 'train', 'accuracy'))
def test_whatever_fails_is_recorded_with_its_architecture(events, activity, error, reason):
  events[2]['mobilenet_v2'] = activity, error()
  outcome = Evaluation(TWO).evaluate(S0)
  assert (outcome.outcome, outcome.detail) == ('failed', f'mobilenet_v2: {reason}')
  assert outcome.scores == {} and outcome.seconds['total'] >= 0


def test_ctrl_c_is_no_failure(events):
  events[2]['resnet'] = 'train', KeyboardInterrupt()
  with pytest.raises(KeyboardInterrupt):
    Evaluation(TWO).evaluate(S0)


def test_ctrl_c_does_not_wait_for_a_download(monkeypatch):
  monkeypatch.setattr(ProxyTask, 'training_batches', lambda self: signal.raise_signal(signal.SIGINT) or pytest.fail())
  with pytest.raises(KeyboardInterrupt):
    with interrupts_noted():
      Evaluation(TWO).check()


@pytest.mark.parametrize('spec, groups', [
    (S0, 4), ('evonorm_s0', 4), ('gn_relu', 4), ('in_relu', -1), ('bn_relu', None)],
                         ids=['graph', 'S0', 'GN', 'IN', 'BN'])
def test_groups_reach_the_layers_that_have_them(events, monkeypatch, spec, groups):
  received = []
  monkeypatch.setattr(StabilityTest, 'check', lambda self, task, norm_act: received.append(norm_act) or 1.)
  assert Evaluation(TWO, stability=StabilityTest(), groups=4).evaluate(spec).outcome == 'accepted'
  assert received[0].options.get('groups') == groups
  del events


def test_an_unknown_layer_fails_without_architecture():
  outcome = Evaluation(TWO).evaluate('bn_rlu')
  assert outcome.outcome == 'failed' and outcome.detail.startswith('ValueError: `spec` must be one of')


def test_a_real_evaluation_is_json_and_sees_no_test_image(monkeypatch):
  looked_up, load = [], ProxyTask.load

  class Recording(dict):

    def __getitem__(self, split):
      looked_up.append(split)
      return super().__getitem__(split)

  monkeypatch.setattr(ProxyTask, 'load', lambda self: Recording(load(self)))
  outcome = Evaluation(TASK, QualityTest(steps=1, min_accuracy=0.), StabilityTest(steps=1)).evaluate(S0)
  assert outcome.outcome == 'accepted', outcome.detail
  assert set(looked_up) == {'validation'}  # training images come in batches, of which proxy_task_test tells
  assert set(outcome.scores) == set(outcome.screening) == {'resnet'} and 0 <= outcome.scores['resnet'] <= 1
  assert outcome.gradient_norm > 0
  seconds = dict(outcome.seconds)
  total = seconds.pop('total')
  assert set(seconds) == {'build', 'trace', 'train', 'evaluate', 'stability'}
  assert total >= .999 * sum(seconds.values()) - .005
  assert json.loads(json.dumps(vars(outcome), allow_nan=False)) == vars(outcome)


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


def test_a_real_evaluation_stops_at_a_rung():
  task = dataclasses.replace(TASK, steps=3)
  evaluation = Evaluation(task, halving=SuccessiveHalving((1, 2)), bars=(Bar(0.), Bar(1., {'resnet': .1})))
  stopped = evaluation.evaluate(S0)
  assert stopped.outcome == 'accepted' and [r['stopped'] for r in stopped.rungs] == [False, True]
  assert stopped.scores == {'resnet': pytest.approx(stopped.rungs[1]['accuracies']['resnet'] + .1)}
  whole = dataclasses.replace(evaluation, bars=()).evaluate(S0)
  assert [r['accuracies'] for r in whole.rungs] == [r['accuracies'] for r in stopped.rungs]
  assert whole.scores == Evaluation(task).evaluate(S0).scores


class NotTraceable(tf_keras.layers.Layer):

  def call(self, inputs):
    raise NotImplementedError('in tracing')


def test_real_failures(monkeypatch):
  infinite = LayerGraph((Node('square', (0,)), Node('exp', (4,)), Node('exp', (5,)), Node('mul', (6, 6))))
  outcome = Evaluation(TASK).evaluate(infinite)
  assert (outcome.outcome, outcome.detail) == ('failed', 'resnet: loss is not finite after 1 steps')
  assert set(outcome.seconds) == {'total', 'build', 'trace'}

  def fail(*_):
    raise NotImplementedError('in tracing')

  monkeypatch.setattr(Evaluation, '_norm_act', lambda self, spec: NotTraceable)
  assert Evaluation(TASK).evaluate(S0).detail == 'resnet: NotImplementedError: in tracing'
  monkeypatch.undo()
  monkeypatch.setattr(ProxyTask, 'loss', fail)
  untraced = dataclasses.replace(TASK, seed=1)  # of TASK the process has a network
  assert Evaluation(untraced).evaluate(S0).detail == 'resnet: NotImplementedError: in tracing'


def test_check_finds_a_task_that_cannot_work():
  Evaluation(TASK).check()
  for options, message in (({'crop_size': 9}, '`crop_size`'), ({'validation_images': 7}, '`validation_images`'),
                           ({'image_size': 9}, '`size` must divide')):
    with pytest.raises(ValueError, match=message):
      Evaluation(ProxyTask(**{**vars(TASK), **options})).check()
  for options, message in (({'strategy': 'mirored'}, "`strategy` must be one of .*received 'mirored'"),
                           ({'evaluation_batch_size': 0}, '`evaluation_batch_size` must be an integer of at least 1'),
                           ({'batch_size': 0}, '`batch_size` must be an integer of at least 1')):
    with pytest.raises(ValueError, match=message):
      ProxyTask(**{**vars(TASK), **options})
  with pytest.raises(ValueError, match='`groups` must be an integer of at least 1.*received 0'):
    Evaluation(TASK, groups=0)
  with pytest.raises(ValueError, match='`depth` must be'):
    Evaluation(ProxyTask((Architecture('resnet', {'depth': 9}),), validation_images=50)).check()


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


def test_images_that_a_machine_cannot_read_are_no_fault_of_the_layer(tmp_path):
  elsewhere = dataclasses.replace(TASK, data_dir=str(tmp_path / 'nowhere'))
  with pytest.raises(ValueError, match='`data_dir` must be an existing folder'):
    Evaluation(elsewhere).evaluate(S0)
