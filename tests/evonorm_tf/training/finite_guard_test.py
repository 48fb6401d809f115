"""Who is not finite is named; what is finite goes on. Steps that float16 skips: moving_average_test.py."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.training.finite_guard import FiniteGuard
from evonorm_tf.training.finite_guard import LossWatch


def watched(*losses, first_step=0):
  """A watch that has seen the losses of consecutive steps, in one graph, and the variable of the step."""
  step = tf.Variable(first_step, dtype=tf.int64)
  watch = LossWatch(step)

  @tf.function
  def look(loss):
    watch.update(loss)
    step.assign_add(1)

  for loss in losses:
    look(tf.constant(loss))
  return watch, step


@pytest.mark.parametrize('losses, expected', [
    ([], None), ([1., 2.], None), ([1., np.nan, 2., np.inf], 8), ([-np.inf], 7), ([1., 3e38, np.inf, np.nan], 9)])
def test_the_first_bad_step_is_remembered(losses, expected):
  assert watched(*losses, first_step=7)[0].first_bad_step() == expected


def test_a_loss_of_any_replica_counts():
  strategy = get_strategy('mirrored')
  with strategy.scope():
    step = tf.Variable(0, dtype=tf.int64)
    watch = LossWatch(step)
    losses = tf.constant([[1., 1.], [1., np.nan], [np.inf, 1.]])  # [step, replica]
    for number, row in enumerate(losses):
      step.assign(number)
      strategy.run(lambda row=row: watch.update(row[tf.distribute.get_replica_context().replica_id_in_sync_group]))
    assert watch.first_bad_step() == 1


@pytest.fixture
def model():
  model = tf_keras.Sequential([tf_keras.layers.Dense(3, name='dense'), tf_keras.layers.BatchNormalization(name='norm')])
  model(tf.ones([1, 2]))
  return model


def test_all_finite_passes(model, tmp_path):
  watch, step = watched(1., 2.)
  FiniteGuard(watch, model, step, str(tmp_path))({'training_loss': tf.constant(1.)})


def test_a_loss_names_its_step_or_the_steps_it_may_be_of(model, tmp_path):
  elsewhere = [1., 1., 1.]  # another host's loss is not finite
  for losses, message in (([1., np.nan, 1.], 'at step 1'), (elsewhere, 'before step 3')):
    watch, step = watched(*losses)
    expected = f'^Training stopped, for the loss is not finite {message}. The last good checkpoint is none. A smaller'
    with pytest.raises(FloatingPointError, match=expected):
      FiniteGuard(watch, model, step, str(tmp_path))({'training_loss': tf.constant(np.nan)})


@pytest.mark.parametrize('layer, name, value', [
    ('dense', 'kernel', np.nan), ('norm', 'gamma', -np.inf), ('norm', 'moving_variance', np.inf)])
def test_a_variable_is_named_though_the_loss_is_finite(model, tmp_path, layer, name, value):
  checkpoint = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(tmp_path), 1).save()
  watch, step = watched(1., 1.)
  guard = FiniteGuard(watch, model, step, str(tmp_path))
  variable = getattr(model.get_layer(layer), name)
  variable.assign(tf.tensor_scatter_nd_update(variable, [[0] * len(variable.shape)], [value]))
  with pytest.raises(FloatingPointError, match=f'{layer}/{name}:0 is not finite after step 2. .* is {checkpoint}. '):
    guard({'training_loss': tf.constant(1.)})
