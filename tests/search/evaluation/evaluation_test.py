"""Evaluation: the order of its tests, what is recorded, and that nothing a candidate does ends the search."""

import dataclasses
import json
import signal

import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import StabilityRejected
from search.evaluation.rejection import StabilityTest
from search.evaluation.training import NonFiniteLoss
from search.execution.deferred_interrupts import interrupts_noted
from search.graphs.known_graphs import known_graph

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


def test_images_that_a_machine_cannot_read_are_no_fault_of_the_layer(tmp_path):
  elsewhere = dataclasses.replace(TASK, data_dir=str(tmp_path / 'nowhere'))
  with pytest.raises(ValueError, match='`data_dir` must be an existing folder'):
    Evaluation(elsewhere).evaluate(S0)
