"""Learning rates against closed forms, and refusals."""

import math

from official.modeling import optimization as model_garden
import pytest

from evonorm_tf.training.optimization import Optimization

STEPS_PER_EPOCH, STEPS, BATCH = 10, 100, 128


def rates(*steps, **settings):
  factory = model_garden.OptimizerFactory(Optimization(.2, **settings).config(BATCH, STEPS_PER_EPOCH, STEPS))
  schedule = factory.build_learning_rate()
  return [float(schedule(step)) if callable(schedule) else float(schedule) for step in steps]


def test_the_rate_scales_with_the_batch():
  assert rates(0, decay='constant') == pytest.approx([.2 * BATCH / 256])


def test_cosine_behind_a_warm_up():
  expected = [0., .1 * .5 * (1 + math.cos(math.pi * .2)) / 2, .05 * (1 + math.cos(math.pi * .5)), 0.]
  assert rates(0, 10, 50, 100, decay='cosine', warmup_epochs=2) == pytest.approx(expected, abs=1e-7)


def test_stepwise_and_exponential():
  assert rates(29, 31, 61, decay='stepwise', boundaries=(3, 6), decay_rate=.1) == pytest.approx([.1, .01, .001])
  assert rates(23, 24, 48, decay='exponential', decay_epochs=2.4, decay_rate=.97) == pytest.approx(
      [.1, .097, .1 * .97**2])


@pytest.mark.parametrize('settings, message', [
    (dict(decay='linear'), '`decay`'), (dict(decay='stepwise', boundaries=(6, 3)), '`boundaries`'),
    (dict(warmup_epochs=-1), '`warmup_epochs`'),
    (dict(warmup_epochs=10), '`warmup_epochs` must be fewer .* received 10, which are 100 of 100 steps'),
    (dict(ema_decay=1.), '`ema_decay`'),
    (dict(optimizer='sdg'), 'sdg'), (dict(options={'momentun': .9}), 'momentun')])
def test_refusals(settings, message):
  with pytest.raises(ValueError, match=message):
    Optimization(.1, **settings).config(BATCH, STEPS_PER_EPOCH, STEPS)
