"""A task without a loop around it: precisions, XLA, the weights of a seed, the clock."""

import types

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.training import resumable
from tests.evonorm_tf.tiny_training import make_config_and_task
from tests.evonorm_tf.tiny_training import make_trainer

pytestmark = pytest.mark.usefixtures('restored_policy')


@pytest.fixture(scope='module')
def trainer():
  """One in float32, which `plain` trains; a test that trains it further asks for `plain` first."""
  return make_trainer(evaluate=True)


@pytest.fixture(scope='module')
def plain(trainer):
  """Initial weights, weights after 3 steps and mean loss of a training in float32."""
  initial = [v.numpy() for v in trainer.model.variables]
  loss = trainer.train(tf.constant(3))['training_loss']
  return initial, [v.numpy() for v in trainer.model.variables], float(loss)


# Trainings in bfloat16 are in classification/export_test.py and trainer_test.py, too.
@pytest.mark.parametrize('precision', [pytest.param('mixed_bfloat16', marks=pytest.mark.slow), 'mixed_float16'])
def test_low_precisions_take_steps_with_weights_of_float32(plain, precision):
  trainer = make_trainer(precision=precision, ema_decay=.9)
  loss = trainer.train(tf.constant(3))['training_loss']
  assert trainer.model(tf.zeros([1, 32, 32, 3])).dtype == precision.removeprefix('mixed_')
  assert {v.dtype for v in trainer.model.variables} == {tf.float32}
  slots = [trainer.optimizer.get_slot(v, 'average') for v in trainer.model.trainable_variables]
  slots += [trainer.optimizer.inner.get_slot(v, 'momentum') for v in trainer.model.trainable_variables]
  assert {v.dtype for v in slots} == {tf.float32}
  np.testing.assert_allclose(loss, plain[2], rtol=.02)
  moved = [np.abs(v - initial).max() for v, initial in zip(trainer.model.variables, plain[0])]
  expected = [np.abs(v - initial).max() for v, initial in zip(plain[1], plain[0])]
  np.testing.assert_allclose(moved, expected, rtol=.5, atol=1e-3)
  assert min(moved) > 0.


def test_xla_trains_alike(plain):
  trainer = make_trainer(jit_compile=True)
  loss = trainer.train(tf.constant(3))['training_loss']
  np.testing.assert_allclose(loss, plain[2], rtol=1e-5)
  for variable, expected in zip(trainer.model.variables, plain[1]):
    np.testing.assert_allclose(variable, expected, atol=1e-4, err_msg=variable.name)


def test_a_step_that_xla_cannot_compile_fails(monkeypatch):
  def loss(model_outputs, **_):
    python = tf.ensure_shape(tf.numpy_function(lambda: np.float32(0), [], tf.float32), [])
    return tf.reduce_mean(model_outputs) + python

  trainer = make_trainer(jit_compile=True)
  monkeypatch.setattr(trainer.task, 'build_losses', loss)
  with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnimplementedError), match='(?i)compil'):
    trainer.train(tf.constant(1))


def test_initial_weights_are_those_of_the_seed(plain):
  first = plain[0]
  again, other = ([v.numpy() for v in make_config_and_task(seed=seed)[1].build_model().variables] for seed in (0, 1))
  for a, b in zip(first, again, strict=True):
    np.testing.assert_array_equal(a, b)
  assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_images_a_second_and_the_first_bad_step(plain, trainer, monkeypatch):
  del plain  # it wants the weights that this test destroys
  times, step = iter([100., 104.]), int(trainer.global_step.numpy())
  monkeypatch.setattr(resumable, 'time', types.SimpleNamespace(monotonic=lambda: next(times)))
  trainer.model.trainable_variables[0].assign(tf.fill(trainer.model.trainable_variables[0].shape, np.nan))
  logs = trainer.train(tf.constant(2))
  assert logs['images_per_second'] == 2 * 10 / 4.
  assert trainer.loss_watch.first_bad_step() == step


def test_training_data_that_end_are_an_error_that_says_so(plain, trainer, monkeypatch):
  del plain  # as above
  build, params = trainer.task.build_inputs, trainer.config.task.train_data
  monkeypatch.setattr(trainer.task, 'build_inputs', lambda *args: build(*args).take(2))
  batches = iter(trainer.train_dataset)
  assert [next(batches)[0].shape[0] for _ in range(2)] == 2 * [params.global_batch_size]
  with pytest.raises(tf.errors.FailedPreconditionError, match='infinite number of elements but contained only 2'):
    next(batches)


def test_images_that_could_not_be_read_are_counted(plain, trainer, monkeypatch):
  del plain  # as above
  counts = iter([0, 2, 5, 8, 8, 8])
  monkeypatch.setattr(trainer.task, 'skipped_records', lambda: next(counts))
  assert 'skipped_records' not in trainer.train(tf.constant(1))
  assert trainer.train(tf.constant(1))['skipped_records'] == 2  # in all
  for expected in (3, None):
    trainer.eval_begin()
    assert trainer.eval_end().get('skipped_records') == expected  # in this evaluation
