"""Standing statistics: the mean of batch moments in NumPy; all else of the generator bit by bit as before."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.layers.norm_act import get_norm_act
from gan.networks import latents
from gan.networks.biggan import BigGAN
from gan.samples.standing_statistics import StandingStatistics
from tests.gan.tiny_gan import SIZE
from tests.gan.tiny_gan import TinyNetworks

BATCHES, BATCH_SIZE = 3, 8


def make_generator(norm_act, **options):
  tf_keras.utils.set_random_seed(0)
  generator = TinyNetworks().make_generator(get_norm_act(norm_act, **options), SIZE, 10)
  generator((tf.zeros([1, 4]), tf.zeros([1], tf.int32)))
  return generator


def maps(generator):
  """The inputs of the norm-activation layer, of each batch."""
  for number in range(BATCHES):
    seed = latents.seed_of(5, latents.Purpose.STANDING_STATISTICS, number)
    z, labels = latents.draw(seed, BATCH_SIZE, 4, 10)
    x = generator.first(z + generator.embedding(labels)).numpy().astype(np.float64)
    yield x.reshape([BATCH_SIZE, -1, generator.channels])


def standing(generator, batches=BATCHES):
  return StandingStatistics(generator, batches, BATCH_SIZE, seed=5).replaced()


@pytest.mark.parametrize('norm_act', ['evonorm_b0', 'evonorm_b2', 'bn_relu'])
def test_they_are_the_means_of_the_moments(norm_act):
  generator = make_generator(norm_act)
  layer = generator.norm_act if 'evonorm' in norm_act else generator.norm_act.norm
  layer.moving_variance.assign([2., 3., 4., 5.])
  before = [v.numpy() for v in generator.variables]
  count = BATCH_SIZE * SIZE * SIZE
  unbiased = 1. if 'evonorm' in norm_act else count / (count - 1)  # the fused kernel of batch normalization
  with standing(generator):
    np.testing.assert_allclose(
        layer.moving_variance, unbiased * np.mean([x.var((0, 1)) for x in maps(generator)], 0), rtol=1e-4)
    if norm_act == 'bn_relu':
      np.testing.assert_allclose(layer.moving_mean, np.mean([x.mean((0, 1)) for x in maps(generator)], 0), atol=1e-6)
    assert layer.momentum == .9
  for variable, value in zip(generator.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value, err_msg=variable.name)


def test_power_iterations_and_weights_stay_within():
  tf_keras.utils.set_random_seed(0)
  generator = BigGAN(1, z_size=8, hierarchical=False, shared_size=4).make_generator(
      get_norm_act('evonorm_b0'), 32, 3)
  generator((tf.zeros([1, 8]), tf.zeros([1], tf.int32)))
  before = {v.name: v.numpy() for v in generator.variables}
  changed = set()
  with standing(generator):
    for variable in generator.variables:
      if not np.array_equal(variable, before[variable.name]):
        changed.add(variable.name.rpartition('/')[-1])
  assert changed == {'moving_variance:0'}
  assert any(name.endswith('/u:0') for name in before)


def test_later_ones_are_of_the_weights_then_and_need_no_tracing():
  generator = make_generator('evonorm_b0')
  statistics, variances, calls = StandingStatistics(generator, BATCHES, BATCH_SIZE, seed=5), [], []
  call = generator.call
  generator.call = lambda *args, **options: calls.append(1) or call(*args, **options)
  for scale in (1., 2.):
    generator.first.kernel.assign(scale * generator.first.kernel)
    with statistics.replaced():
      variances.append(generator.norm_act.moving_variance.numpy())
  assert len(calls) == 1
  np.testing.assert_allclose(variances[1], 4. * variances[0], rtol=1e-4)
  assert generator.norm_act.momentum == .9


@pytest.mark.parametrize('norm_act, batches', [('evonorm_s0', BATCHES), ('evonorm_b0', 0)])
def test_without_moving_averages_or_batches_nothing_is_done(norm_act, batches, monkeypatch):
  generator = make_generator(norm_act)
  monkeypatch.setattr(type(generator), 'call', None)
  with standing(generator, batches):
    pass


def test_they_are_taken_away_after_an_error():
  generator = make_generator('evonorm_b0')
  with pytest.raises(ZeroDivisionError):
    with standing(generator):
      raise ZeroDivisionError
  np.testing.assert_array_equal(generator.norm_act.moving_variance, np.ones(4))


def test_they_are_taken_away_after_an_error_in_a_batch(monkeypatch):
  generator = make_generator('evonorm_b0')
  monkeypatch.setattr(generator, 'z_size', 5)  # the embedding has 4
  with pytest.raises(ValueError):
    with standing(generator):
      raise AssertionError('it was not begun')
  np.testing.assert_array_equal(generator.norm_act.moving_variance, np.ones(4))


def test_two_replicas_share_the_batch():
  expected = make_generator('evonorm_b0')
  with standing(expected):
    variance = expected.norm_act.moving_variance.numpy()
  strategy = get_strategy('mirrored')
  with strategy.scope():
    generator = make_generator('evonorm_b0', synchronized=True)
    with standing(generator):
      np.testing.assert_allclose(generator.norm_act.moving_variance, variance, rtol=1e-5)
