"""The averaged generator: a copy, then an average, in replicas too; who is trained and who is not."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.devices.strategy import get_strategy
from tests.gan.training.step_test import make_model


def pairs(model):
  return list(zip(model.average.variables, model.generator.variables, strict=True))


def test_it_begins_as_a_copy_though_made_of_other_draws():
  model = make_model('evonorm_b0')
  for average, variable in pairs(model):
    assert average is not variable
    np.testing.assert_array_equal(average, variable)


def test_optimizers_get_the_two_networks_and_checkpoints_all():
  model = make_model()
  networks = model.generator.trainable_variables + model.discriminator.trainable_variables
  assert [id(v) for v in model.trainable_variables] == [id(v) for v in networks]
  assert {id(v) for v in model.variables} >= {id(v) for v in model.average.variables}
  assert all(layer.trainable for layer in model.average.layers)  # frozen, they would take no standing statistics


@pytest.mark.parametrize('strategy', ['one_device', 'mirrored'])
def test_before_its_start_it_is_a_copy_and_then_an_average(strategy):
  strategy = get_strategy(strategy)
  with strategy.scope():
    model, step = make_model('evonorm_b0'), tf.Variable(0, dtype=tf.int64)
    update = tf.function(lambda: strategy.run(lambda: model.update_average(.75, 3, step)), autograph=False)
    expected = None
    for number in range(4):
      step.assign(number)
      for variable in model.generator.variables:
        variable.assign(variable * 1.7 + .1)
      update()
      values = [variable.numpy() for variable in model.generator.variables]
      if number + 1 < 3:
        expected = values
        for average, value in zip(model.average.variables, values):
          np.testing.assert_array_equal(average.numpy(), value)
      else:
        expected = [.75 * e + .25 * v for e, v in zip(expected, values)]
        for average, value in zip(model.average.variables, expected):
          np.testing.assert_allclose(average.numpy(), value, rtol=1e-5, err_msg=average.name)
  assert any('moving_variance' in v.name for v in model.average.variables)
