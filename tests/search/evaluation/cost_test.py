"""What a layer costs: ratios to BN-ReLU, which is trained once for a task, and nothing that a failure would change."""

import dataclasses
import types

import pytest

from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation import cost
from search.evaluation.architecture import Architecture
from search.evaluation.cost import BASE_STEPS
from search.evaluation.cost import layer_cost
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.training import NonFiniteLoss
from search.graphs.known_graphs import known_graph

TASK = ProxyTask((Architecture('resnet'), Architecture('mobilenet_v2')), steps=2000)
S0, BASE = get_norm_act(known_graph('evonorm_s0')), get_norm_act('bn_relu')


@pytest.fixture
def base(monkeypatch):
  """The steps that BN-ReLU was trained for, by architecture in order; `seconds` of a step, and `errors`, steer it."""
  steps, seconds, errors = [], {'resnet': .5, 'mobilenet_v2': .1}, {}

  class FakeTraining:

    def __init__(self, task, architecture, norm_act, seconds_spent):
      assert norm_act is BASE and not seconds_spent and architecture in task.architectures
      self._family, self.step_seconds = architecture.family, None

    def train(self, count):
      steps.append((self._family, count))
      if self._family in errors:
        raise errors[self._family]
      self.step_seconds = seconds[self._family] if count > 1 else None

  monkeypatch.setattr(cost, 'Training', FakeTraining)
  monkeypatch.setattr(cost, '_base_times', {})
  monkeypatch.setattr(cost, 'kept', lambda layer: 1.0149)
  return steps, seconds, errors


def step_time(resnet, mobilenet_v2, task=TASK, norm_act=S0):
  trained = {'resnet': resnet, 'mobilenet_v2': mobilenet_v2}
  trainings = {name: types.SimpleNamespace(step_seconds=seconds) for name, seconds in trained.items()}
  return layer_cost(task, norm_act, trainings, BASE)['step_time']


def test_the_ratio_is_the_geometric_mean_of_the_architectures(base):
  assert step_time(1., .05) == 1 and step_time(2., .1) == 2
  assert step_time(1., .1) == pytest.approx(2**.5, abs=1e-3)
  assert base[0] == [('resnet', BASE_STEPS), ('mobilenet_v2', BASE_STEPS)]  # once


def test_bn_relu_is_timed_for_each_task_and_no_longer_than_it_trains(base):
  assert step_time(1., .1) == step_time(1., .1, dataclasses.replace(TASK, steps=3))
  assert [count for _, count in base[0]] == [BASE_STEPS, BASE_STEPS, 3, 3]


def test_a_reference_bn_relu_is_what_later_layers_are_compared_with(base):
  assert step_time(.2, .2, norm_act=get_norm_act('bn_relu')) == 1 and base[0] == []
  assert step_time(.4, .4) == 2 and step_time(.3, .3, norm_act=BASE) == 1.5 and base[0] == []


def test_times_that_are_missing(base):
  assert step_time(None, .1) is step_time(0., .1) is None and base[0] == []
  assert step_time(1., .1, dataclasses.replace(TASK, steps=1)) is None


def test_a_failure_of_bn_relu_is_no_failure_of_the_layer(base):
  base[2]['mobilenet_v2'] = NonFiniteLoss('loss is not finite')
  assert step_time(1., .1) is None and step_time(1., .1) is None
  assert len(base[0]) == 2  # it is not tried again


def test_ctrl_c_passes_and_leaves_nothing_behind(base):
  base[2]['resnet'] = KeyboardInterrupt()
  with pytest.raises(KeyboardInterrupt):
    step_time(1., .1)
  base[2].clear()
  assert step_time(1., .2) == 2


def test_what_is_kept_is_that_of_the_layer(base, monkeypatch):
  counted = []
  monkeypatch.setattr(cost, 'kept', lambda layer: counted.append(type(layer).__name__) or 1.0149)
  trainings = {'resnet': types.SimpleNamespace(step_seconds=None)}
  assert layer_cost(TASK, S0, trainings, BASE) == {'step_time': None, 'kept': 1.015}
  assert layer_cost(TASK, get_norm_act('evonorm_s0'), trainings, BASE)['kept'] == 1.015
  assert counted == ['GraphLayer', 'EvoNormS0'] and base[0] == []


def test_a_layer_that_cannot_be_counted(base, monkeypatch):
  def fail(layer):
    raise RecursionError(layer)
  monkeypatch.setattr(cost, 'kept', fail)
  trainings = {a.family: types.SimpleNamespace(step_seconds=.5) for a in TASK.architectures}
  assert layer_cost(TASK, S0, trainings, BASE) == {'step_time': pytest.approx(5**.5, abs=1e-3), 'kept': None}
  assert len(base[0]) == 2
