"""Rejection: the quality threshold; the stability test's ascent against finite differences, what it rejects."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation import rejection
from search.evaluation.architecture import Architecture
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import LossTest
from search.evaluation.rejection import QualityRejected
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import Rejected
from search.evaluation.rejection import StabilityRejected
from search.evaluation.rejection import StabilityTest
from search.evaluation.training import kernels
from search.graphs.known_graphs import known_graph

TASK = ProxyTask((Architecture('resnet', {'depth': 8, 'width_multiplier': .5}),), batch_size=8, crop_size=8,
                 image_size=8, validation_images=50)
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(8, 4, 4, 3)), np.arange(8) % 3


@pytest.fixture
def model():
  """A tiny network in float64."""
  tf_keras.utils.set_random_seed(0)
  return tf_keras.Sequential([
      tf_keras.Input([4, 4, 3], dtype='float64'), tf_keras.layers.Conv2D(4, 3, dtype='float64'),
      get_norm_act('evonorm_b0')(dtype='float64'), tf_keras.layers.Flatten(dtype='float64'),
      tf_keras.layers.Dense(3, dtype='float64')])


def gradient_norm(model):
  """‖∂ℓ/∂θ‖ over the kernels alone, computed in eager mode and NumPy."""
  with tf.GradientTape() as tape:
    log_probabilities = tf.nn.log_softmax(model(IMAGES, training=True))
    loss = -tf.reduce_mean(tf.gather(log_probabilities, LABELS, batch_dims=1))
  gradients = tape.gradient(loss, [w for w in model.trainable_variables if 'kernel' in w.name])
  return np.sqrt(sum((g.numpy()**2).sum() for g in gradients))


def test_quality_threshold():
  test = QualityTest(steps=30, min_accuracy=.25)
  test.check(.25)
  test.check(1.)
  with pytest.raises(QualityRejected, match='accuracy 0.249 after 30 steps, at least 0.25 is needed') as error:
    test.check(.249)
  assert isinstance(error.value, Rejected) and error.value.outcome == 'rejected: quality'
  with pytest.raises(QualityRejected):
    QualityTest().check(.199)
  with pytest.raises(QualityRejected, match='accuracy 0.100 after 60 steps'):
    QualityTest(steps=100).check(.1, 60)
  for wrong, message in (({'min_accuracy': 20}, r'`min_accuracy` must lie in \[0, 1\], received 20'),
                         ({'steps': 0}, '`steps` must be an integer of at least 1 .*received 0')):
    with pytest.raises(ArgumentError, match=message):
      QualityTest(**wrong)


def test_loss_test():
  test = LossTest(steps=30, window=5, max_loss=2.3)
  test.check(2.3)
  with pytest.raises(QualityRejected, match='loss 2.302 after 30 steps, at most 2.3 is allowed'):
    test.check(2.302)
  assert QualityTest().loss_test is None, 'the paper has none'
  with pytest.raises(ValueError, match='`window` must be from 1 to `steps`, 4, received 5'):
    LossTest(steps=4, window=5)
  with pytest.raises(ValueError, match='`loss_test` must come before the quality test at 40 steps'):
    QualityTest(steps=40, loss_test=LossTest(steps=40))


def test_an_ascent_climbs_the_gradient_norm(model):
  test = StabilityTest(learning_rate=.5)
  before = gradient_norm(model)
  thetas = [theta.numpy() for theta in kernels(model)]
  others = [w.numpy() for w in model.trainable_variables if 'kernel' not in w.name]
  norm = test._ascend_once(TASK, model, tf.constant(IMAGES), tf.constant(LABELS))
  assert float(norm) == pytest.approx(before, rel=1e-10)
  direction = [(theta.numpy() - start) / .5 for theta, start in zip(kernels(model), thetas)]
  for w, start in zip([w for w in model.trainable_variables if 'kernel' not in w.name], others, strict=True):
    np.testing.assert_array_equal(w, start)
  for seed in range(3):  # along random lines, the norm rises as the step says
    line = [np.random.default_rng(seed).normal(size=theta.shape) for theta in thetas]
    norms = []
    for sign in (1, -1):
      for theta, start, d in zip(kernels(model), thetas, line, strict=True):
        theta.assign(start + sign * 1e-5 * d)
      norms.append(gradient_norm(model))
    expected = sum((a * b).sum() for a, b in zip(direction, line))
    assert (norms[0] - norms[1]) / 2e-5 == pytest.approx(expected, rel=1e-4)


def test_ascending_raises_the_norm_and_the_largest_is_returned(model):
  batches = iter(tf.data.Dataset.from_tensors((IMAGES, LABELS)).repeat())
  test = StabilityTest(learning_rate=.02)
  start = gradient_norm(model)
  largest = float(test._ascend(TASK, model, batches, tf.constant(20)))
  assert largest > 1.2 * start and largest >= .99 * gradient_norm(model)
  for theta in kernels(model):
    theta.assign(1e-3 * theta)
  assert largest > float(test._ascend(TASK, model, batches, tf.constant(1)))


@pytest.mark.parametrize('spec, options', [
    ('bn_relu', {}), pytest.param('evonorm_b0', {'jit_compile': False}, marks=pytest.mark.slow),  # as evaluations do
    pytest.param(known_graph('evonorm_s0'), {}, marks=pytest.mark.slow)], ids=['BN-ReLU', 'B0', 'S0'])
def test_known_layers_pass(spec, options):
  norm = StabilityTest(steps=5).check(TASK, get_norm_act(spec, **options))
  assert .01 < norm < 1e4


def test_the_steps_are_divided_into_calls(monkeypatch):
  calls, norms = [], iter([3., 2., 5.])
  monkeypatch.setattr(StabilityTest, '_ascend', lambda self, task, model, batches, steps: next(norms))
  monkeypatch.setattr(tf, 'function', lambda f: lambda batches, steps: calls.append(int(steps)) or f(batches, steps))
  assert StabilityTest(steps=60).check(TASK, get_norm_act('bn_relu')) == 5. and calls == [25, 25, 10]


def test_ctrl_c_is_looked_for_before_every_call(monkeypatch):
  events = []

  def look():
    if len(events) == 4:
      raise KeyboardInterrupt
    events.append('look')

  monkeypatch.setattr(rejection, 'raise_if_interrupted', look)
  monkeypatch.setattr(tf, 'function', lambda f: lambda batches, steps: events.append(int(steps)) or 1.)
  with pytest.raises(KeyboardInterrupt):
    StabilityTest().check(TASK, get_norm_act('bn_relu'))
  assert events == ['look', 25, 'look', 25]


def test_infinity_allows_every_finite_norm_and_no_other(monkeypatch):
  monkeypatch.setattr(tf, 'function', lambda f: lambda batches, steps: norms.pop(0))
  norms = [1e30]
  assert StabilityTest(steps=25, max_gradient_norm=math.inf).check(TASK, get_norm_act('bn_relu')) == 1e30
  norms = [math.inf]
  with pytest.raises(StabilityRejected, match='gradient norm inf'):
    StabilityTest(steps=25, max_gradient_norm=math.inf).check(TASK, get_norm_act('bn_relu'))


@pytest.mark.parametrize('norms, steps, text', [
    ([1e8, 1.01e8], 50, '1.01e[+]08'), ([math.inf], 25, 'inf'), ([math.nan], 25, '(inf|nan)')])
def test_a_norm_beyond_the_limit_is_rejected(monkeypatch, norms, steps, text):
  monkeypatch.setattr(StabilityTest, '_ascend_once', lambda *_: tf.constant(norms.pop(0)))
  monkeypatch.setattr(tf, 'function', lambda f: lambda batches, steps: f(batches, tf.constant(1)))
  message = f'gradient norm {text} within {steps} steps of gradient ascent, at most 1e[+]08 is allowed'
  with pytest.raises(StabilityRejected, match=message) as error:
    StabilityTest(steps=60).check(TASK, get_norm_act('bn_relu'))
  assert isinstance(error.value, Rejected) and error.value.outcome == 'rejected: stability'


@pytest.mark.parametrize('nodes', [
    pytest.param([Node('exp', (0,)), Node('exp', (4,))], marks=pytest.mark.slow),
    [Node('square', (0,)), Node('mul', (0, 4)), Node('square', (5,))],  # x⁶, finite at first
], ids=['exp exp x', 'x⁶'])
def test_an_exploding_layer_is_rejected(nodes):
  with pytest.raises(StabilityRejected, match='gradient norm'):
    StabilityTest(steps=25).check(TASK, get_norm_act(LayerGraph(tuple(nodes))))


def test_nan_counts_as_infinity_wherever_it_comes(monkeypatch):
  for norms in ([math.nan, 1.], [1., math.nan]):
    left = list(norms)
    monkeypatch.setattr(StabilityTest, '_ascend_once', lambda *_: tf.constant(left.pop(0)))
    batches = iter([(0, 0)] * 2)
    assert StabilityTest()._ascend(TASK, None, batches, 2) == math.inf
