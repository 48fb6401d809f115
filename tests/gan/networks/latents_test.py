"""Draws: functions of their seed, of the distributions they claim (SciPy's test), shared by replicas row by row."""

import numpy as np
import pytest
from scipy import stats
import tensorflow as tf

from evonorm_tf.devices.strategy import get_strategy
from gan.networks import latents
from gan.networks.latents import Purpose


def seed(*numbers, purpose=Purpose.TRAINING):
  return latents.seed_of(3, purpose, *numbers)


def test_every_sequence_of_numbers_has_a_seed_of_its_own():
  seeds = [seed(), seed(0), seed(1), seed(0, 0), seed(0, 1), seed(1, 0), seed(0, purpose=Purpose.EVALUATION),
           latents.seed_of(4, Purpose.TRAINING, 0)]
  assert len({tuple(s.numpy()) for s in seeds}) == len(seeds)
  np.testing.assert_array_equal(seed(1, 0), seed(tf.constant(1), np.int64(0)))


def test_draws_are_permanent():
  """Update the numbers only with a note that resumed trainings change."""
  z, labels = latents.draw(seed(5), 3, 2, 10)
  np.testing.assert_allclose(z.numpy()[0], [-.11342348, -1.2241118], rtol=1e-5)
  assert labels.numpy().tolist() == [2, 3, 8]


@pytest.mark.parametrize('truncation', [None, .04, .5, 2., 6., 40.])
def test_z_is_normal_within_the_truncation(truncation):
  z = latents.normal(seed(1), [200, 100], truncation).numpy().ravel()
  assert np.isfinite(z).all()
  expected = stats.norm if truncation is None else stats.truncnorm(-truncation, truncation)
  assert stats.kstest(z, expected.cdf).pvalue > .01
  assert truncation is None or np.abs(z).max() <= truncation


def test_truncated_draws_of_a_seed_go_together():
  narrow, wide = (latents.normal(seed(2), [1000], t).numpy() for t in (.5, 1.))
  assert (np.sign(narrow) == np.sign(wide)).all() and (np.abs(narrow) <= np.abs(wide)).all()


def test_labels_are_uniform_and_independent_of_z():
  z, labels = latents.draw(seed(7), 20_000, 1, 10)
  counts = np.bincount(labels.numpy(), minlength=10)
  assert len(counts) == 10 and stats.chisquare(counts).pvalue > .01
  assert abs(np.corrcoef(z.numpy()[:, 0], labels.numpy())[0, 1]) < .03


def test_replicas_take_the_rows_of_one_batch():
  batch = tf.reshape(tf.range(12), [6, 2])
  strategy = get_strategy('mirrored')
  shares = strategy.experimental_local_results(strategy.run(lambda: latents.own_rows(batch)))
  np.testing.assert_array_equal(np.concatenate(shares), batch)
  assert len(shares) == 2 and shares[0].shape == [3, 2]
  np.testing.assert_array_equal(latents.own_rows(batch), batch)  # without a strategy
