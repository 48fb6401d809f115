"""The images of a task: their order, which a resumed training takes up, and an evaluation that sees each of them."""

import dataclasses

import numpy as np
from official.vision.configs import maskrcnn
from official.vision.tasks import maskrcnn as maskrcnn_task
import pytest
import tensorflow as tf

from detection.task import MaskRCNNTask
from tests.detection.tiny_mask_rcnn import MODEL
from tests.detection.tiny_mask_rcnn import SIZE
from tests.detection.tiny_mask_rcnn import tiny_shapes


@pytest.fixture(scope='module')
def infos(tmp_path_factory):
  return tiny_shapes(tmp_path_factory.mktemp('shapes')).read()


def make_task(infos, seed=0):
  """Returns a task on the prepared (training, validation) images."""
  def data(is_training):
    parser = maskrcnn.Parser(aug_rand_hflip=is_training)
    return maskrcnn.DataConfig(is_training=is_training, global_batch_size=2, dtype='float32', parser=parser,
                               shuffle_buffer_size=4)

  params = maskrcnn.MaskRCNNTask(model=MODEL.config(6, SIZE), train_data=data(True), validation_data=data(False))
  return MaskRCNNTask(params, *infos, 'bn_relu', {}, seed)


def shown(infos, steps, first_step=0, seed=0):
  """The images of the steps as sums of their pixels, which flips leave as they are, `[steps, 2]`."""
  task = make_task(infos, seed)
  batches = task.build_inputs(task.task_config.train_data, first_step=first_step).take(steps)
  return np.array([images.numpy().sum(axis=(1, 2, 3), dtype=np.float64).round() for images, _ in batches])


@pytest.fixture(scope='module')
def straight(infos):
  return shown(infos, 7)


def test_each_epoch_has_each_image_once_and_an_order_of_its_own(infos, straight):
  first, second = straight[:6].reshape(2, 6)
  assert len(set(first)) == 6 and set(first) == set(second) and (first != second).any()
  assert (shown(infos, 3, seed=1).ravel() != first).any()


@pytest.mark.parametrize('step', [pytest.param(2, marks=pytest.mark.slow), 5])
def test_a_resumed_training_goes_on_in_the_order(infos, straight, step):
  np.testing.assert_array_equal(shown(infos, 7 - step, first_step=step), straight[step:])


@pytest.mark.slow
def test_hosts_share_the_training_images(infos, straight):
  task, parts = make_task(infos), []
  for host in range(2):
    context = tf.distribute.InputContext(num_input_pipelines=2, input_pipeline_id=host, num_replicas_in_sync=2)
    batches = task.build_inputs(task.task_config.train_data, context).take(3)
    parts.append([images.numpy().sum(dtype=np.float64).round() for images, _ in batches])
  np.testing.assert_array_equal(np.transpose(parts), straight[:3])


def test_draws_follow_from_seed_and_step_of_the_start(infos):
  draws = []
  for seed, step in ((0, 0), (0, 3), (1, 0), (0, 3)):
    task = make_task(infos, seed)
    task._training_records(task.task_config.train_data, step)
    draws.append(float(tf.function(lambda: tf.random.uniform([]))()))
  assert draws[1] == draws[3] and len(set(draws)) == 3


@pytest.mark.parametrize('pipelines, replicas, expected', [
    pytest.param(1, 1, [[1, 2], [3, 1]], marks=pytest.mark.slow),
    pytest.param(1, 2, [[1], [2], [3], [1]], marks=pytest.mark.slow),
    (2, 2, [[1], [2], [3]])])
def test_an_evaluation_has_full_batches_of_all_images(infos, pipelines, replicas, expected):
  task = make_task(infos)
  for host in range(pipelines):
    context = tf.distribute.InputContext(pipelines, host, replicas)
    batches = task.build_inputs(task.task_config.validation_data, context)
    ids = [labels['groundtruths']['source_id'].numpy().tolist() for _, labels in batches]
    assert ids == expected


def test_detections_are_given_the_ids_of_their_categories(infos, monkeypatch):
  """Labels count the categories; 0 and what is out of range is padding."""
  most = 2**63 - 1
  names = {-4: 'circle', 90: 'square', most: 'star'}
  info = dataclasses.replace(infos[1], category_names=names, category_ids={1: -4, 2: 90, 3: most})
  task = make_task((infos[0], info))
  task.build_metrics(training=False)
  found = {'detection_classes': tf.constant([[3, 1, 2, 0, -1]], tf.int32), 'detection_scores': tf.ones([1, 5])}
  logs = {task.loss: 0, task.coco_metric.name: ('truth', found)}
  monkeypatch.setattr(maskrcnn_task.MaskRCNNTask, 'validation_step', lambda *_: dict(logs))
  truth, found = task.validation_step((tf.zeros([1, 8, 8, 3]), {}), None)[task.coco_metric.name]
  assert truth == 'truth' and found.keys() == {'detection_classes', 'detection_scores'}
  assert found['detection_classes'].numpy().tolist() == [[most, -4, 90, 0, 0]]


def test_metrics_are_ours(infos):
  task = make_task(infos)
  assert task.build_metrics(training=False) == []
  assert set(task.coco_metric.coco.imgs) == {1, 2, 3}
