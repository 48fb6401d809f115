"""Images of one's own in the proxy task."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import LossTest
from search.evaluation.rejection import OwnRejected
from search.evaluation.rejection import QualityTest
from search.evaluation.reused_training import idle_networks
from search.graphs.known_graphs import known_graph
from search.journal.identity import identity_of

RNG = np.random.default_rng(0)


def stripes(count, classes=3):
  """Images of 6×10 pixels with two channels, whose first row is bright by class."""
  labels = np.arange(count) % classes
  images = RNG.normal(size=(count, 6, 10, 2)).astype(np.float32)
  images[:, 0, :, 0] += 4. * labels[:, None]
  return images, labels


TRAIN, VALIDATION, TEST = stripes(120), stripes(30), stripes(60)


def source():
  return {'train': TRAIN, 'validation': VALIDATION, 'test': TEST}


def tiny_net(norm_act, num_classes, input_shape):
  images = tf_keras.Input(input_shape)
  x = norm_act(name='norm_act')(tf_keras.layers.Conv2D(8, 3, padding='same', use_bias=False)(images))
  return tf_keras.Model(images, tf_keras.layers.Dense(num_classes)(tf_keras.layers.Flatten()(x)))


NET = Architecture(build=tiny_net)
TASK = ProxyTask((NET,), steps=40, batch_size=16, image_size=None, crop_size=None, flips=False, data=source,
                 learning_rate=.05, evaluation_batch_size=32)


def test_splits_classes_and_channels_follow_from_the_data():
  assert TASK.num_classes == 3 and TASK.image_shape == (6, 10, 2)
  for split, (images, labels) in source().items():
    np.testing.assert_array_equal(TASK.load()[split][0], images)
    np.testing.assert_array_equal(TASK.load()[split][1], labels)


def test_channels_are_normalized_over_the_training_images():
  images, labels = next(iter(TASK.evaluation_batches('test')))
  pixels = TRAIN[0].reshape(-1, 2).astype(np.float64)
  expected = (TEST[0] - pixels.mean(0)) / pixels.std(0)
  np.testing.assert_allclose(images, expected[:32], rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(labels, TEST[1][:32])


def test_batches_are_whole_images_none_mirrored():
  images, labels = next(iter(TASK.training_batches()))
  whole = np.concatenate([x for x, _ in TASK.evaluation_batches('train')])
  for image, label in zip(images.numpy(), labels.numpy()):
    match = np.flatnonzero((np.abs(whole - image) < 1e-5).all((1, 2, 3)))
    assert len(match) == 1 and TRAIN[1][match[0]] == label


def test_mirrored_and_cropped_if_asked():
  task = dataclasses.replace(TASK, flips=True, crop_size=4, batch_size=64)
  images = next(iter(task.training_batches()))[0].numpy()
  whole = np.concatenate([x for x, _ in TASK.evaluation_batches('train')])
  windows = np.lib.stride_tricks.sliding_window_view(whole, (4, 4), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
  windows = windows.reshape(-1, 4, 4, 2)
  is_window = [(np.abs(windows - image) < 1e-5).all((1, 2, 3)).any() for image in images]
  is_mirror = [(np.abs(windows[:, :, ::-1] - image) < 1e-5).all((1, 2, 3)).any() for image in images]
  assert images.shape == (64, 4, 4, 2) and all(a or b for a, b in zip(is_window, is_mirror))
  assert 10 < sum(is_mirror) < 54


def test_a_layer_learns_and_networks_are_kept_for_the_next(monkeypatch):
  evaluation = Evaluation(TASK, QualityTest(20, .4, LossTest(10, 5, None)), groups=2, test=True)
  evaluation.check()
  first = evaluation.evaluate(known_graph('evonorm_s0'))
  assert first.outcome == 'accepted', first.detail
  assert first.scores['tiny_net'] > .9 and first.test_scores['tiny_net'] > .9
  kept = len(idle_networks())
  # A function that came by value, as a script's does, is another object with the same name and code.
  other = type(source)(source.__code__, source.__globals__, 'source')
  build = type(tiny_net)(tiny_net.__code__, tiny_net.__globals__, 'tiny_net')
  task = dataclasses.replace(TASK, data=other, architectures=(Architecture(build=build),))
  assert task.load() is not None and task.load()['train'][0] is TASK.load()['train'][0]
  again = dataclasses.replace(evaluation, task=task).evaluate(known_graph('evonorm_s0'))
  assert again.scores == first.scores and len(idle_networks()) == kept


def test_datasets_of_pairs():
  data = {split: tf.data.Dataset.from_tensor_slices(arrays) for split, arrays in source().items()}
  task = dataclasses.replace(TASK, data=lambda: data)
  np.testing.assert_array_equal(task.load()['test'][0], TEST[0])
  assert task.num_classes == 3


def test_validation_images_are_held_out_where_there_is_no_split():
  task = dataclasses.replace(TASK, data={'train': TRAIN, 'test': TEST}, validation_images=30)
  assert [len(labels) for _, labels in task.load().values()] == [90, 60, 30] or (
      {name: len(labels) for name, (_, labels) in task.load().items()} == {'train': 90, 'validation': 30, 'test': 60})
  assert np.bincount(task.load()['validation'][1]).tolist() == [10, 10, 10]


def test_uint8_images_are_downscaled():
  images = RNG.integers(0, 256, (40, 8, 8, 1), np.uint8)
  labels = np.arange(40) % 2
  data = {'train': (images, labels), 'test': (images, labels), 'validation': (images, labels)}
  task = dataclasses.replace(TASK, data=data, image_size=4)
  expected = images.reshape(40, 4, 2, 4, 2, 1).mean((2, 4))
  np.testing.assert_allclose(task.load()['train'][0], expected, atol=.51)


@pytest.mark.parametrize('data, message', [
    (lambda: 3, '`data` must be the name of a TFDS data set, or a mapping'),
    ({'train': TRAIN}, "must have the splits 'train' and 'test'"),
    ({**source(), 'dev': TEST}, "may have 'validation'; received"),
    ({**source(), 'test': TEST[0]}, "'test' must be a pair of images and labels"),
    ({**source(), 'test': (TEST[0][:, :5], TEST[1])}, "those of 'test' are"),
    ({**source(), 'train': (TRAIN[0], TRAIN[1][:-1])}, "labels of 'train' must be 120 integers"),
    ({**source(), 'train': (TRAIN[0], TRAIN[1] + .5)}, "labels of 'train' must be 120 integers"),
    ({**source(), 'train': (TRAIN[0], TRAIN[1] + 1)}, r'labels must be 0 to K − 1'),
    ({**source(), 'test': (TEST[0], TEST[1] + 1)}, "'test' has labels beyond the 3 classes"),
    ({**source(), 'train': (TRAIN[0] * np.nan, TRAIN[1])}, "images of 'train' must be finite"),
    ({**source(), 'train': (TRAIN[0] * [1., 0.], TRAIN[1])}, 'channel 1 of the training images is constant'),
    (lambda: {**source(), 'test': tf.data.Dataset.range(3)}, "dataset of 'test' must consist of pairs"),
    ('no_such_data_set', "`data` must be the name of a TFDS image data set.*received 'no_such_data_set'")])
def test_wrong_data(data, message, tmp_path):
  task = dataclasses.replace(TASK, data=data, data_dir=str(tmp_path))
  with pytest.raises(ArgumentError, match=message):
    Evaluation(task).check()


def test_a_size_for_images_that_are_not_square():
  with pytest.raises(ArgumentError, match='`image_size` must be None for images that are not square'):
    dataclasses.replace(TASK, image_size=2).load()


def test_a_loss_test_for_ten_classes_is_refused_for_a_hundred():
  labels = np.arange(400) % 100
  data = {split: (RNG.normal(size=(400, 6, 6, 2)), labels) for split in ('train', 'validation', 'test')}
  task = dataclasses.replace(TASK, data=data)
  with pytest.raises(ArgumentError, match='`max_loss` 2.302 is too low for 100 classes'):
    Evaluation(task, QualityTest(20, .02, LossTest(10, 5))).check()
  Evaluation(task, QualityTest(20, .02, LossTest(10, 5, None))).check()
  assert LossTest(max_loss=None).largest_loss(10) == pytest.approx(2.302, abs=2e-4)


def test_an_own_rejection_test():
  @dataclasses.dataclass(frozen=True)
  class Never:
    reason: str

    def check(self, task, norm_act, trainings):
      assert task is TASK and trainings['tiny_net'].steps_done == 5 and norm_act().name
      raise OwnRejected(self.reason)

  evaluation = Evaluation(TASK, QualityTest(5, 0.), tests=(Never('a reason'),))
  outcome = evaluation.evaluate('bn_relu')
  assert outcome.outcome == 'rejected: own test' and outcome.detail == 'a reason' and not outcome.scores
  assert identity_of(e=evaluation)['e']['tests'] == [{'class': 'Never', 'reason': 'a reason'}]


@pytest.mark.parametrize('options, message', [
    (dict(family='resnet', build=tiny_net), '`family` must not be one of'),
    (dict(build=3), '`build` must be a function'),
    (dict(build=tiny_net, options={'depth': 3}), '`options` of tiny_net'), (dict(), '`build` be given')])
def test_wrong_architectures(options, message):
  with pytest.raises(ArgumentError, match=message):
    Architecture(**options)


def test_a_network_with_other_outputs_is_refused():
  wrong = Architecture(build=lambda norm_act: tf_keras.Sequential([tf_keras.layers.Dense(2)]))
  with pytest.raises(ArgumentError, match=r'must return a tf_keras.Model with outputs of shape \(None, 3\)'):
    wrong.make_model(get_norm_act('bn_relu'), 3)
