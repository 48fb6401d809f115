"""Samples of an evaluation: as many as the protocol has, the same for any number of replicas and size of batch."""

import types

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.devices.strategy import get_strategy
from gan.samples.evaluation import SampleEvaluation
from tests.gan.tiny_gan import PROTOCOL
from tests.gan.tiny_gan import SIZE
from tests.gan.tiny_gan import TinyFeatures


class Constant:
  """A generator whose images are tanh of z's first number and a tenth of the label."""
  z_size, num_classes = 3, 10

  def __call__(self, inputs, training):
    z, labels = inputs
    value = tf.tanh(z[:, 0] + tf.cast(labels, tf.float32) / 10.)
    return tf.tile(value[:, None, None, None], [1, SIZE, SIZE, 3])


def make(batch_size=10, seed=0):
  real = types.SimpleNamespace(features=np.arange(8.)[:, None])
  return SampleEvaluation(PROTOCOL, TinyFeatures(), real, batch_size, seed, 'as written')


def features(evaluation, strategy='one_device'):
  """What `scores` is given, `[batches, batch_size, 6]`."""
  strategy = get_strategy(strategy)
  outputs = []
  for number in sorted(set(evaluation.numbers().as_numpy_iterator())):
    parts = strategy.run(lambda number=number: evaluation.measure(Constant(), tf.constant(number)))
    outputs.append(strategy.experimental_local_results(parts['features'])[0].numpy())
  return np.stack(outputs)


@pytest.mark.parametrize('pipelines, replicas, expected', [(1, 1, [0, 1, 2]), (1, 2, [0, 0, 1, 1, 2, 2]),
                                                           (2, 2, [0, 1, 2])])
def test_each_replica_gets_every_number(pipelines, replicas, expected):
  context = tf.distribute.InputContext(pipelines, 0, replicas)
  assert list(make().numbers(context).as_numpy_iterator()) == expected  # 25 samples, 10 at a time


def test_two_replicas_make_the_samples_of_one_device():
  np.testing.assert_allclose(features(make(), 'mirrored'), features(make()), rtol=1e-5)


def test_samples_follow_from_the_seed_and_differ_from_batch_to_batch():
  first, other = features(make()), features(make(seed=1))
  np.testing.assert_array_equal(first, features(make()))
  assert len(np.unique(np.concatenate([first, other])[..., 0].round(6))) == 60


def test_the_protocols_number_is_scored(monkeypatch):
  seen = {}

  def scores(protocol, real, feature_array, logits, real_radii):
    seen.update(protocol=protocol, real=real, features=feature_array, logits=logits)
    return {'fid': 1.}

  monkeypatch.setattr('gan.samples.evaluation.metrics', types.SimpleNamespace(scores=scores))
  batches = [{'features': np.full([10, 6], i), 'logits': np.full([10, 4], i)} for i in range(3)]
  assert make().scores(batches) == {'fid': 1.}
  assert seen['features'].shape == (25, 6) and seen['logits'].shape == (25, 4) and seen['protocol'] is PROTOCOL
  assert seen['features'][:, 0].tolist() == [0] * 10 + [1] * 10 + [2] * 5
