"""Task and trainer without a loop around them: precisions, XLA, filled batches, the weights of a seed, the clock."""

import types

import numpy as np
from official.core import config_definitions
from official.core import train_utils
from official.vision.configs import image_classification
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf import classification_task
from evonorm_tf.backbones import make_config
from evonorm_tf.classification_task import ClassificationTask
from evonorm_tf.classification_task import ClassificationTrainer
from evonorm_tf.moving_average import MovingAverage
from evonorm_tf.optimization import Optimization
from tests.evonorm_tf.tiny_training import BACKBONE
from tests.evonorm_tf.tiny_training import TinyData


@pytest.fixture(autouse=True)
def restored_policy():
  policy = tf_keras.mixed_precision.global_policy()
  yield
  tf_keras.mixed_precision.set_global_policy(policy)


def make_config_and_task(
    precision='float32', ema_decay=None, seed=0, jit_compile=False, data=TinyData(), batch_size=10):
  """Also sets the global policy."""
  tf_keras.mixed_precision.set_global_policy(precision)
  batches = dict(global_batch_size=batch_size)
  task = image_classification.ImageClassificationTask(
      model=image_classification.ImageClassificationModel(
          num_classes=10, input_size=[32, 32, 3], backbone=make_config(BACKBONE, 'evonorm_b0', {})),
      losses=image_classification.Losses(one_hot=True),
      train_data=image_classification.DataConfig(is_training=True, **batches),
      validation_data=image_classification.DataConfig(is_training=False, **batches))
  optimization = Optimization(4., options={'momentum': .9}, decay='constant', ema_decay=ema_decay)
  config = config_definitions.ExperimentConfig(
      runtime=config_definitions.RuntimeConfig(
          mixed_precision_dtype=precision.removeprefix('mixed_'),
          loss_scale='dynamic' if precision == 'mixed_float16' else None),
      task=task, trainer=config_definitions.TrainerConfig(optimizer_config=optimization.config(10, 4., 8)))
  return config, ClassificationTask(task, data, seed, jit_compile)


def make_trainer(**options):
  config, task = make_config_and_task(**options)
  return train_utils.create_trainer(config, task, train=True, evaluate=False, trainer_cls=ClassificationTrainer)


@pytest.fixture(scope='module')
def plain():
  """Initial weights, weights after 3 steps and mean loss of a training in float32."""
  trainer = make_trainer()
  initial = [v.numpy() for v in trainer.model.variables]
  loss = trainer.train(tf.constant(3))['training_loss']
  return initial, [v.numpy() for v in trainer.model.variables], float(loss)


@pytest.mark.parametrize('precision', ['mixed_bfloat16', 'mixed_float16'])
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


@pytest.mark.parametrize('precision', ['float32', 'mixed_float16'])
@pytest.mark.parametrize('ema_decay', [None, .9])
def test_the_average_is_outside_and_the_scaling_of_the_loss_inside(precision, ema_decay):
  config, task = make_config_and_task(precision, ema_decay)
  optimizer = task.create_optimizer(config.trainer.optimizer_config, config.runtime)
  assert isinstance(optimizer, MovingAverage) == bool(ema_decay)
  inner = optimizer.inner if ema_decay else optimizer
  assert isinstance(inner, tf_keras.mixed_precision.LossScaleOptimizer) == (precision == 'mixed_float16')
  assert float(optimizer.learning_rate(optimizer.iterations)) == pytest.approx(4. * 10 / 256)


def test_initial_weights_are_those_of_the_seed():
  first, again, other = ([v.numpy() for v in make_config_and_task(seed=seed)[1].build_model().trainable_variables]
                         for seed in (1, 1, 2))
  for a, b in zip(first, again, strict=True):
    np.testing.assert_array_equal(a, b)
  assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_what_fills_a_batch_does_not_count():
  _, task = make_config_and_task()
  logits = np.random.default_rng(0).normal(size=[6, 10]).astype(np.float32)
  labels = np.array([logits[0].argmax(), -1, logits[2].argsort()[-4], logits[3].argmin(), -1, -1])
  metrics = task.build_metrics(training=False)
  task.validation_step((tf.zeros([6, 1]), tf.constant(labels)), lambda images, training: tf.constant(logits), metrics)
  results = {metric.name: float(metric.result()) for metric in metrics}
  rows, true = logits[[0, 2, 3]].astype(np.float64), labels[[0, 2, 3]]
  loss = np.mean(np.log(np.exp(rows).sum(axis=1)) - rows[range(3), true])
  assert results == pytest.approx({'accuracy': 1 / 3, 'top_5_accuracy': 2 / 3, 'validation_loss': loss}, rel=1e-5)


def test_hosts_evaluate_as_many_batches_and_every_image_once():
  config, task = make_config_and_task(data=TinyData(validation_images=21), batch_size=4)
  labels = []
  for host in range(2):
    context = tf.distribute.InputContext(num_input_pipelines=2, input_pipeline_id=host, num_replicas_in_sync=2)
    batches = [*task.build_inputs(config.task.validation_data, context).as_numpy_iterator()]
    assert [images.shape for images, _ in batches] == [(2, 32, 32, 3)] * 6
    labels += [label for _, part in batches for label in part if label >= 0]
  assert sorted(labels) == sorted(TinyData(validation_images=21).split('test')[1])


def test_images_a_second_and_the_first_bad_step(monkeypatch):
  trainer = make_trainer()
  trainer.train(tf.constant(1))
  times = iter([100., 104.])
  monkeypatch.setattr(classification_task, 'time', types.SimpleNamespace(monotonic=lambda: next(times)))
  trainer.model.trainable_variables[0].assign(tf.fill(trainer.model.trainable_variables[0].shape, np.nan))
  logs = trainer.train(tf.constant(2))
  assert logs['images_per_second'] == 2 * 10 / 4.
  assert trainer.task.loss_watch.first_bad_step() == 1
