"""All scores together: of real images, of blurred and of few ones; and what does not fit the protocol."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from gan.scores import metrics
from gan.scores.inception_score import inception_score
from gan.scores.kernel_distance import kernel_distance
from gan.scores.metrics import Protocol
from gan.scores.precision_recall import precision_and_recall
from tests.gan.tiny_network import features_in_numpy
from tests.gan.tiny_network import tiny_network

PROTOCOL = Protocol(samples=200, splits=4, kid_subsets=20, kid_subset_size=100)
NAMES = ['fid', 'inception_score', 'inception_score_std', 'kid', 'kid_std', 'precision', 'recall']


def draw(seed, number=200, contrast=1., offset=0.):
  rng = np.random.default_rng(seed)
  quarters = rng.uniform(-.5, .5, [number, 2, 1, 2, 1, 3]) * contrast + offset
  return np.broadcast_to(quarters, [number, 2, 4, 2, 4, 3]).reshape(number, 8, 8, 3).astype(np.float32)


@pytest.fixture(name='real', scope='module')
def real_fixture():
  dataset = tf.data.Dataset.from_tensor_slices(draw(0, 300)).batch(100)
  return metrics.real_statistics(PROTOCOL, dataset, 'quarters', network=tiny_network(PROTOCOL))


def score(images, real, protocol=PROTOCOL):
  features, logits = tiny_network(protocol)(tf.constant(images))
  return metrics.scores(protocol, real, features.numpy(), logits.numpy())


def test_each_score_is_that_of_its_module(real):
  images = draw(1, contrast=.8, offset=.2)
  result = score(images, real)
  assert list(result) == NAMES and all(type(value) is float for value in result.values())
  x, y = features_in_numpy(images), features_in_numpy(draw(0, 300))
  root = np.trace(scipy.linalg.sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)).real)
  assert result['fid'] == pytest.approx(
      np.sum((x.mean(0) - y.mean(0))**2) + np.trace(np.cov(x, rowvar=False) + np.cov(y, rowvar=False)) - 2 * root)
  assert (result['inception_score'], result['inception_score_std']) == pytest.approx(
      inception_score(5 * x[:, :4], 4), rel=1e-5)
  assert (result['kid'], result['kid_std']) == pytest.approx(
      kernel_distance(x, real.features, 20, 100, np.random.default_rng(0)), rel=1e-4, abs=1e-7)
  assert (result['precision'], result['recall']) == pytest.approx(precision_and_recall(real.features, x, 3))


def test_scores_tell_good_images_from_bad_ones(real):
  good, faint, collapsed = (score(images, real) for images in (
      draw(1), draw(1, contrast=.3), np.repeat(draw(1, 4), 50, axis=0)))
  assert good['fid'] < .1 * min(faint['fid'], collapsed['fid'])
  assert abs(good['kid']) < .1 * collapsed['kid']
  assert good['inception_score'] > 1.2 * faint['inception_score']
  # Faint images lie all within the real ones and cover them not.
  assert faint['precision'] > .95 and faint['recall'] < .5 * good['recall'] and collapsed['recall'] < .1


def test_the_same_scores_again(real):
  assert score(draw(1), real) == score(draw(1), real)


def test_errors(real):
  features, logits = np.zeros([200, 12]), np.zeros([200, 4])
  for arguments, message in (
      ((features[:199], logits), '`features` and `logits` must hold 200 samples, as the protocol has it, received 199'),
      ((features[:, :7], logits), r'`features` must be \[N, 12\], received \[200, 7\]'),
      ((features + np.nan, logits), '`features` must be finite; 200 of 200'),
      ((features, logits - np.inf), '`logits` must be finite')):
    with pytest.raises(ValueError, match=message):
      metrics.scores(PROTOCOL, real, *arguments)
  for change in ({'samples': 199}, {'feature_network': 'inception_v3'}):
    other = dataclasses.replace(PROTOCOL, **change)
    with pytest.raises(ValueError, match='`real` must be statistics by'):
      metrics.scores(other, real, features[:other.samples], logits[:other.samples])
