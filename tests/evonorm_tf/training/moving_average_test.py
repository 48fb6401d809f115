"""The average against its recurrence in NumPy; training in float16 that skips steps; evaluation reads the average."""

import numpy as np
from official.modeling import performance
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.training.moving_average import MovingAverage
from tests.evonorm_tf.tiny_training import evaluation
from tests.evonorm_tf.tiny_training import make_config_and_task
from tests.evonorm_tf.tiny_training import network
from tests.evonorm_tf.tiny_training import run
from tests.evonorm_tf.tiny_training import weights

AVERAGE = '/.OPTIMIZER_SLOT/optimizer/average'


def averaged(values, average_decay, scaled=False):
  """A model of one weight `[3]`, its MovingAverage, and a function that does a step with a gradient."""
  inputs = tf_keras.Input([3])
  model = tf_keras.Model(inputs, tf_keras.layers.BatchNormalization(scale=False)(inputs))
  weight, = model.trainable_variables
  weight.assign(values)
  optimizer = tf_keras.optimizers.legacy.SGD(.5)
  if scaled:
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=64.)
  average = MovingAverage(optimizer, average_decay=average_decay)
  average.shadow_copy(model)
  average._create_all_weights(model.trainable_variables)

  def step(gradient):
    average.inner.apply_gradients([(tf.identity(gradient), weight)])  # each replica its own tensor
    average.update()

  replicas_step = tf.function(lambda gradient: tf.distribute.get_strategy().run(step, [gradient]))
  return model, average, lambda gradient: replicas_step(tf.constant(gradient, tf.float32))


def recurrence(weights_of_steps, average_decay):
  """a ← d·a + (1 − d)·w from a = 0, with d = min(average_decay, (1 + t) / (10 + t)) at steps t = 1, 2, ..."""
  a = np.zeros_like(weights_of_steps[0])
  for t, w in enumerate(weights_of_steps, 1):
    d = min(average_decay, (1 + t) / (10 + t))
    a = d * a + (1 - d) * w
  return a


@pytest.mark.parametrize('average_decay', [.3, .99])
def test_the_average_is_model_gardens(average_decay):
  rng = np.random.default_rng(0)
  start, gradients = rng.normal(size=3), rng.normal(size=[20, 3])
  model, average, step = averaged(start, average_decay)
  for gradient in gradients:
    step(gradient)
  expected = start - .5 * np.cumsum(gradients, axis=0)
  np.testing.assert_allclose(model.trainable_variables[0], expected[-1], rtol=1e-5)
  average.swap_weights()
  np.testing.assert_allclose(model.trainable_variables[0], recurrence(expected, average_decay), rtol=1e-5)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_skipped_step_averages_the_same_weights_once_more(bad):
  model, average, step = averaged([1., 2., 3.], .99, scaled=True)
  for gradient in ([1., 1., 1.], [1., bad, 1.], [2., 0., 1.]):
    step(gradient)
  steps = np.array([[.5, 1.5, 2.5], [.5, 1.5, 2.5], [-.5, 1.5, 2.]])
  np.testing.assert_allclose(model.trainable_variables[0], steps[-1])
  assert float(average.inner.loss_scale) == 32.
  average.swap_weights()
  np.testing.assert_allclose(model.trainable_variables[0], recurrence(steps, .99), rtol=1e-6)


def test_two_swaps_change_no_bit():
  """Of numbers so different that sums and differences of them would be rounded."""
  model, average, _ = averaged([1e-8, -3e7, np.pi], .99)
  weight, = model.trainable_variables
  slot = average.get_slot(weight, 'average')
  slot.assign([1e8, 1e-7, -1 / 3])
  before = weight.numpy(), slot.numpy()
  average.swap_weights()
  np.testing.assert_array_equal(weight, before[1])
  np.testing.assert_array_equal(slot, before[0])
  average.swap_weights()
  np.testing.assert_array_equal((weight, slot), before)


def test_replicas_average_alike():
  strategy = get_strategy('mirrored')
  with strategy.scope():
    model, average, step = averaged([1., 2., 3.], .3)
    for gradient in ([.5, 0., 0.], [.25, .5, 0.]):  # two replicas: the sum is twice the gradient
      step(gradient)
    weight, = model.trainable_variables
    slot = average.get_slot(weight, 'average')
    for copy in strategy.experimental_local_results(slot):
      np.testing.assert_allclose(
          copy, recurrence(np.array([[.5, 2., 3.], [.25, 1.5, 3.]]), .3), rtol=1e-6)
    average.swap_weights()
    for copy in strategy.experimental_local_results(slot):
      np.testing.assert_array_equal(copy, [.25, 1.5, 3.])


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A training in float16 that begins with a scale at which gradients overflow: its folder and results."""
  folder = tmp_path_factory.mktemp('trained')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(performance, 'configure_optimizer', lambda optimizer, **_: (
        tf_keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=2.**21)))
    return folder, run(folder, precision='mixed_float16', learning_rate=4., ema_decay=.9,
                       epochs_between_evaluations=2)


def test_skipped_steps_do_not_stop_a_training(trained):
  folder, results = trained
  tensors = weights(folder)
  scale, = (value for name, value in tensors.items() if 'loss_scale' in name and 'current_loss_scale' in name)
  assert 2.**13 < scale < 2.**21  # some of the 8 steps are skipped, but not all
  assert results['step'] == 8 and all(np.isfinite(value).all() for value in tensors.values())


def test_evaluations_and_the_best_checkpoint_read_the_average(trained):
  folder, results = trained
  newest, best = weights(folder), weights(folder / 'best')
  averages = {name.replace(AVERAGE, ''): value for name, value in newest.items() if AVERAGE in name}
  assert len(averages) > 20 and set(averages) < set(newest)
  for name, value in averages.items():
    np.testing.assert_array_equal(best[name], value, err_msg=name)
  of_average, of_weights = (evaluation(network(f))['validation_loss'] for f in (folder / 'best', folder))
  np.testing.assert_allclose(results['validation_loss'], of_average, rtol=1e-3)
  assert abs(of_average - of_weights) > .01


@pytest.mark.parametrize('precision', ['float32', 'mixed_float16'])
@pytest.mark.parametrize('ema_decay', [None, .9])
def test_the_average_is_outside_and_the_scaling_of_the_loss_inside(precision, ema_decay, restored_policy):
  config, task = make_config_and_task(precision, ema_decay)
  optimizer = task.create_optimizer(config.trainer.optimizer_config, config.runtime)
  assert isinstance(optimizer, MovingAverage) == bool(ema_decay)
  inner = optimizer.inner if ema_decay else optimizer
  assert isinstance(inner, tf_keras.mixed_precision.LossScaleOptimizer) == (precision == 'mixed_float16')
  assert float(optimizer.learning_rate(optimizer.iterations)) == pytest.approx(4. * 10 / 256)
