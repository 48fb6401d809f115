"""Training in a network that is used again: what plain training finds, whatever was trained before."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from tensorflow.python.framework import ops

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation import function_exchange
from search.evaluation import reused_training
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.evaluation.reused_training import ReusedTraining
from search.evaluation.reused_training import start_training
from search.evaluation.training import Training
from search.graphs.known_graphs import known_graph

RESNET = Architecture('resnet', {'depth': 8, 'width_multiplier': .5})
TASK = ProxyTask((RESNET,), steps=4, cosine=True, learning_rate=.05, weight_decay=.5, batch_size=8, crop_size=8,
                 image_size=8, validation_images=50, evaluation_batch_size=32)
TANH = LayerGraph((Node('tanh', (0,)),))
ABS = LayerGraph((Node('abs', (0,)),))


@pytest.fixture(autouse=True)
def no_networks(monkeypatch):
  monkeypatch.setattr(reused_training, '_idle', type(reused_training._idle)())


def results(training, steps=3):
  """Loss, accuracy, and the weights by name but for numbers; without v0 and v1 where they are as at the start."""
  loss = training.train(steps)
  weights = {}
  for layer in training.model.layers:
    for w in layer.weights:
      name = re.sub(r'_\d+', '', w.name).split('/')[-1]
      weights.setdefault(name, []).append(w.numpy())
  return {'loss': np.array(loss), 'accuracy': np.array(training.accuracy('validation')), **{
      f'{name} {i}': w for name, some in weights.items() for i, w in enumerate(some)
      if not (name in ('v0:0', 'v1:0') and (w == int(name[1])).all())}}


def assert_close(found, expected, rtol, atol):
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=rtol, atol=atol, err_msg=name)


def train(graph, task=TASK):
  """The results of a training whose network goes back, and the network."""
  training = ReusedTraining(task, task.architectures[0], get_norm_act(graph, groups=4, jit_compile=False), {})
  found, network = results(training), training._kept
  training.close()
  return found, network


class Plain(GraphLayer):
  """The layer operation by operation, as kept networks run it: in float32 its own gradient differs by rounding."""
  _gradient = None


def plain_factory(graph):
  return NormActFactory(Plain, {'graph': graph, 'groups': 4})


@pytest.mark.parametrize('graph', [
    *(pytest.param(known_graph(name), marks=pytest.mark.slow) for name in ('bn_silu', 'evonorm_s0')),
    known_graph('evonorm_b0'),
    pytest.param(LayerGraph((
        Node('second_moment', (0,), 'w,h,c'), Node('first_moment', (4,), 'b,w,h'), Node('div', (0, 5)))),
                 marks=pytest.mark.slow)], ids=['bn_silu', 'S0', 'B0', 'scalar'])
def test_the_results_are_those_of_plain_training(graph):
  plain = results(Training(TASK, RESNET, plain_factory(graph), {}))
  assert_close(train(graph)[0], plain, rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize('family, options', [
    ('mobilenet_v2', {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True}),
    ('efficientnet', {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True, 'dropout': .5,
                      'drop_connect': .5})])
def test_other_families_and_dropout(family, options):
  task = dataclasses.replace(TASK, architectures=(Architecture(family, options),), learning_rate=.001)
  graph = known_graph('evonorm_b0')
  plain = results(Training(task, task.architectures[0], plain_factory(graph), {}))
  for _ in range(2):
    assert_close(train(graph, task)[0], plain, rtol=1e-3, atol=1e-4)


def test_another_graph_in_between_leaves_no_trace():
  first, network = train(TANH)
  other, used = train(ABS)
  again, used_again = train(TANH)
  assert network is used is used_again
  assert_close(first, again, rtol=0, atol=0)
  plain = results(Training(TASK, RESNET, get_norm_act(ABS), {}))
  assert abs(other['loss'] - first['loss']) > .01 and other['loss'] == pytest.approx(plain['loss'], rel=1e-4)


@pytest.mark.slow
def test_only_what_fits_is_used_again():
  network = train(TANH)[1]
  assert train(known_graph('evonorm_b0'))[1] is not network  # it has a moving average
  assert train(known_graph('evonorm_s0'))[1] is network  # and v1 all have
  assert train(TANH, dataclasses.replace(TASK, learning_rate=.1))[1] is not network
  assert train(ABS)[1] is network


def test_a_network_is_its_trainings_own_until_close():
  make = lambda graph: ReusedTraining(TASK, RESNET, get_norm_act(graph, jit_compile=False), {})
  one, two = make(TANH), make(ABS)
  assert one.model is not two.model
  one.close()
  one.close()
  assert len(reused_training._idle) == 1
  assert make(ABS).model is one.model


@pytest.mark.slow
def test_what_is_kept_is_bounded_by_memory(monkeypatch):
  sizes = itertools.count(0, 300_000_000)
  monkeypatch.setattr(reused_training, 'resident_bytes', lambda: next(sizes))  # each network takes 300 MB
  tasks = [dataclasses.replace(TASK, learning_rate=rate) for rate in (.1, .2)]
  first = train(TANH, tasks[0])[1]
  assert first.bytes == 300_000_000 and [*reused_training._idle.values()] == [first]
  second = train(TANH, tasks[1])[1]
  assert [*reused_training._idle.values()] == [second]


@pytest.mark.parametrize('spec, strategy, expected', [
    (TANH, 'one_device', ReusedTraining), ('bn_relu', 'one_device', Training), (TANH, 'mirrored', Training)])
def test_who_gets_a_network_of_its_own(spec, strategy, expected):
  task = dataclasses.replace(TASK, strategy=strategy)
  assert type(start_training(task, RESNET, get_norm_act(spec), {})) is expected


def test_without_exchange_each_training_has_its_own_network(monkeypatch):
  monkeypatch.setattr(function_exchange, 'execute', None)
  function_exchange.can_exchange_functions.cache_clear()
  try:
    assert type(start_training(TASK, RESNET, get_norm_act(TANH), {})) is Training
    outcome = Evaluation(TASK, QualityTest(steps=2, min_accuracy=0.)).evaluate(TANH)
  finally:
    function_exchange.can_exchange_functions.cache_clear()
  assert outcome.outcome == 'accepted' and not reused_training._idle


def test_evaluations_use_it_again():
  evaluation = Evaluation(TASK, QualityTest(steps=2, min_accuracy=0.))
  gradients = set(ops.gradient_registry._registry)
  first = evaluation.evaluate(TANH)
  assert first.outcome == 'accepted', first.detail
  assert set(ops.gradient_registry._registry) == gradients
  network, = reused_training._idle.values()
  infinite = LayerGraph((Node('square', (0,)), Node('exp', (4,)), Node('exp', (5,)), Node('mul', (6, 6))))
  assert evaluation.evaluate(infinite).detail == 'resnet: loss is not finite after 1 steps'
  again = evaluation.evaluate(TANH)
  assert (again.scores, again.screening) == (first.scores, first.screening)
  assert [*reused_training._idle.values()] == [network]


@pytest.mark.slow
def test_an_evaluation_leaves_none_of_its_graphs():
  evaluation = Evaluation(TASK, QualityTest(steps=2, min_accuracy=0.))
  before = set(ops.gradient_registry._registry)
  assert evaluation.evaluate(known_graph('bn_silu')).outcome == 'accepted'
  assert set(ops.gradient_registry._registry) == before


@pytest.mark.slow
def test_compiled_layers_have_the_same_scores_in_networks_of_their_own():
  task, graph = ProxyTask((RESNET,), steps=2, batch_size=8, crop_size=8, image_size=8,
                          validation_images=50), known_graph('evonorm_s0')
  plain, compiled = (Evaluation(task, groups=4, jit_compile=jit_compile).evaluate(graph)
                     for jit_compile in (False, True))
  assert compiled.outcome == plain.outcome == 'accepted' and compiled.scores == plain.scores
  assert Evaluation(task, jit_compile=None)._norm_act(graph).options['jit_compile'] is None


def test_the_model_of_a_kept_network_runs_the_candidates_layer():
  images = next(iter(TASK.evaluation_batches('validation')))[0]
  for graph in (ABS, TANH):  # the second in the network of the first
    norm_act = get_norm_act(graph, groups=4, jit_compile=False)
    reused, plain = start_training(TASK, RESNET, norm_act, {}), Training(TASK, RESNET, norm_act, {})
    logits = []
    for training in (reused, plain):
      training.train(2)
      logits.append(training.model(images, training=False).numpy())
      training.close()
    np.testing.assert_allclose(*logits, rtol=1e-3, atol=1e-4)
  assert len(reused_training.idle_networks()) == 1
