"""Both Adams: what a checkpoint holds of them, scaled losses, settings."""

import numpy as np
from official.core import config_definitions
import pytest
import tensorflow as tf
import tf_keras

from gan.training import optimizer as adversarial_optimizer
from gan.training.optimizer import Adams
from gan.training.optimizer import AdversarialOptimizer
from tests.gan.training.step_test import make_model


def make(precision='float32', **changes):
  runtime = config_definitions.RuntimeConfig(mixed_precision_dtype=precision, loss_scale=None)
  return AdversarialOptimizer(Adams(**dict(generator_rate=.1, discriminator_rate=.2) | changes), runtime)


def test_a_checkpoint_holds_both_but_for_the_rates(tmp_path):
  model, optimizer = make_model(), make()
  optimizer.create_slots(model)
  for name in ('generator', 'discriminator'):
    variables = getattr(model, name).trainable_variables
    adversarial_optimizer.apply(getattr(optimizer, name), [tf.ones_like(v) for v in variables], variables)
  path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / 'of'))
  model, optimizer = make_model(), make(generator_rate=.3)
  optimizer.create_slots(model)
  tf.train.Checkpoint(model=model, optimizer=optimizer).restore(path).assert_consumed()
  assert (optimizer.learning_rate, optimizer.discriminator.learning_rate) == (.3, .2)
  for name in ('generator', 'discriminator'):
    own = getattr(optimizer, name)
    slots = [own.get_slot(v, 'v').numpy() for v in getattr(model, name).trainable_variables]
    np.testing.assert_allclose(np.concatenate([s.ravel() for s in slots]), .001, rtol=1e-4)
    assert int(own.iterations) == 1


def test_each_network_moves_at_its_own_rate():
  model, optimizer = make_model(), make()
  start = make_model()
  for name, rate in (('generator', .1), ('discriminator', .2)):
    variables = getattr(model, name).trainable_variables
    adversarial_optimizer.apply(getattr(optimizer, name), [tf.ones_like(v) for v in variables], variables)
    for variable, before in zip(variables, getattr(start, name).trainable_variables):
      np.testing.assert_allclose(before - variable, np.full(variable.shape, rate), rtol=1e-3)


def test_float16_scales_the_loss_and_brings_the_gradients_back():
  variable, optimizer = tf.Variable(1.), make('float16', epsilon=1.).generator
  assert isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
  with tf.GradientTape() as tape:
    loss = adversarial_optimizer.scaled(optimizer, 3. * variable)
  assert float(loss) == 3. * 2**15
  adversarial_optimizer.apply(optimizer, tape.gradient(loss, [variable]), [variable])
  correction = np.sqrt(.001)
  assert float(variable) == pytest.approx(1 - .1 * correction * 3 / (3 * correction + 1), rel=1e-5)


@pytest.mark.parametrize('name, value', [
    ('generator_rate', 0.), ('discriminator_rate', -1.), ('beta_1', 1.), ('beta_2', -.1), ('epsilon', 0.)])
def test_settings_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'`{name}`'):
    Adams(**dict(generator_rate=.1, discriminator_rate=.1) | {name: value})
