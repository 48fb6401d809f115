"""The task's evaluation, in which each image counts once, whatever fills a batch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.evonorm_tf.tiny_training import make_config_and_task
from tests.evonorm_tf.tiny_training import TinyData


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
