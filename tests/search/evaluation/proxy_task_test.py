"""The proxy task at tiny size: data, one step in NumPy, reproducible results, replicas, what fails."""

import dataclasses
import random
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.data import cifar10
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation import proxy_task
from search.evaluation import training as training_lib
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.training import kernels
from search.evaluation.training import NonFiniteLoss
from search.evaluation.training import timed
from search.evaluation.training import Training
from search.graphs.known_graphs import known_graph

RESNET = Architecture('resnet', {'depth': 8, 'width_multiplier': .5})
TASK = ProxyTask((RESNET,), steps=4, cosine=True, learning_rate=.05, weight_decay=.5, batch_size=8, crop_size=8,
                 image_size=8, validation_images=50)


def train(spec, task=TASK, steps=3):
  """Returns the training, after so many steps."""
  training = Training(task, task.architectures[0], get_norm_act(spec), {})
  training.train(steps)
  return training


def results(training):
  return [*(w.numpy() for w in training.model.weights), np.array(training.accuracy('validation'))]


@pytest.fixture(scope='module')
def silu():
  """A network with γ, β, v0 and v1, trained 3 steps."""
  return train(known_graph('bn_silu'))


@pytest.fixture(scope='module')
def s0():
  return train('evonorm_s0')


def reference_steps(task, spec, steps):
  """Weights by SGD with Nesterov momentum, weight decay and cosine in NumPy; the gradient alone is TensorFlow's."""
  model = task.build(task.architectures[0], get_norm_act(spec))
  weights = [w.numpy().astype(np.float64) for w in model.trainable_variables]
  velocities = [np.zeros_like(w) for w in weights]
  for step, (images, labels) in enumerate(task.training_batches().take(steps)):
    with tf.GradientTape() as tape:
      log_probabilities = tf.nn.log_softmax(model(images, training=True))
      loss = -tf.reduce_mean(tf.gather(log_probabilities, labels, batch_dims=1))
    rate = task.learning_rate * .5 * (1 + np.cos(np.pi * step / task.steps))
    for i, gradient in enumerate(tape.gradient(loss, model.trainable_variables)):
      variable = model.trainable_variables[i]
      decayed = 'kernel' in variable.name
      total = gradient.numpy() + (task.weight_decay * weights[i] if decayed else 0.)
      velocities[i] = task.momentum * velocities[i] - rate * total
      weights[i] += task.momentum * velocities[i] - rate * total
      variable.assign(weights[i])
  return model


def test_three_steps_in_numpy(silu):
  expected = reference_steps(TASK, known_graph('bn_silu'), 3)
  names = {w.name.rpartition('/')[2] for w in silu.model.trainable_variables}
  assert names == {'kernel:0', 'gamma:0', 'beta:0', 'v0:0', 'v1:0', 'bias:0'}
  for w, e in zip(silu.model.weights, expected.weights, strict=True):
    np.testing.assert_allclose(w, e, rtol=1e-4, atol=2e-5, err_msg=w.name)


def test_the_time_of_a_step_is_the_median_of_the_longest_calls(silu, monkeypatch):
  assert 0 < silu.step_seconds < 60
  for calls, seconds in (([(25, 1.), (25, 5.), (4, .01), (25, 2.)], .08), ([(2, 1.)], .5), ([], None)):
    monkeypatch.setattr(silu, '_calls', calls)
    assert silu.step_seconds == seconds


@pytest.mark.parametrize('kinds, clock', [('CPU', 'process_time'), ('CPU GPU', 'perf_counter')])
def test_steps_on_cpus_are_timed_whatever_else_runs(monkeypatch, kinds, clock):
  devices = [tf.config.LogicalDevice(f'/device:{kind}:0', kind) for kind in kinds.split()]
  monkeypatch.setattr(tf.config, 'list_logical_devices', lambda: devices)
  assert training_lib._step_clock().__name__ == clock


def test_kernels_are_what_is_no_vector(silu):
  assert {v.name.rpartition('/')[2] for v in kernels(silu.model)} == {'kernel:0'}
  depthwise = Architecture('mobilenet_v2', {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True})
  model = depthwise.make_model(get_norm_act('evonorm_s0'), 10)
  spared = {v.name.rpartition('/')[2] for v in model.trainable_variables if not any(v is k for k in kernels(model))}
  assert {'gamma:0', 'beta:0', 'v1:0'} <= spared and not any('kernel' in name for name in spared)


def test_the_result_is_bitwise_the_same_whatever_ran_before(s0):
  first = results(s0)
  random.seed(7)
  np.random.seed(7)
  tf.random.set_seed(7)
  tf_keras.layers.Dense(3).build([1, 3])
  other = results(train('bn_relu', steps=2))
  again = results(train('evonorm_s0'))
  for a, b in zip(first, again, strict=True):
    np.testing.assert_array_equal(a, b)
  assert len(other) != len(first)


def test_another_seed_gives_another_result(silu):
  norm_act = get_norm_act(known_graph('bn_silu'), jit_compile=False)
  training = Training(dataclasses.replace(TASK, seed=1), RESNET, norm_act, {})
  assert np.abs(training.model.weights[0] - silu.model.weights[0]).max() > .01
  batches = [next(iter(dataclasses.replace(TASK, seed=s).training_batches()))[0] for s in (0, 1)]
  assert np.abs(batches[0] - batches[1]).max() > .1


def test_only_the_layer_differs_between_candidates():
  models = [TASK.build(RESNET, get_norm_act(spec)) for spec in ('bn_relu', known_graph('evonorm_b0'))]
  for a, b in zip(*map(kernels, models), strict=True):
    np.testing.assert_array_equal(a, b)


def test_held_out_images_are_not_trained_on():
  splits = dataclasses.replace(TASK, image_size=32).load()
  hashes = {name: {image.tobytes() for image in images.numpy()} for name, (images, _) in splits.items()}
  assert {name: len(h) for name, h in hashes.items()} == {'train': 4950, 'validation': 50, 'test': 1000}
  assert not hashes['train'] & hashes['validation'] and not hashes['test'] & (hashes['train'] | hashes['validation'])
  official = {split: {image.tobytes() for image in cifar10.load_split(split)[0]} for split in ('train', 'test')}
  assert hashes['train'] | hashes['validation'] == official['train'] and hashes['test'] == official['test']
  assert np.bincount(splits['validation'][1]).tolist() == [5] * 10


def test_batches_are_of_the_task_size_and_from_the_training_images():
  images, labels = next(iter(dataclasses.replace(TASK, crop_size=6).training_batches()))
  assert images.shape == (8, 6, 6, 3) and labels.shape == (8,)
  whole, labels = next(iter(dataclasses.replace(TASK, crop_size=None, flips=False).training_batches()))
  of_training, its_labels = TASK.load()['train']
  found = np.abs(cifar10.normalize(of_training).numpy()[np.newaxis] - whole.numpy()[:, np.newaxis]).max((2, 3, 4))
  assert found.min(1).max() < 1e-5 and np.array_equal(its_labels.numpy()[found.argmin(1)], labels)
  assert TASK.load()['train'][0].shape == (4950, 8, 8, 3) and TASK.load() is TASK.load()


def test_accuracy_counts_right_answers(silu):
  # Batches of 32 and 18 images: the last one is smaller.
  training = Training(dataclasses.replace(TASK, evaluation_batch_size=32), RESNET, get_norm_act('bn_relu'), {})
  for split, count in (('validation', 50), ('test', 1000)):
    images, labels = TASK.load()[split]
    right = np.argmax(training.model(cifar10.normalize(images), training=False), -1) == labels.numpy()
    assert len(right) == count and training.accuracy(split) == pytest.approx(right.mean())


def test_two_replicas_do_what_one_device_does(s0):
  two = train('evonorm_s0', dataclasses.replace(TASK, strategy='mirrored'))
  assert two._strategy.num_replicas_in_sync == 2
  for a, b in zip(s0.model.trainable_variables, two.model.trainable_variables, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5, err_msg=a.name)
  assert s0.accuracy('validation') == pytest.approx(two.accuracy('validation'), abs=.021)  # one image of 50


def test_the_mean_loss_of_the_steps_is_returned(s0):
  training = Training(TASK, RESNET, get_norm_act('evonorm_s0'), {})
  images, labels = next(iter(TASK.training_batches()))
  log_probabilities = tf.nn.log_softmax(training.model(images, training=True))
  first = -np.mean(tf.gather(log_probabilities, labels, batch_dims=1))
  losses = [training.train(1) for _ in range(3)]
  assert losses[0] == pytest.approx(first, rel=1e-4)
  again = Training(TASK, RESNET, get_norm_act('evonorm_s0'), {})
  assert again.train(3) == pytest.approx(np.mean(losses), rel=1e-5)
  np.testing.assert_allclose(again.model.weights[0], s0.model.weights[0], rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_ends_the_training():
  infinite = LayerGraph((Node('square', (0,)), Node('exp', (4,)), Node('exp', (5,)), Node('mul', (6, 6))))
  with pytest.raises(NonFiniteLoss, match='loss is not finite after 1 steps'):
    train(infinite)


@pytest.mark.parametrize('exploding, noticed', [(1, 1), (3, 4), (5, 10), (11, 25), (26, 50), (60, 60)])
def test_a_loss_that_explodes_is_noticed_soon(silu, monkeypatch, exploding, noticed):
  def train_steps(batches, steps):
    done.append(int(steps))
    return np.inf if sum(done) >= exploding else 1.

  done, training = [], object.__new__(Training)
  training.__dict__ |= vars(silu) | {'steps_done': 0, '_calls': [], '_network': types.SimpleNamespace(
      train_steps=train_steps)}
  with pytest.raises(NonFiniteLoss, match=f'not finite after {noticed} steps'):
    training.train(60)
  assert [seconds >= 0 for _, seconds in training._calls] == [True] * (len(done) - 1)


def test_ctrl_c_is_looked_for_before_every_call(silu, monkeypatch):
  events, training = [], object.__new__(Training)
  training.__dict__ |= vars(silu) | {
      'steps_done': 25, '_task': dataclasses.replace(TASK, evaluation_batch_size=400),
      '_network': types.SimpleNamespace(
          train_steps=lambda batches, steps: events.append(int(steps)) or 1.,
          count_correct=lambda images, labels: events.append(len(images)) or 1.)}

  def look():
    if events[3:]:
      raise KeyboardInterrupt
    events.append('look')

  for module in (proxy_task, training_lib):
    monkeypatch.setattr(module, 'raise_if_interrupted', look)
  with pytest.raises(KeyboardInterrupt):
    training.train(100)
  assert events == ['look', 25, 'look', 25]
  events.clear()
  with pytest.raises(KeyboardInterrupt):
    training.accuracy('test')
  assert events == ['look', 400, 'look', 400]
  events.clear()
  TASK.build(RESNET, get_norm_act('bn_relu'))
  assert events == ['look']


def test_time_is_added_by_activity(monkeypatch):
  seconds, clock = {'train': 1.}, iter([10., 12., 20., 25., 30., 31.])
  monkeypatch.setattr(training_lib.time, 'perf_counter', lambda: next(clock))
  with timed(seconds, 'trace'):
    pass
  with pytest.raises(KeyError):
    with timed(seconds, 'train'):
      raise KeyError
  with timed(seconds, 'trace'):
    pass
  assert seconds == {'train': 6., 'trace': 3.}


def test_errors():
  with pytest.raises(ValueError, match=r'`architectures` must be different families, received \[\]'):
    ProxyTask(())
  with pytest.raises(ValueError, match=r"`architectures` must be different families, received \['resnet', 'resnet'\]"):
    ProxyTask((RESNET, Architecture('resnet', {'depth': 14})))
  with pytest.raises(ValueError, match='`steps` must be an integer of at least 1 and below 2³², received 0'):
    ProxyTask((RESNET,), steps=0)


def test_another_seed_changes_weights_and_batches_and_not_the_split():
  first, second = Evaluation(TASK), Evaluation(TASK).with_seed(1)
  assert first.with_seed(0) is first and second.task.training_seed == 1 and second.task.seed == 0
  assert Evaluation(dataclasses.replace(TASK, training_seed=5)).with_seed(2).task.training_seed == 7
  images = [next(iter(e.task.training_batches()))[0] for e in (first, second)]
  assert float(tf.reduce_max(tf.abs(images[0] - images[1]))) > .1
  weights = [e.task.build(RESNET, get_norm_act('bn_relu')).weights[0] for e in (first, second)]
  assert float(tf.reduce_max(tf.abs(weights[0] - weights[1]))) > .01
  for split in ('validation', 'test', 'train'):
    a, b = (e.task.load()[split][0] for e in (first, second))
    assert bool(tf.reduce_all(a == b))
